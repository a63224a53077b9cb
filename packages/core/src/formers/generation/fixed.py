"""The decode step with fixed shapes: compiled once, and run again for every token of every call.

A static cache keeps its length on the device (:meth:`formers.cache.StaticCache.fix_shapes`), a token is [rows, 1], and
a mask covers the whole room of the cache. So a compiled step is valid for any prompt, and it can be captured as a
graph: by torch.compile, or without it, see :mod:`.captured`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from formers.cache import EncoderDecoderCache, StaticCache
from formers.errors import GenerationArgumentError, shorten
from formers.modeling.replaying import Graphs

from . import captured

if TYPE_CHECKING:
    from formers.cache import Cache

    from .plan import GenerationPlan
    from .state import Decoding

__all__ = ["CompiledSteps", "FixedSteps", "compile_options", "fixed_steps", "static_part"]

Step = Callable[[Any, dict[str, Any]], Any]


class CompiledSteps:
    """The compiled steps of one model, by the options they were compiled with, and its captured ones.

    Copies and pickles of a model begin without any.

    Attributes:
        graphs: the captured ones.
    """

    __slots__ = ("_steps", "graphs")

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}
        self.graphs = Graphs()

    def step(self, options: Mapping[str, Any]) -> Step:
        """The step compiled with these arguments of ``torch.compile``."""
        key = repr(sorted(options.items(), key=lambda item: item[0]))
        if key not in self._steps:
            self._steps[key] = torch.compile(_step, **options)
        return self._steps[key]

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledSteps:
        return CompiledSteps()

    def __reduce__(self) -> tuple[Any, ...]:
        return CompiledSteps, ()


def _step(model: Any, inputs: dict[str, Any]) -> Any:
    return model(**inputs, return_dict=True)


def compile_options(plan: GenerationPlan) -> dict[str, Any] | None:
    """The arguments of ``torch.compile`` that a call asks for; None if it runs uncompiled.

    For captured steps it is only the ``backend`` of that name.

    Raises:
        GenerationArgumentError: ``compile_config`` is not a mapping, or the cache has no fixed shapes.
    """
    config = plan.compile_config
    if config is None or plan.disable_compile:
        return None
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    if not isinstance(config, Mapping):
        raise GenerationArgumentError(
            f"compile_config={shorten(config)} of type {type(config).__name__}; expected a mapping of arguments of "
            'torch.compile, such as {"backend": "inductor", "mode": "reduce-overhead"}, or {"backend": "cudagraph"}.'
        )
    if captured.is_wanted(config):
        return dict(config)
    return {"dynamic": False, "fullgraph": True} | dict(config)


def static_part(cache: Cache | None) -> StaticCache | None:
    """The part of a cache whose shapes can be fixed; None if it has none."""
    if isinstance(cache, EncoderDecoderCache):
        cache = cache.self_attention_cache
    return cache if isinstance(cache, StaticCache) else None


class FixedSteps:
    """The steps of one run behind its prompt.

    Args:
        run: whose prompt is in its cache already.
        cache: the part of the run's cache whose shapes are fixed until :meth:`close`.
        step: runs the model. A captured one is closed at the end.
    """

    def __init__(self, run: Decoding, cache: StaticCache, step: Step) -> None:
        self._cache, self._step = cache, step
        cache.fix_shapes()
        room = cache.get_max_length()
        mask = run.mask
        # What is generated is real, and places that are not filled yet are hidden by the cache.
        self._mask = None if mask is None else pad(mask, (0, room - mask.shape[1]), value=1)
        self._ids_name = "decoder_input_ids" if run.model.config.is_encoder_decoder else "input_ids"

    def forward(self, run: Decoding, flags: Mapping[str, bool]) -> Any:
        """The model's output for the newest tokens."""
        inputs = {**run.context, **flags, self._ids_name: _fresh(run.last_tokens[:, None])}
        if self._mask is not None:
            inputs[run.prompt.mask_name] = self._mask
        positions = run.last_positions
        if positions is not None:
            inputs["position_ids"] = _fresh(positions)
        return self._step(run.model, inputs | {"past_key_values": run.cache, "use_cache": True})

    def close(self) -> None:
        """Give the cache back as an ordinary one."""
        if isinstance(self._step, captured.CapturedStep):
            self._step.close()
        self._cache.release_shapes()


def _fresh(column: Tensor) -> Tensor:
    """A copy with strides of its own; those of a column of a growing buffer differ from call to call."""
    return column.clone(memory_format=torch.contiguous_format)


def fixed_steps(run: Decoding) -> FixedSteps | None:
    """The compiled steps of a run whose prompt is in its cache, if its settings ask for any.

    Raises:
        GenerationArgumentError: the cache has no fixed shapes, or steps cannot be captured on this device.
    """
    options = compile_options(run.plan)
    if options is None:
        return None
    cache = static_part(run.cache)
    if cache is None:
        raise GenerationArgumentError(
            'compile_config needs fixed shapes: pass cache_implementation="static", or a StaticCache as '
            "past_key_values."
        )
    steps = run.model.compiled_steps
    if not captured.is_wanted(options):
        return FixedSteps(run, cache, steps.step(options))
    recorder = captured.recorder_for(run.last_tokens.device)
    return FixedSteps(run, cache, captured.CapturedStep(run, steps.graphs, recorder))
