from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.errors import GenerationWarning
from formers.generation import GenerationConfig, processors
from formers.generation.plan import resolve
from formers.generation.processors import LogitsProcessor, LogitsProcessorList
from formers.generation.processors.build import build_processors

ENCODED = torch.tensor([[1, 2, 3]])
EVERYTHING: dict[str, Any] = {
    "do_sample": True,
    "temperature": 0.7,
    "top_k": 10,
    "top_p": 0.9,
    "min_p": 0.1,
    "top_h": 0.5,
    "typical_p": 0.9,
    "epsilon_cutoff": 0.01,
    "eta_cutoff": 0.01,
    "repetition_penalty": 1.2,
    "encoder_repetition_penalty": 1.3,
    "no_repeat_ngram_size": 2,
    "encoder_no_repeat_ngram_size": 2,
    "bad_words_ids": [[3, 4]],
    "sequence_bias": {(1, 2): 0.5},
    "min_length": 7,
    "forced_bos_token_id": 1,
    "forced_eos_token_id": 2,
    "remove_invalid_values": True,
    "exponential_decay_length_penalty": (1, 1.1),
    "suppress_tokens": [5],
    "begin_suppress_tokens": [6],
    "guidance_scale": 1.5,
    "renormalize_logits": True,
    "watermarking_config": {"bias": 2.0},
    "max_length": 20,
    "eos_token_id": 2,
}


def build(custom: Any = None, prompt_length: int = 5, **settings: Any) -> LogitsProcessorList:
    plan = resolve(settings, model=GenerationConfig())
    return build_processors(
        plan, prompt_length=prompt_length, encoder_input_ids=ENCODED, vocab_size=30, custom=custom
    )


def names(members: LogitsProcessorList) -> list[str]:
    return [type(one).__name__ for one in members]


class Mine(LogitsProcessor):
    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores


def test_nothing_is_built_for_the_defaults() -> None:
    assert build() == []
    assert names(build(do_sample=True)) == ["TopKLogitsWarper"]
    assert build(do_sample=True, top_k=0) == []


def test_the_order_of_everything() -> None:
    assert names(build(custom=[Mine()], **EVERYTHING)) == [
        "UnbatchedClassifierFreeGuidanceLogitsProcessor",
        "SequenceBiasLogitsProcessor",
        "EncoderRepetitionPenaltyLogitsProcessor",
        "RepetitionPenaltyLogitsProcessor",
        "NoRepeatNGramLogitsProcessor",
        "EncoderNoRepeatNGramLogitsProcessor",
        "NoBadWordsLogitsProcessor",
        "MinLengthLogitsProcessor",
        "ForcedBOSTokenLogitsProcessor",
        "ForcedEOSTokenLogitsProcessor",
        "InfNanRemoveLogitsProcessor",
        "ExponentialDecayLengthPenalty",
        "SuppressTokensLogitsProcessor",
        "SuppressTokensAtBeginLogitsProcessor",
        "Mine",
        "TemperatureLogitsWarper",
        "TopHLogitsWarper",
        "TopKLogitsWarper",
        "TopPLogitsWarper",
        "MinPLogitsWarper",
        "TypicalLogitsWarper",
        "EpsilonLogitsWarper",
        "EtaLogitsWarper",
        "WatermarkLogitsProcessor",
        "LogitNormalization",
    ]


NEUTRAL: dict[str, Any] = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "guidance_scale": 1.0,
    "renormalize_logits": False,
    "remove_invalid_values": False,
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_what_changes_nothing_is_not_built(name: str) -> None:
    assert build(do_sample=True, **{"top_k": 0, name: NEUTRAL[name]}) == []


def test_minimum_lengths_need_an_end() -> None:
    assert build(min_length=7) == []
    assert names(build(min_length=7, eos_token_id=2)) == ["MinLengthLogitsProcessor"]
    assert names(build(min_new_tokens=3, eos_token_id=2)) == ["MinNewTokensLengthLogitsProcessor"]
    with pytest.raises(ValueError, match="there is no `eos_token_id` to make likelier"):
        build(exponential_decay_length_penalty=(1, 1.5))


def test_the_source_counts_only_where_there_is_one() -> None:
    plan = resolve(
        {"encoder_no_repeat_ngram_size": 2, "encoder_repetition_penalty": 2.0}, model=GenerationConfig()
    )
    assert build_processors(plan, prompt_length=3) == []
    assert build_processors(plan, prompt_length=3, encoder_input_ids=torch.zeros(1, 2, 3)) == []


