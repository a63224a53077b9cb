"""A stand-in for a CUDA device that captures graphs: it notes single operations and does them again.

What is captured reads and writes the very tensors of the capture, knows numbers of the host only as they were then, and
must not look at values: the stand-in has these limits of a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    """The operations of a piece of work, and the tensors between them."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing.")
        made = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, tensors_in(made)))
        return made

    def play(self) -> None:
        for func, args, kwargs, outputs in self.calls:
            for output, made in zip(outputs, tensors_in(func(*args, **kwargs)), strict=True):
                if output.data_ptr() != made.data_ptr():  # else a view, or written in place
                    output.copy_(made)


def tensors_in(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


class Recorder:
    """Stands for a CUDA device."""

    def __init__(self) -> None:
        self.captures = self.replays = self.warm_ups = 0

    def place(self) -> Hashable:
        return "here"

    def warm_up(self, work: Callable[[], object]) -> None:
        self.warm_ups += 1
        work()
        work()

    def capture(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        self.captures += 1
        with Tape() as tape, pytest.MonkeyPatch.context() as patch:
            # As a capture does, this tells formers that values cannot be looked at.
            patch.setattr(torch.jit, "is_tracing", lambda: True)
            made = work()
        for output in tensors_in(dict(made)):  # a capture computes nothing
            if output.is_floating_point():
                output.fill_(torch.nan)

        def replay() -> None:
            self.replays += 1
            tape.play()

        return made, replay
