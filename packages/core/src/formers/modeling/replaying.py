"""Work of a model that was recorded as a graph of the device, with the tensors that it reads and writes.

A graph reads and writes the memory that it was recorded with: inputs are copied into it before a replay, and results
out of it. A replay runs no Python: forward hooks are not called, and a changed attribute of the model has no effect
unless it is one of those that :func:`circumstances` lists.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from formers.attention import select
from formers.outputs import ModelOutput

from .graphs import Recorder

__all__ = ["Graphs", "Replayed", "circumstances", "signature_of", "weights_of"]


class Replayed:
    """A piece of work that can be replayed with other inputs of the same kinds.

    Args:
        key: what must be equal for it to serve a call.
        weights: those it reads.
        given: the inputs of the first call.

    Attributes:
        inputs: the graph's own.
    """

    _output: Any
    _replay: Callable[[], None]

    def __init__(self, key: Hashable, weights: Hashable, given: dict[str, Any]) -> None:
        self.key, self.weights = key, weights
        self.inputs: dict[str, Any] = mapped(given, lambda tensor: tensor.detach().clone())
        self._buffers = flat(self.inputs)
        self.forget()

    def record(self, recorder: Recorder, work: Callable[[], Any]) -> None:
        """Record work on :attr:`inputs`, that was warmed up.

        Raises:
            RuntimeError: it does what cannot be recorded.
        """
        self._output, self._replay = recorder.capture(work)

    def forget(self) -> None:
        """Let go of the tensors of callers."""
        self._sources: list[Tensor | None] = [None] * len(self._buffers)

    def run(
        self,
        given: dict[str, Any],
        known: Mapping[int, Any] | None = None,
        keep: Callable[[Tensor], Tensor] = torch.clone,
    ) -> Any:
        """What the work returns for these inputs; those that are the very tensors of the call before are there already.

        Args:
            given: of the kinds of the first call.
            known: what takes the place of objects in the output, by their id.
            keep: makes a result of a tensor that the next replay overwrites.

        Returns:
            The output, in tensors that later replays leave alone.
        """
        tensors = flat(given)
        for index, tensor in enumerate(tensors):
            if self._sources[index] is not tensor:
                self._buffers[index].copy_(tensor)
                self._sources[index] = tensor
        self._replay()
        own = {id(buffer): tensor for buffer, tensor in zip(self._buffers, tensors, strict=True)}
        return mapped(
            self._output, lambda tensor: own[id(tensor)] if id(tensor) in own else keep(tensor), known
        )


class Graphs:
    """The graphs of one model that no run is using, the latest few of them.

    A run takes one out and puts it back, so that two runs never share one. Once a parameter has moved, all are
    dropped.

    Args:
        kept: how many.
    """

    def __init__(self, kept: int = 8) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._free: OrderedDict[Hashable, Replayed] = OrderedDict()
        self._weights: Hashable = None

    def take(self, key: Hashable, weights: Hashable) -> Replayed | None:
        """The graph that was captured for this key with these weights, if there is one."""
        with self._lock:
            if weights != self._weights:
                self._free.clear()
                self._weights = weights
            return self._free.pop(key, None)

    def give(self, graph: Replayed) -> None:
        """Keep a graph for later runs."""
        with self._lock:
            if graph.weights == self._weights:
                self._free[graph.key] = graph
                self._free.move_to_end(graph.key)
                while len(self._free) > self._kept:
                    self._free.popitem(last=False)

    def __len__(self) -> int:
        return len(self._free)


def circumstances(model: nn.Module) -> Hashable:
    """What decides how a model runs, beside its inputs and weights."""
    kind = next(model.parameters()).device.type
    names = (
        getattr(getattr(module, "config", None), "_attn_implementation", None) for module in model.modules()
    )
    return (
        tuple(dict.fromkeys(names)),
        os.environ.get(select.VARIABLE),
        select.is_strict(),
        model.training,
        torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind),
        torch.is_inference_mode_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
    )


def weights_of(model: nn.Module) -> Hashable:
    """Where parameters and buffers lie; changed in place they stay the same."""
    return tuple(
        (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        for tensors in (model.parameters(), model.buffers())
        for tensor in tensors
    )


def signature_of(value: Any) -> Hashable:
    """The kinds of the tensors in a value, and what else is in it."""
    if isinstance(value, Tensor):
        return value.shape, value.dtype, value.device
    if isinstance(value, Mapping | ModelOutput):
        return type(value), tuple((name, signature_of(part)) for name, part in value.items())
    if isinstance(value, list | tuple):
        return type(value), tuple(map(signature_of, value))
    return type(value), value if isinstance(value, Hashable) else id(value)


def mapped(value: Any, change: Callable[[Tensor], Tensor], known: Mapping[int, Any] | None = None) -> Any:
    """A value with other tensors in it; objects whose id is known are replaced."""
    if known and id(value) in known:
        return known[id(value)]
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, ModelOutput):
        return type(value)(**{name: mapped(part, change, known) for name, part in value.items()})
    if isinstance(value, dict):
        return {name: mapped(part, change, known) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([mapped(part, change, known) for part in value])
    return value


def flat(value: Any) -> list[Tensor]:
    """The tensors in a value, in order."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    mapped(value, keep)
    return found