@pytest.mark.parametrize(("eos", "keep"), [(None, 2), (5, 2), ([5], 2), ([5, 6, 7], 4)])
def test_beams_keep_a_choice_beside_every_end(eos: Any, keep: int) -> None:
    settings: dict[str, Any] = {"do_sample": True, "eos_token_id": eos, "top_k": 1, "top_p": 0.5}
    top_k, top_p = build(num_beams=3, **settings)
    assert (top_k.top_k, top_p.min_tokens_to_keep) == (keep, keep)  # type: ignore[attr-defined]
    top_k, top_p = build(**settings)
    assert (top_k.top_k, top_p.min_tokens_to_keep) == (1, 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("prompt_length", "forced", "expected"), [(5, 3, 5), (1, 3, 2), (1, None, 1), (0, None, 0)]
)
def test_a_forced_token_comes_before_the_beginning(prompt_length: int, forced: Any, expected: int) -> None:
    settings: dict[str, Any] = {"begin_suppress_tokens": [1], "forced_bos_token_id": forced}
    assert build(prompt_length=prompt_length, **settings)[-1].begin_index == expected  # type: ignore[attr-defined]


def test_a_custom_processor_replaces_the_plan_s_own_in_its_place() -> None:
    mine = processors.RepetitionPenaltyLogitsProcessor(1.7)
    with pytest.warns(
        GenerationWarning, match="RepetitionPenaltyLogitsProcessor given as logits_processor replaces"
    ):
        members = build(custom=[Mine(), mine], repetition_penalty=1.2, no_repeat_ngram_size=2)
    assert members[0] is mine
    assert names(members)[1:] == ["NoRepeatNGramLogitsProcessor", "Mine"]


def test_custom_processors_run_before_sampling_s_and_beside_them() -> None:
    mine = processors.TemperatureLogitsWarper(0.5)
    members = build(custom=[mine], do_sample=True, temperature=0.7)
    assert members[0] is mine
    assert names(members) == ["TemperatureLogitsWarper", "TemperatureLogitsWarper", "TopKLogitsWarper"]


def test_groups_of_beams() -> None:
    settings: dict[str, Any] = {
        "num_beams": 4,
        "num_beam_groups": 2,
        "diversity_penalty": 0.5,
        "repetition_penalty": 1.5,
    }
    assert names(build(sequence_bias={(1,): 1.0}, **settings)) == [
        "SequenceBiasLogitsProcessor",
        "HammingDiversityLogitsProcessor",
        "RepetitionPenaltyLogitsProcessor",
    ]


def test_a_constraint_is_asked_for_the_rows_of_a_group() -> None:
    plan = SimpleNamespace(**resolve({"num_beams": 6}, model=GenerationConfig()).to_dict())
    plan.num_beam_groups = 3
    asked = []

    def allow(item: int, tokens: Tensor) -> list[int]:
        asked.append(item)
        return [0]

    (constraint,) = build_processors(plan, prompt_length=1, prefix_allowed_tokens_fn=allow)  # type: ignore[arg-type]
    constraint(torch.zeros(4, 1, dtype=torch.int64), torch.zeros(4, 3))
    assert asked == [0, 0, 1, 1]


def test_guidance_keeps_no_cache_with_beams() -> None:
    (alone,) = build(guidance_scale=2.0)
    (beams,) = build(guidance_scale=2.0, num_beams=2)
    assert alone.use_cache  # type: ignore[attr-defined]
    assert not beams.use_cache  # type: ignore[attr-defined]


def test_a_watermark_that_is_not_known_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"`watermarking_config` has \['keys', 'ngram_len'\]; expected some of green"
    ):
        build(watermarking_config={"ngram_len": 5, "keys": [1, 2]})


def test_the_size_of_a_watermark_s_vocabulary_is_the_model_s() -> None:
    text = SimpleNamespace(vocab_size=17)
    model = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: text))
    plan = resolve({"watermarking_config": {}}, model=GenerationConfig())
    (mark,) = build_processors(plan, prompt_length=1, model=model)
    assert mark.vocab_size == 17  # type: ignore[attr-defined]


def test_a_last_token_without_a_limit_is_refused() -> None:
    plan = resolve({"forced_eos_token_id": 2}, model=GenerationConfig())
    with pytest.raises(ValueError, match="there is no `max_length` at which to force it"):
        build_processors(plan, prompt_length=1)
    (forced,) = build_processors(plan.for_prompt(4), prompt_length=4)
    assert forced.max_length == 24  # type: ignore[attr-defined]
