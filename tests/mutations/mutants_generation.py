from __future__ import annotations

from typing import Any

import torch
from bench import Bench, mutant

from formers.cache import StaticCache
from formers.testing import Subject
from formers_gpt2 import GPT2LMHeadModel, GPT2Model

LM = "AutoModelForCausalLM"


def _generate(bench: Bench, before: Any = None, after: Any = None) -> Subject:
    """Wrap generate: change its keyword arguments, or its result."""
    original = GPT2LMHeadModel.generate

    def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(kwargs)
        result = original(self, *args, **kwargs)
        return result if after is None else after(result)

    bench.patch.setattr(GPT2LMHeadModel, "generate", generate)
    return bench.subject("gpt2", LM)


@mutant("generation.greedy")
def not_the_best(bench: Bench) -> Subject:
    """The scores of the next token are turned round."""
    bench.patch.setattr(
        GPT2LMHeadModel, "adjust_logits_during_generation", lambda self, logits, **_: -logits, raising=False
    )
    return bench.subject("gpt2", LM)


@mutant("generation.batch")
def padding_in_prompts(bench: Bench) -> Subject:
    """Padding of prompts is read."""

    def drop(kwargs: dict[str, Any]) -> None:
        kwargs["attention_mask"] = torch.ones_like(kwargs["input_ids"])

    return _generate(bench, drop)


@mutant("generation.caches")
def static_shifted(bench: Bench) -> Subject:
    """With a static cache positions are off by one."""

    def shift(self: Any, values: dict[str, Any]) -> None:
        cache = values.get("past_key_values")
        if isinstance(cache, StaticCache) and cache.get_seq_length():
            values["position_ids"] = torch.full((1, 1), cache.get_seq_length() + 1)

    bench.forward(GPT2Model, before=shift)
    return bench.subject("gpt2", LM)


@mutant("generation.one_beam")
def one_beam_is_special(bench: Bench) -> Subject:
    """With num_beams=1 tokens are not repeated."""

    def penalise(kwargs: dict[str, Any]) -> None:
        if kwargs.get("num_beams") == 1:
            kwargs["no_repeat_ngram_size"] = 1

    return _generate(bench, penalise)


@mutant("generation.beam_scores")
def scores_doubled(bench: Bench) -> Subject:
    """The scores of beams are not those of their tokens."""

    def double(result: Any) -> Any:
        if getattr(result, "sequences_scores", None) is not None:
            result.sequences_scores = result.sequences_scores * 2
        return result

    return _generate(bench, after=double)


@mutant("generation.logits")
def other_logits(bench: Bench) -> Subject:
    """The logits that are returned are scaled."""

    def scale(result: Any) -> Any:
        if getattr(result, "logits", None) is not None:
            result.logits = tuple(step * 1.1 for step in result.logits)
        return result

    return _generate(bench, after=scale)


@mutant("generation.seeds")
def one_seed(bench: Bench) -> Subject:
    """Sampling always begins with the same seed."""
    return _generate(bench, lambda kwargs: torch.manual_seed(0) and None)


@mutant("generation.stream")
def last_step_lost(bench: Bench) -> Subject:
    """The last step is not streamed."""
    original = GPT2LMHeadModel.stream
    bench.patch.setattr(
        GPT2LMHeadModel,
        "stream",
        lambda self, *args, **kwargs: iter(list(original(self, *args, **kwargs))[:-1]),
    )
    return bench.subject("gpt2", LM)


@mutant("generation.not_a_number")
def zeros_instead(bench: Bench) -> Subject:
    """NaN in the scores becomes zero."""

    def clean(self: Any, values: Any, output: Any) -> Any:
        output.logits = output.logits.nan_to_num()
        return output

    bench.forward(GPT2LMHeadModel, after=clean)
    return bench.subject("gpt2", LM)


@mutant("generation.end")
def never_ends(bench: Bench) -> Subject:
    """The end of a text is not noticed."""
    return _generate(bench, lambda kwargs: kwargs.pop("eos_token_id", None))


@mutant("generation.several_ends")
def first_end_only(bench: Bench) -> Subject:
    """Of several end-of-text tokens the first alone counts."""

    def first(kwargs: dict[str, Any]) -> None:
        if isinstance(kwargs.get("eos_token_id"), list):
            kwargs["eos_token_id"] = kwargs["eos_token_id"][0]

    return _generate(bench, first)


@mutant("generation.lengths")
def no_least_length(bench: Bench) -> Subject:
    """min_new_tokens is ignored."""
    return _generate(bench, lambda kwargs: kwargs.pop("min_new_tokens", None))


@mutant("generation.prompts_unchanged")
def mask_changed(bench: Bench) -> Subject:
    """The mask of the prompt is changed in place."""

    def change(kwargs: dict[str, Any]) -> None:
        kwargs["attention_mask"].fill_(1)

    return _generate(bench, change)
