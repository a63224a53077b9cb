"""What transformers 5.23 dropped and 4.53.3 does: groups of beams, contrastive search, scorers, methods by name.

In float32: in float64 the oracle's search with groups cannot return scores.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from generation_settings import CONTRASTIVE, END, GROUPS, PAD, WANTED, close, old_search
from torch import Tensor

import formers_gpt2
from formers import BeamSearchScorer, LogitsProcessorList, MaxLengthCriteria, StoppingCriteriaList
from formers.generation.processors import (
    HammingDiversityLogitsProcessor,
    MinLengthLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
)
from formers_decoding_contrastive import ContrastiveSearch

pytestmark = [
    pytest.mark.parity_old,
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

BASE = {
    "vocab_size": 61, "n_positions": 64, "n_embd": 24, "n_layer": 2, "n_head": 4, "bos_token_id": 57,
    "eos_token_id": END, "pad_token_id": PAD, "initializer_range": 0.4,
}  # fmt: skip
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "small": {},
    "scaled": {"scale_attn_by_inverse_layer_idx": True, "n_layer": 3},
    "odd": {"n_embd": 33, "n_head": 3, "n_inner": 17, "activation_function": "relu", "vocab_size": 75},
}


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """The oracle's GPT-2 and ours with the same weights."""
    return make_pair(CONFIGURATIONS[request.param])


def make_pair(configuration: dict[str, Any]) -> tuple[Any, Any]:
    import transformers

    settings = BASE | configuration
    torch.manual_seed(11)
    oracle = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**settings, attn_implementation="eager")
    ).eval()
    ours = formers_gpt2.GPT2LMHeadModel(formers_gpt2.GPT2Config(**settings)).eval()
    ours.load_state_dict(oracle.state_dict())
    return oracle, ours


