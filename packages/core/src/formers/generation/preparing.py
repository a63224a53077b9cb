"""From the arguments of ``generate`` to a strategy and a run: everything that can be refused is refused here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.errors import GenerationArgumentError

from . import encoding, prompts
from .caches import cache_of_run, given_cache
from .configuration import GenerationConfig
from .criteria import StopStringCriteria
from .forward_arguments import ForwardArguments
from .lengths import positions_of
from .modes import GenerationMode
from .plan import FIELDS, GenerationPlan, resolve
from .processors.build import build_processors
from .state import Decoding
from .stopping import Stopping
from .strategies import Function, Strategy, choose

if TYPE_CHECKING:
    from .criteria import StoppingCriteria
    from .processors import LogitsProcessor, LogitsProcessorList
    from .prompts import Prompt

__all__ = ["Request", "prepare", "resolve_plan"]

_OWN_ARGUMENTS = {"input_ids", "tokenizer", "past_key_values"}
"""Arguments of generate that are neither settings nor, by these names, arguments of every forward."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call of ``generate`` or ``stream``, as it was made; fields as :meth:`GenerationMixin.generate` has them."""

    inputs: Tensor | None = None
    generation_config: GenerationConfig | None = None
    processors: Sequence[LogitsProcessor] = ()
    criteria: Sequence[StoppingCriteria] = ()
    prefix_allowed_tokens_fn: Callable[[int, Tensor], list[int]] | None = None
    synced: bool = False
    assistant: Any = None
    negative_ids: Tensor | None = None
    negative_mask: Tensor | None = None
    strategy: str | Strategy | Callable[..., Any] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


def resolve_plan(model: Any, request: Request) -> tuple[GenerationPlan, dict[str, Any]]:
    """The settings of a call, and its other arguments, which are for the model.

    Raises:
        GenerationArgumentError: a setting is out of range, or an argument is not known.
    """
    settings = {name: value for name, value in request.arguments.items() if name in FIELDS}
    given = {name: value for name, value in request.arguments.items() if name not in FIELDS}
    takes = ForwardArguments.of(model)
    takes.refuse_unknown(given.keys() - _OWN_ARGUMENTS, FIELDS)
    plan = resolve(
        settings, model=model.generation_config, given=request.generation_config, config=model.config
    )
    return plan, {name: value for name, value in given.items() if value is not None}


def prepare(model: Any, request: Request) -> tuple[Strategy, Decoding]:
    """Check a call, and set up its run; the model has not run yet, but for an encoder.

    Raises:
        GenerationArgumentError: something cannot be right.
    """
    plan, given = resolve_plan(model, request)
    strategy = _strategy(plan, request)
    tokenizer, given_past = given.pop("tokenizer", None), given.pop("past_key_values", None)
    past = given_cache(model, given_past)
    prompt = _prompt(model, plan, request, given, 0 if past is None else past.get_seq_length())
    plan = plan.for_prompt(prompt.ids.shape[1], embedded=prompt.offset, positions=positions_of(model))
    limit = None if plan.max_length is None else plan.max_length + prompt.offset
    run = Decoding(
        model,
        plan,
        prompt,
        cache=cache_of_run(model, plan, past, capacity=limit),
        processors=_processors(model, plan, prompt, request),
        stopping=_stopping(plan, request, tokenizer, prompt.ids.device),
    )
    run.assistant, run.tokenizer = request.assistant, tokenizer
    return strategy, run


def _strategy(plan: GenerationPlan, request: Request) -> Strategy:
    wanted = request.strategy
    if wanted is None:
        mode = plan.mode(assisted=request.assistant is not None)
        if request.assistant is not None and mode != GenerationMode.ASSISTED_GENERATION:
            raise GenerationArgumentError(
                f"generate(): assistant_model guesses for a greedy search and for sampling, but the settings ask for "
                f"{mode}; leave out the assistant, or what asks for that."
            )
        return choose(mode, plan.remedy())
    if isinstance(wanted, str):
        return choose(wanted)
    return wanted if isinstance(wanted, Strategy) else Function(wanted)


def _prompt(model: Any, plan: GenerationPlan, request: Request, given: dict[str, Any], past: int) -> Prompt:
    takes = ForwardArguments.of(model)
    if model.config.is_encoder_decoder:
        return encoding.read_prompt(model, plan, request.inputs, given, takes)
    return prompts.read_prompt(model, plan, request.inputs, given, takes, past)


def _processors(model: Any, plan: GenerationPlan, prompt: Prompt, request: Request) -> LogitsProcessorList:
    return build_processors(
        plan,
        prompt_length=prompt.ids.shape[1],
        prompt_padding=prompt.padding,
        encoder_input_ids=prompt.source_ids,
        prefix_allowed_tokens_fn=request.prefix_allowed_tokens_fn,
        model=model,
        vocab_size=model.config.get_text_config(decoder=True).vocab_size,
        device=prompt.ids.device,
        custom=request.processors,
        negative_prompt_ids=request.negative_ids,
        negative_prompt_attention_mask=request.negative_mask,
    )


def _stopping(plan: GenerationPlan, request: Request, tokenizer: Any, device: torch.device) -> Stopping:
    criteria = list(request.criteria)
    if plan.stop_strings is not None:
        if tokenizer is None:
            raise GenerationArgumentError(
                "stop_strings needs the tokenizer that made the prompt: "
                "generate(..., stop_strings=..., tokenizer=tokenizer)."
            )
        criteria.insert(0, StopStringCriteria(tokenizer, plan.stop_strings))
    return Stopping(
        max_length=plan.max_length,
        max_time=plan.max_time,
        eos_token_ids=plan.eos_token_ids,
        criteria=criteria,
        synced=request.synced,
        device=device,
    )
