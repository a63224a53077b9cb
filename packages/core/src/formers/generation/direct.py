"""A run that does what its caller passed and nothing else: the settings of a model add no processors or criteria."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from formers.errors import GenerationArgumentError, shorten, warn

from . import encoding, prompts
from .caches import cache_of_run, given_cache
from .configuration import GenerationConfig
from .criteria import MaxLengthCriteria
from .forward_arguments import ForwardArguments
from .lengths import positions_of
from .outputs import output_of
from .plan import FIELDS, GenerationPlan, resolve
from .processors import LogitsProcessorList
from .state import Decoding
from .steps import Steps
from .stopping import Stopping

if TYPE_CHECKING:
    from formers.outputs import ModelOutput

    from .prompts import Prompt
    from .strategies import Strategy

__all__ = ["Direct", "run_directly"]

DEFAULT_LENGTH = 20
"""Columns of a result, the prompt's included, where neither the call nor the model says anything."""

_OF_MODEL = (
    *("bos_token_id", "eos_token_id", "pad_token_id", "use_cache", "return_dict_in_generate"),
    *("output_scores", "output_logits", "output_attentions", "output_hidden_states"),
)
"""The settings of a model that a direct call falls back on."""


@dataclass(frozen=True, slots=True)
class Direct:
    """One call of a method of :mod:`formers.generation.lowlevel`; fields are its arguments.

    Attributes:
        method: its name.
        settings: those among the arguments that ``GenerationConfig`` has, too; None if not given.
        given: the further arguments, for the model.
    """

    method: str
    input_ids: Tensor
    processors: Iterable[Callable[..., Tensor]]
    criteria: Iterable[Callable[..., Any]]
    max_length: int | None
    synced: bool
    settings: Mapping[str, Any]
    given: Mapping[str, Any]


def run_directly(model: Any, call: Direct, strategy: Strategy) -> Tensor | ModelOutput:
    """Decode as a call says; with gradients, unless the caller switched them off.

    Raises:
        GenerationArgumentError: something cannot be right; before the model runs.
        GenerationError: the model's scores leave nothing to choose from; carries what was generated so far.
    """
    given = {name: value for name, value in call.given.items() if value is not None}
    plan = _plan(model, call, given)
    past = given_cache(model, given.pop("past_key_values", None))
    prompt = _prompt(model, plan, call.input_ids, given, 0 if past is None else past.get_seq_length())
    limit, criteria = _limit(model, call, prompt)
    plan = plan.changed(max_length=limit, max_new_tokens=None)
    run = Decoding(
        model,
        plan,
        prompt,
        cache=cache_of_run(model, plan, past, capacity=None if limit is None else limit + prompt.offset),
        processors=LogitsProcessorList(call.processors),
        stopping=Stopping(
            max_length=limit,
            eos_token_ids=plan.eos_token_ids,
            criteria=criteria,
            synced=call.synced,
            device=prompt.ids.device,
        ),
    )
    steps = Steps(strategy, run)
    for _ in steps:
        pass
    return output_of(run, steps.generated)


def _plan(model: Any, call: Direct, given: dict[str, Any]) -> GenerationPlan:
    """The few settings that a direct call has."""
    settings = {name: value for name, value in call.settings.items() if value is not None}
    if "use_cache" in given:
        settings["use_cache"] = given.pop("use_cache")
    misplaced = next((name for name in given if name in FIELDS), None)
    if misplaced is not None:
        raise GenerationArgumentError(
            f"{call.method}() got {misplaced}={shorten(given[misplaced])}, a setting of generate(). Call generate(), "
            "or pass the processor or criterion that does the same."
        )
    takes = ForwardArguments.of(model)
    takes.refuse_unknown(given.keys() - {"past_key_values"}, (), f"{call.method}()")
    own = model.generation_config
    known = {name: getattr(own, name) for name in _OF_MODEL}
    fallbacks = GenerationConfig(
        **{
            name: value
            for name, value in known.items()
            if value is not None or own._set_by(name) == "code"  # None in code means: without
        }
    )
    return resolve(settings, model=fallbacks, config=model.config)


def _prompt(model: Any, plan: GenerationPlan, ids: Tensor, given: dict[str, Any], past: int) -> Prompt:
    takes = ForwardArguments.of(model)
    if not model.config.is_encoder_decoder:
        return prompts.read_prompt(model, plan, ids, given, takes, past)
    ids = prompts.checked_ids(model, ids)
    plan = plan.changed(decoder_start_token_id=ids[:, 0].tolist())  # the rows begin as they are given
    return encoding.read_prompt(model, plan, None, given | {"decoder_input_ids": ids}, takes)


def _limit(model: Any, call: Direct, prompt: Prompt) -> tuple[int | None, list[Callable[..., Any]]]:
    """Columns that a row can have, and the criteria that are left."""
    criteria = list(call.criteria)
    lengths = [one.max_length for one in criteria if isinstance(one, MaxLengthCriteria)]
    if call.max_length is not None:
        warn(
            f"max_length of {call.method}() is deprecated: use "
            f"stopping_criteria=StoppingCriteriaList([MaxLengthCriteria({shorten(call.max_length)})]).",
            FutureWarning,
        )
        lengths.append(MaxLengthCriteria(call.max_length).max_length)
    positions = positions_of(model)
    positions = None if positions is None else positions - prompt.offset
    limit = min(lengths, default=positions)
    if not criteria and not lengths:
        limit = model.generation_config.max_length or DEFAULT_LENGTH
        limit = limit if positions is None else min(limit, positions)
    length = prompt.ids.shape[1]
    if limit is not None and limit <= length:
        raise GenerationArgumentError(
            f"{call.method}(): at most {limit} columns, but the prompt has {length} already, so there is room for "
            "none. Say how long a result can be: stopping_criteria=StoppingCriteriaList([MaxLengthCriteria(...)])."
        )
    if limit is not None and positions is not None and limit > positions:
        raise GenerationArgumentError(
            f"{call.method}(): rows of {limit} tokens are allowed, but the model has {positions} positions. Lower "
            "the limit, or shorten the prompt."
        )
    return limit, [one for one in criteria if type(one) is not MaxLengthCriteria]