def prompts(*, padded: bool) -> dict[str, Tensor]:
    """Three prompts, of different lengths if they are padded on the left."""
    ids = torch.randint(0, 56, (3, 7), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    for row, padding in ((1, 3), (2, 1)) if padded else ():
        ids[row, :padding], mask[row, :padding] = PAD, 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("padded", [False, True], ids=["", "padded"])
@pytest.mark.parametrize("name", GROUPS)
def test_groups_of_beams(pair: tuple[Any, Any], name: str, padded: bool) -> None:
    settings = {"max_new_tokens": 12} | GROUPS[name] | WANTED
    theirs, ours = (model.generate(**prompts(padded=padded), **settings) for model in pair)
    assert torch.equal(ours.sequences, theirs.sequences)
    close([ours.sequences_scores], [theirs.sequences_scores])
    close(ours.scores, theirs.scores)
    close(ours.logits, theirs.logits)
    if "use_cache" not in settings:
        assert ours.past_key_values.get_seq_length() == theirs.past_key_values.get_seq_length()
    each = pair[1].compute_transition_scores(ours.sequences, ours.scores, ours.beam_indices)
    lengths = (ours.beam_indices >= 0).sum(dim=1)
    close([each.sum(dim=1) / lengths ** settings.get("length_penalty", 1.0)], [theirs.sequences_scores])


def test_of_several_ends_the_one_that_was_chosen_is_returned(pair: tuple[Any, Any]) -> None:
    """There it is always the first of them; all else is equal."""
    ends = [END, 3, 7, 9, 17]
    settings = GROUPS["all of them"] | {"max_new_tokens": 12, "eos_token_id": ends} | WANTED
    theirs, ours = (model.generate(**prompts(padded=True), **settings) for model in pair)
    assert ours.sequences.shape == theirs.sequences.shape
    differs = ours.sequences != theirs.sequences
    assert differs.any()
    assert (theirs.sequences[differs] == END).all()
    assert torch.isin(ours.sequences[differs], torch.tensor(ends[1:])).all()
    close([ours.sequences_scores], [theirs.sequences_scores])


@pytest.mark.parametrize("padded", [False, True], ids=["", "padded"])
@pytest.mark.parametrize("name", CONTRASTIVE)
def test_contrastive_search(pair: tuple[Any, Any], name: str, padded: bool) -> None:
    settings = {"max_new_tokens": 12} | CONTRASTIVE[name] | WANTED
    inputs = prompts(padded=padded)
    oracle, model = pair
    theirs = oracle.generate(**inputs, **settings)
    ours = model.generate(**inputs, custom_generate=ContrastiveSearch(), **settings)
    assert torch.equal(ours.sequences, theirs.sequences)
    close(ours.scores, theirs.scores)
    close(ours.logits, theirs.logits)
    for mine, expected in zip(ours.hidden_states[1:], theirs.hidden_states[1:], strict=True):
        close(mine, expected)
    assert ours.past_key_values.get_seq_length() == theirs.past_key_values.get_seq_length()
    assert ours.past_key_values[0][0].shape == theirs.past_key_values[0][0].shape


@pytest.mark.parametrize("early", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [1.0, 0.0, 2.0])
@pytest.mark.parametrize("groups", [1, 3])
def test_methods_with_a_scorer(pair: tuple[Any, Any], groups: int, length_penalty: float, early: Any) -> None:
    from transformers import BeamSearchScorer as OldScorer
    from transformers.generation.logits_process import HammingDiversityLogitsProcessor as OldHamming
    from transformers.generation.logits_process import MinLengthLogitsProcessor as OldMinLength
    from transformers.generation.logits_process import NoRepeatNGramLogitsProcessor as OldNoRepeat

    oracle, model = pair
    rows = prompts(padded=False)["input_ids"].repeat_interleave(6, dim=0)
    options = {
        "batch_size": 3, "num_beams": 6, "device": torch.device("cpu"), "length_penalty": length_penalty,
        "do_early_stopping": early, "num_beam_hyps_to_keep": 4, "num_beam_groups": groups, "max_length": 16,
    }  # fmt: skip
    theirs_processors = [OldMinLength(10, eos_token_id=7), OldNoRepeat(2)]
    processors = LogitsProcessorList(
        [MinLengthLogitsProcessor(10, eos_token_id=7), NoRepeatNGramLogitsProcessor(2)]
    )
    if groups > 1:
        theirs_processors.insert(0, OldHamming(5.5, num_beams=6, num_beam_groups=groups))
        processors.insert(0, HammingDiversityLogitsProcessor(5.5, num_beams=6, num_beam_groups=groups))
    theirs = old_search(oracle, rows, OldScorer(**options), theirs_processors, 16)
    search = model.group_beam_search if groups > 1 else model.beam_search
    with torch.no_grad():
        ours = search(
            rows, BeamSearchScorer(**options), processors, StoppingCriteriaList([MaxLengthCriteria(16)]),
            eos_token_id=7, pad_token_id=PAD, return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
    assert torch.equal(ours.sequences, theirs.sequences)
    close([ours.sequences_scores], [theirs.sequences_scores])
    close(ours.scores, theirs.scores)


def test_greedy_search_and_sample_are_generate(pair: tuple[Any, Any]) -> None:
    oracle, model = pair
    inputs = prompts(padded=True)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    limit = StoppingCriteriaList([MaxLengthCriteria(19)])
    processors = LogitsProcessorList([MinLengthLogitsProcessor(15, eos_token_id=7)])
    with torch.no_grad():
        found = model.greedy_search(ids, processors, limit, attention_mask=mask, eos_token_id=7)
        assert torch.equal(found, oracle.generate(**inputs, min_length=15, max_length=19, eos_token_id=7))
        warpers = LogitsProcessorList([TemperatureLogitsWarper(0.7), TopKLogitsWarper(50)])
        torch.manual_seed(5)
        drawn = model.sample(ids, processors, limit, warpers, attention_mask=mask, eos_token_id=7)
        torch.manual_seed(5)
        expected = oracle.generate(
            **inputs, do_sample=True, min_length=15, max_length=19, eos_token_id=7, temperature=0.7, top_k=50
        )
    assert torch.equal(drawn, expected)


def candidates(generator: torch.Generator, batch: int, size: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Candidates as a search makes them: best first, and each beam ends at most once."""
    scores = torch.randn(batch, 2 * size, generator=generator).sort(dim=1, descending=True).values - 3 - step
    tokens = torch.randint(2, 7, (batch, 2 * size), generator=generator)
    beams = torch.randint(0, size, (batch, 2 * size), generator=generator)
    for row in range(batch):
        ended: set[int] = set()
        for place in range(2 * size):
            beam = int(beams[row, place])
            if tokens[row, place] == 2 and beam in ended:
                tokens[row, place] = 3
            ended |= {beam} if tokens[row, place] == 2 else set()
    return scores, tokens, beams


@pytest.mark.parametrize("seed", range(60))
def test_a_scorer_by_itself(seed: int) -> None:
    from transformers import BeamSearchScorer as OldScorer

    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    groups, size, batch = choose.randint(1, 3), choose.randint(2, 4), choose.randint(1, 3)
    options = {
        "batch_size": batch, "num_beams": groups * size, "num_beam_groups": groups, "max_length": 12,
        "device": torch.device("cpu"), "length_penalty": choose.choice([-1.0, 0.0, 0.5, 1.0, 2.0]),
        "do_early_stopping": choose.choice([False, True, "never"]),
        "num_beam_hyps_to_keep": choose.randint(1, groups * size),
    }  # fmt: skip
    theirs, ours = OldScorer(**options), BeamSearchScorer(**options)
    prompt = choose.randint(1, 3)
    tokens = {"pad_token_id": 0, "eos_token_id": 2, "decoder_prompt_len": choose.choice([0, prompt])}
    ids = torch.randint(3, 9, (batch * groups * size, prompt), generator=generator)
    rows = torch.arange(ids.shape[0]).view(batch, groups, size)
    ways: tuple[tuple[int, ...], ...] = ((),) * ids.shape[0]
    scores, last, parents = (
        torch.zeros(ids.shape[0]),
        torch.zeros_like(ids[:, 0]),
        torch.zeros_like(ids[:, 0]),
    )
    for step in range(choose.randint(1, 8)):
        for group in range(groups):
            own = rows[:, group].flatten()
            arguments = (ids[own], *candidates(generator, batch, size, step))
            # The oracle mixes up the ways of several groups.
            extra = {"group_index": group, "beam_indices": ways if groups == 1 else None, **tokens}
            expected, found = theirs.process(*arguments, **extra), ours.process(*arguments, **extra)
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[name], expected[name]) for name in found)
            scores[own], last[own] = found["next_beam_scores"], found["next_beam_tokens"]
            parents[own] = own[found["next_beam_indices"]]
        assert ours.is_done == bool(theirs.is_done)
        ways = tuple((*ways[parent], parent) for parent in parents.tolist())
        ids = torch.cat((ids[parents], last[:, None]), dim=1)
        if ours.is_done:
            break
    extra = {"max_length": ids.shape[1], "beam_indices": ways if groups == 1 else None, **tokens}
    expected, found = (one.finalize(ids, scores, last, parents, **extra) for one in (theirs, ours))
    assert found.keys() == expected.keys()
    for name in found:
        if expected[name] is None:
            assert found[name] is None
        else:
            torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)
