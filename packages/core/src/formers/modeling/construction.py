"""How a model is built: once, without a hook for authors to forget, and without work that loading would undo.

The outermost constructor of a model finishes it: heads are pruned as the configuration asks, weights are
initialised, tied names are tied. Authors call nothing at the end of ``__init__``.

For loading, :func:`building_on_meta` redirects ``torch.empty`` to the meta device and skips in-place
initialisers there. The redirection is a thread-local torch function mode: no torch global changes, other threads
build on as before, and buffers computed by ``torch.arange`` and friends stay real.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from .base import PreTrainedModel

__all__ = ["building_on_meta", "finishing", "is_building_on_meta"]


class _Progress(threading.local):
    depth = 0
    on_meta = False


_progress = _Progress()


class _MetaParameters(TorchFunctionMode):
    """Parameters that loading will replace take no memory and no time."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty:
            return func(*args, **{**kwargs, "device": "meta"})
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__"):
            target = args[0] if args else kwargs.get("tensor")  # torch.nn.init passes it by name
            if isinstance(target, torch.Tensor) and target.is_meta:
                return target
        return func(*args, **kwargs)


@contextmanager
def building_on_meta() -> Iterator[None]:
    """Within this thread and this block, constructors allocate and initialise no parameters."""
    before = _progress.on_meta
    _progress.on_meta = True
    try:
        with _MetaParameters():
            yield
    finally:
        _progress.on_meta = before


def is_building_on_meta() -> bool:
    """Whether this thread is inside :func:`building_on_meta`."""
    return _progress.on_meta


def finishing(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap a constructor so that the outermost one of a model finishes the model.

    A constructor is the outermost when it belongs to the class of the object itself and no other model is being
    constructed around it in this thread.
    """

    @functools.wraps(init)
    def constructor(self: PreTrainedModel, *args: Any, **kwargs: Any) -> None:
        if type(self).__init__ is not constructor:
            init(self, *args, **kwargs)
            return
        _progress.depth += 1
        try:
            init(self, *args, **kwargs)
        finally:
            _progress.depth -= 1
        if _progress.depth == 0:
            self._finish_construction()

    return constructor
