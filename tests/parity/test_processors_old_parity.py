"""What transformers 5 dropped of the processors and 4.53 has: groups of beams. And what both have, in the older one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from formers.generation import GenerationConfig, processors
from formers.generation.plan import resolve
from formers.generation.processors.build import build_processors

pytestmark = pytest.mark.parity_old


@pytest.mark.parametrize(("beams", "groups"), [(2, 2), (4, 2), (6, 3), (6, 2)])
@pytest.mark.parametrize("batch", [1, 3])
def test_diversity_between_groups(oracle: Any, beams: int, groups: int, batch: int) -> None:
    ours = processors.HammingDiversityLogitsProcessor(0.7, beams, groups)
    theirs = oracle.HammingDiversityLogitsProcessor(0.7, beams, groups)
    size = beams // groups
    ids = torch.randint(0, 11, (batch * size, 4))
    for group in range(groups):
        scores = torch.randn(batch * size, 11)
        chosen = torch.randint(0, 5, (batch * beams,))
        expected = theirs(ids, scores.clone(), chosen, group)
        assert torch.equal(ours(ids, scores, chosen, group), expected)
        in_lists = [
            one(ids, scores.clone(), current_tokens=chosen, beam_group_idx=group)
            for one in (processors.LogitsProcessorList([ours]), oracle.LogitsProcessorList([theirs]))
        ]
        assert torch.equal(*in_lists)


def test_the_order_with_groups(oracle: Any) -> None:
    settings = {
        "num_beams": 4,
        "num_beam_groups": 2,
        "diversity_penalty": 0.5,
        "guidance_scale": 1.5,
        "sequence_bias": {(1, 2): 0.5},
        "encoder_repetition_penalty": 1.3,
        "repetition_penalty": 1.2,
        "no_repeat_ngram_size": 2,
        "min_length": 4,
        "eos_token_id": 2,
        "renormalize_logits": True,
    }
    encoded = torch.tensor([[1, 2, 3]])
    sizes = {"n_layer": 1, "n_embd": 8, "n_head": 2, "n_positions": 16, "vocab_size": 20}
    model = oracle.GPT2LMHeadModel(oracle.GPT2Config(**sizes))
    config = oracle.GenerationConfig(**settings)
    model._prepare_special_tokens(config, True, device="cpu")
    theirs = model._get_logits_processor(
        generation_config=config,
        input_ids_seq_length=3,
        encoder_input_ids=encoded,
        prefix_allowed_tokens_fn=lambda item, ids: [1],
        logits_processor=oracle.LogitsProcessorList(),
        device="cpu",
        model_kwargs={},
    )
    plan = resolve(settings, model=GenerationConfig()).for_prompt(3)
    ours = build_processors(
        plan, prompt_length=3, encoder_input_ids=encoded, prefix_allowed_tokens_fn=lambda item, ids: [1]
    )
    assert [type(one).__name__ for one in ours] == [type(one).__name__ for one in theirs]
    constraints = [one for members in (ours, theirs) for one in members if hasattr(one, "_num_beams")]
    assert {one._num_beams for one in constraints if "Prefix" in type(one).__name__} == {2}


@pytest.mark.parametrize("vocabulary", [50, 1001])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("TemperatureLogitsWarper", (0.6,)),
        ("TopKLogitsWarper", (12,)),
        ("TopPLogitsWarper", (0.8,)),
        ("MinPLogitsWarper", (0.1,)),
        ("TypicalLogitsWarper", (0.8,)),
        ("EpsilonLogitsWarper", (0.002,)),
        ("EtaLogitsWarper", (0.002,)),
        ("RepetitionPenaltyLogitsProcessor", (1.4, 2)),
        ("EncoderRepetitionPenaltyLogitsProcessor", (1.4, torch.tensor([[1, 2], [3, 4]]))),
        ("NoRepeatNGramLogitsProcessor", (2,)),
        ("EncoderNoRepeatNGramLogitsProcessor", (2, torch.tensor([[1, 2], [3, 4]]))),
        ("SequenceBiasLogitsProcessor", ({(1, 2): 0.5, (3,): -1.0},)),
        ("NoBadWordsLogitsProcessor", ([[1, 2], [3]], 3)),
        ("MinLengthLogitsProcessor", (9, [1, 2])),
        ("ForcedEOSTokenLogitsProcessor", (9, [1, 2])),
        ("ExponentialDecayLengthPenalty", ((1, 1.1), 2, 3)),
        ("InfNanRemoveLogitsProcessor", ()),
        ("WatermarkLogitsProcessor", (1001, "cpu")),
    ],
)
def test_the_older_processors_give_the_same(
    oracle: Any, name: str, arguments: tuple[Any, ...], vocabulary: int
) -> None:
    ids, scores = (
        torch.randint(0, 5, (2, 8)),
        torch.randn(2, max(vocabulary, 1001 if "Water" in name else 0)) * 3,
    )
    ours, theirs = (getattr(module, name)(*arguments) for module in (processors, oracle))
    assert torch.equal(ours(ids, scores.clone()), theirs(ids, scores.clone()))
