"""The decode step captured once as a graph of the device, and replayed for every token; nothing is compiled.

A graph reads and writes the memory that it was captured with. So it owns a cache and a tensor for each input, kept with
the model: a run's cache is copied into it when the run has read its prompt, and back when the run is over. What is
chosen from the logits, the padding of rows that have ended, and their flags stay on the device too; the host looks at
them once in :data:`formers.generation.stopping.BLOCK` tokens, so that it runs ahead of the device.

A replay runs no Python, see :mod:`formers.modeling.replaying`. No GPU has run this yet.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from formers.cache import EncoderDecoderCache
from formers.errors import GenerationArgumentError, shorten
from formers.modeling.graphs import CudaRecorder, Recorder, reason_against
from formers.modeling.replaying import Graphs, Replayed, circumstances, signature_of, weights_of

if TYPE_CHECKING:
    from formers.cache import Cache

    from .state import Decoding

__all__ = ["BACKEND", "CapturedStep", "is_wanted", "recorder_for"]

BACKEND = "cudagraph"
"""The ``backend`` of ``compile_config`` that asks for captured steps; torch has no backend of that name."""


def is_wanted(config: Mapping[str, Any]) -> bool:
    """Whether a ``compile_config`` asks for captured steps.

    Raises:
        GenerationArgumentError: it does, and has further arguments.
    """
    if config.get("backend") != BACKEND:
        return False
    if more := [name for name in config if name != "backend"]:
        raise GenerationArgumentError(
            f"compile_config={shorten(dict(config))}: the backend {BACKEND!r} captures without torch.compile and takes "
            f"no other arguments, but {', '.join(map(repr, more))} is given."
        )
    return True


def recorder_for(device: torch.device) -> Recorder:
    """What captures on a device.

    Raises:
        GenerationArgumentError: nothing can be captured there, or gradients are recorded.
    """
    reason = reason_against(device)
    if torch.is_grad_enabled():
        reason = "a captured step has no gradients; call it under torch.no_grad()"
    if reason:
        raise GenerationArgumentError(f'compile_config={{"backend": {BACKEND!r}}}: {reason}.')
    return CudaRecorder(device)


class CapturedStep:
    """Runs the decode steps of one run; captures when inputs of a new kind come.

    Args:
        run: whose cache has fixed shapes.
        graphs: of its model.
        recorder: captures and replays.
    """

    def __init__(self, run: Decoding, graphs: Graphs, recorder: Recorder) -> None:
        self._run, self._graphs, self._recorder = run, graphs, recorder
        self._graph: _Step | None = None
        self._signature: Hashable = None

    def __call__(self, model: Any, inputs: dict[str, Any]) -> Any:
        """The model's output, in tensors that later steps leave alone.

        Raises:
            GenerationError: the model's step cannot be captured; carries what was generated so far.
        """
        cache: Cache = inputs["past_key_values"]
        given = {name: value for name, value in inputs.items() if name != "past_key_values"}
        signature = signature_of(given)
        if self._graph is None or self._signature != signature:
            self.close()
            self._graph = self._graph_for(model, given, signature, cache)
            self._signature = signature
            self._graph.enter(cache)
        return self._graph.next(given)

    def close(self) -> None:
        """Write what the graph's cache holds into the run's, and leave the graph to other runs."""
        graph, self._graph = self._graph, None
        if graph is not None:
            graph.leave()
            self._graphs.give(graph)

    def _graph_for(self, model: nn.Module, given: dict[str, Any], signature: Hashable, cache: Cache) -> _Step:
        weights = weights_of(model)
        held = signature_of(_tensors(cache)), type(cache), cache.copies
        key = signature, held, circumstances(model), self._recorder.place()
        known = self._graphs.take(key, weights)
        if isinstance(known, _Step):
            return known
        graph = _Step(key, weights, given, cache)
        self._recorder.warm_up(lambda: graph.first(model))
        try:
            graph.record(self._recorder, lambda: graph.step(model))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise self._run.error(
                f"The decode step of {type(model).__name__} cannot be captured: {str(error).splitlines()[0]} A step "
                "that is captured must not read values from the device. Leave compile_config away."
            ) from error
        return graph


class _Step(Replayed):
    """A captured step, with a cache of its own.

    Args:
        key: what must be equal for a run to use it.
        weights: those it reads.
        given: the inputs of the first step.
        cache: of the first run, whose length is on the device.
    """

    def __init__(self, key: Hashable, weights: Hashable, given: dict[str, Any], cache: Cache) -> None:
        super().__init__(key, weights, given)
        self._cache = copy.deepcopy(cache)
        self._start = _length(cache).clone()
        self._lent: Cache | None = None

    def step(self, model: Any) -> Any:
        """Run the model on the graph's own tensors."""
        return model(**self.inputs, past_key_values=self._cache, return_dict=True)

    def first(self, model: Any) -> None:
        """The first step, as often as it is called: always for the same place in the cache."""
        _length(self._cache).copy_(self._start)
        self.step(model)

    def enter(self, cache: Cache) -> None:
        """Take over what a run's cache holds."""
        self._lent = cache
        _copy(cache, self._cache)

    def leave(self) -> None:
        """Give it back, with what has come since."""
        if self._lent is not None:
            _copy(self._cache, self._lent)
            self._lent = None
        self.forget()

    def next(self, given: dict[str, Any]) -> Any:
        """The next step, whose output names the run's cache."""
        return self.run(given, {id(self._cache): self._lent})


def _tensors(cache: Cache) -> list[Tensor]:
    """What a cache holds: all room of its own, and the encoder's part."""
    own = [tensor for layer in cache.layers for tensor in getattr(layer, "room", None) or ()]
    if isinstance(cache, EncoderDecoderCache):
        layers = cache.cross_attention_cache.layers
        own += [tensor for layer in layers if layer.is_filled for tensor in layer.read()]
    return own


def _length(cache: Cache) -> Tensor:
    if isinstance(cache, EncoderDecoderCache):
        cache = cache.self_attention_cache
    cursor = cache.cursor
    assert cursor is not None
    return cursor.length


def _copy(source: Cache, target: Cache) -> None:
    for theirs, ours in zip(_tensors(source), _tensors(target), strict=True):
        ours.copy_(theirs)
    _length(target).copy_(_length(source))
