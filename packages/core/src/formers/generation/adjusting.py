"""The hook ``adjust_logits_during_generation``: called where a model overrides it, and free where none does."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from formers.errors import shorten

__all__ = ["adjust_logits_during_generation", "adjustment_of"]

_NAME = "adjust_logits_during_generation"
_FACTS = ("cur_len", "max_length")


def adjust_logits_during_generation(self: Any, logits: Tensor, **kwargs: Any) -> Tensor:
    """The logits from which the next token is chosen; meant to be overridden, and called at every step.

    Args:
        logits: float32 [rows, vocabulary], as the model gave them.
        kwargs: ``cur_len``, the columns so far, and ``max_length``, the limit or None, for an override that names them.
    """
    return logits


def adjustment_of(model: Any) -> Callable[..., Tensor] | None:
    """The model's own version of the hook, called as ``(logits, cur_len=, max_length=)``; None if it has none."""
    method = getattr(model, _NAME, None)
    if method is None or getattr(method, "__func__", None) is adjust_logits_during_generation:
        return None
    parameters = inspect.signature(method).parameters
    is_open = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    wanted = [name for name in _FACTS if is_open or name in parameters]

    def adjusted(logits: Tensor, **facts: Any) -> Tensor:
        result = method(logits, **{name: facts[name] for name in wanted})
        if not isinstance(result, Tensor) or result.shape != logits.shape:
            raise TypeError(
                f"{_NAME} of {type(model).__name__} returned {shorten(result)}; expected the logits, a tensor "
                f"{list(logits.shape)}."
            )
        return result

    return adjusted
