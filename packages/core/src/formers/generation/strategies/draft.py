"""A smaller model that runs ahead of the one that generates, with a cache of its own."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from formers.errors import GenerationArgumentError
from formers.generation.caches import cache_of_run
from formers.generation.encoding import read_prompt
from formers.generation.forward_arguments import ForwardArguments
from formers.generation.lengths import positions_of
from formers.generation.processors import (
    LogitsProcessorList,
    UnbatchedClassifierFreeGuidanceLogitsProcessor,
)
from formers.generation.prompts import Prompt
from formers.generation.state import Decoding
from formers.generation.stopping import Stopping

from .candidates import Candidates
from .sampling import draw

if TYPE_CHECKING:
    from formers.generation.plan import GenerationPlan

__all__ = ["DraftModel"]

# How far each assistant ran ahead at last, for the schedule that goes on from there in the next call.
_LAST_COUNTS: MutableMapping[Any, int] = WeakKeyDictionary()


class DraftModel:
    """Guesses what ``run.assistant`` would generate.

    It chooses as the settings of the run say, greedily or by drawing, after the same processors, and stops at an end of
    the text or behind a token that it was unsure of.

    Args:
        run: of the model that checks the guesses.

    Raises:
        GenerationArgumentError: the assistant cannot read the run's tokens.
    """

    def __init__(self, run: Decoding) -> None:
        assistant, plan = run.assistant, run.plan
        _check_assistant(run)
        self._assistant = assistant
        self._draft = _draft_run(run)
        self._home = run.device
        self._schedule: str = _setting(plan, assistant, "num_assistant_tokens_schedule")
        self._threshold: float = _setting(plan, assistant, "assistant_confidence_threshold")
        self._count: int = _setting(plan, assistant, "num_assistant_tokens")
        if self._schedule == "heuristic" and not plan.is_callers("num_assistant_tokens"):
            self._count = _LAST_COUNTS.get(assistant, self._count)
        self._positions = positions_of(assistant)
        self._proposed = 0
        self._agreed = run.length  # columns of the draft that are the run's

    def propose(self, text: Tensor, room: int) -> Candidates:
        """See :meth:`CandidateSource.propose`."""
        draft = self._draft
        draft.rewrite(self._agreed, text[:, self._agreed :].to(draft.device))
        self._agreed = draft.length
        count = min(self._count, room)
        if self._positions is not None:  # the last guess is not read any more
            count = min(count, self._positions + 1 - draft.length)
        distributions = []
        for _ in range(count):
            token, probabilities = self._choose(draft.processed(draft.next_logits()))
            draft.append(token)
            if draft.plan.do_sample:
                distributions.append(probabilities)
            if self._stops(token, probabilities):
                break
        self._proposed = draft.length - self._agreed
        return Candidates(
            draft.tokens[:, self._agreed :].to(self._home),
            torch.cat(distributions).to(self._home) if distributions else None,
        )

    def learn(self, accepted: int) -> None:
        """See :meth:`CandidateSource.learn`."""
        self._agreed += accepted
        if self._schedule == "constant" or not self._proposed:
            return
        self._count = self._count + 2 if accepted == self._proposed else max(self._count - 1, 1)
        if self._schedule == "heuristic":
            _LAST_COUNTS[self._assistant] = self._count

    def _choose(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """A token, int64 [1], and the distribution it was chosen by, [1, vocabulary]."""
        probabilities = scores.softmax(dim=-1)
        if not self._draft.plan.do_sample:
            return scores.argmax(dim=-1), probabilities
        # A guess need not be good, but the distribution must be what it was drawn from.
        valid = probabilities.sum(dim=-1, keepdim=True).isfinite()
        probabilities = torch.where(valid, probabilities, 1.0 / scores.shape[-1])
        return draw(probabilities).squeeze(1), probabilities

    def _stops(self, token: Tensor, probabilities: Tensor) -> bool:
        """Whether the draft ends with this token."""
        draft = self._draft
        if not self._threshold and draft.device.type != "cpu":
            return False  # looking would wait for the device
        stops = probabilities.gather(1, token[:, None])[:, 0] < self._threshold
        ends = draft.stopping.ends(token)
        return bool(stops if ends is None else stops | ends)


def _setting(plan: GenerationPlan, assistant: Any, name: str) -> Any:
    """A setting of the call, else of the assistant, else of the model."""
    own = getattr(assistant.generation_config, name)
    return getattr(plan, name) if own is None or plan.is_callers(name) else own


def _check_assistant(run: Decoding) -> None:
    assistant = run.assistant
    name = type(assistant).__name__
    if not hasattr(assistant, "prepare_inputs_for_generation"):
        raise GenerationArgumentError(
            f"assistant_model is of type {name}; expected a model that can generate, such as "
            "AutoModelForCausalLM.from_pretrained(...)."
        )
    sizes = [model.config.get_text_config(decoder=True).vocab_size for model in (assistant, run.model)]
    if sizes[0] != sizes[1]:
        raise GenerationArgumentError(
            f"assistant_model ({name}) has vocab_size={sizes[0]}, but the model has {sizes[1]}; an assistant must have "
            "the tokenizer of the model. Choose a smaller model of the same family, or copy guesses from the text "
            "with prompt_lookup_num_tokens."
        )
    if run.prompt.offset:
        raise GenerationArgumentError(
            "assistant_model cannot read inputs_embeds; give input_ids, of the same text, beside them, or leave the "
            "assistant out."
        )
    if assistant.config.is_encoder_decoder and not run.model.config.is_encoder_decoder:
        raise GenerationArgumentError(
            f"assistant_model ({name}) has an encoder, for which a decoder's prompt has no input; expected a decoder."
        )


def _draft_run(run: Decoding) -> Decoding:
    """The same text as a run of the assistant."""
    assistant, limit = run.assistant, run.stopping.max_length
    plan = run.plan.changed(return_dict_in_generate=False)
    # Guidance would run the larger model for each guess, and would lose its place in the text.
    processors = [
        one for one in run.processors if not isinstance(one, UnbatchedClassifierFreeGuidanceLogitsProcessor)
    ]
    return Decoding(
        assistant,
        plan,
        _draft_prompt(run, plan),
        cache=cache_of_run(assistant, plan, None, capacity=limit),
        processors=LogitsProcessorList(processors),
        stopping=Stopping(max_length=limit, eos_token_ids=plan.eos_token_ids, device=assistant.device),
    )


def _draft_prompt(run: Decoding, plan: GenerationPlan) -> Prompt:
    assistant, prompt = run.assistant, run.prompt
    takes, device = ForwardArguments.of(assistant), assistant.device
    ids, mask = prompt.ids.to(device), None if prompt.mask is None else prompt.mask.to(device)
    if not assistant.config.is_encoder_decoder:
        shared = {} if prompt.encoder_outputs is not None else prompt.context
        context = {name: _moved(value, device) for name, value in shared.items() if takes.has(name)}
        return Prompt(ids, mask, takes, context=context, source_ids=ids)
    given: dict[str, Any] = {"decoder_input_ids": ids, "decoder_attention_mask": mask}
    if (source_mask := prompt.context.get("attention_mask")) is not None:
        given["attention_mask"] = source_mask.to(device)
    source = prompt.source_ids
    if source is None:
        given["encoder_outputs"] = prompt.encoder_outputs
    return read_prompt(assistant, plan, None if source is None else source.to(device), given, takes)


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
