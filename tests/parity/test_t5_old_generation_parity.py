"""T5 generates what transformers 4.53.3 does and 5.23 dropped: groups of beams, contrastive search, scorers.

In float32: in float64 the oracle's search with groups cannot return scores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from generation_settings import CONTRASTIVE, GROUPS, PAD, WANTED, old_search
from generation_settings import close as close_to
from t5_models import make_lively
from test_t5_generation_parity import BASE, CONFIGURATIONS, sources
from torch import Tensor

import formers_t5
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


def close(ours: Any, theirs: Any) -> None:
    """Scores of these models are in the tens, and what float32 rounds off grows with every step; tokens are equal."""
    close_to(ours, theirs, 2e-2)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[] if name in ("v1.0", "v1.1") else pytest.mark.slow)
        for name in CONFIGURATIONS
    ],
)
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """The oracle's T5 and ours with the same weights."""
    import transformers

    settings = BASE | CONFIGURATIONS[request.param]
    torch.manual_seed(11)
    oracle = transformers.T5ForConditionalGeneration(transformers.T5Config(**settings)).eval()
    ours = formers_t5.T5ForConditionalGeneration(formers_t5.T5Config(**settings)).eval()
    make_lively(oracle)
    if not settings.get("tie_word_embeddings", True):
        ours.lm_head.weight = torch.nn.Parameter(torch.empty(61, 24))
    ours.load_state_dict(oracle.state_dict())
    return oracle, ours


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("name", GROUPS)
def test_groups_of_beams(pair: tuple[Any, Any], name: str, padding: str) -> None:
    settings = {"max_new_tokens": 12} | GROUPS[name] | WANTED
    theirs, ours = (model.generate(**sources(padding), **settings) for model in pair)
    assert torch.equal(ours.sequences, theirs.sequences)
    close([ours.sequences_scores], [theirs.sequences_scores])
    if settings.get("early_stopping") is True:
        return  # the rows of a group that is done go on behind the source of another row, there
    close(ours.scores, theirs.scores)
    close(ours.logits, theirs.logits)
    for mine, expected in zip(ours.decoder_hidden_states, theirs.decoder_hidden_states, strict=True):
        close(mine, expected)


@pytest.mark.parametrize("name", CONTRASTIVE)
def test_contrastive_search(pair: tuple[Any, Any], name: str) -> None:
    settings = {"max_new_tokens": 12} | CONTRASTIVE[name] | WANTED
    oracle, model = pair
    theirs = oracle.generate(**sources(), **settings)
    ours = model.generate(**sources(), custom_generate=ContrastiveSearch(), **settings)
    assert torch.equal(ours.sequences, theirs.sequences)
    close(ours.scores, theirs.scores)
    close(ours.logits, theirs.logits)


def starts(model: Any, rows: int) -> Tensor:
    """What the decoder begins with, as the examples of 4.9 write it."""
    return torch.ones((rows, 1), dtype=torch.long) * model.config.decoder_start_token_id


def encoded(model: Any, beams: int) -> dict[str, Any]:
    """The encoder's outputs for three sources of full length, each repeated for its beams."""
    ids = sources()["input_ids"] % 56
    outputs = model.get_encoder()(ids.repeat_interleave(beams, dim=0), return_dict=True)
    return {"encoder_outputs": outputs}


@pytest.mark.parametrize("early", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [1.0, 2.0])
@pytest.mark.parametrize("groups", [1, 3])
def test_searches_with_a_scorer(
    pair: tuple[Any, Any], groups: int, length_penalty: float, early: bool | str
) -> None:
    """R-196, R-198, R-199."""
    from transformers import BeamSearchScorer as OldScorer
    from transformers.generation.logits_process import HammingDiversityLogitsProcessor as OldHamming
    from transformers.generation.logits_process import MinLengthLogitsProcessor as OldMinLength
    from transformers.generation.logits_process import NoRepeatNGramLogitsProcessor as OldNoRepeat

    oracle, model = pair
    options = {
        "batch_size": 3, "num_beams": 6, "device": torch.device("cpu"), "length_penalty": length_penalty,
        "do_early_stopping": early, "num_beam_hyps_to_keep": 4, "num_beam_groups": groups, "max_length": 14,
    }  # fmt: skip
    theirs_processors = [OldMinLength(5, eos_token_id=7), OldNoRepeat(2)]
    processors = LogitsProcessorList(
        [MinLengthLogitsProcessor(5, eos_token_id=7), NoRepeatNGramLogitsProcessor(2)]
    )
    if groups > 1:
        theirs_processors.insert(0, OldHamming(5.5, num_beams=6, num_beam_groups=groups))
        processors.insert(0, HammingDiversityLogitsProcessor(5.5, num_beams=6, num_beam_groups=groups))
    rows = starts(model, 18)
    theirs = old_search(oracle, rows, OldScorer(**options), theirs_processors, 14, **encoded(oracle, 6))
    search = model.group_beam_search if groups > 1 else model.beam_search
    with torch.no_grad():
        ours = search(
            rows, BeamSearchScorer(**options), processors, StoppingCriteriaList([MaxLengthCriteria(14)]),
            eos_token_id=7, pad_token_id=PAD, return_dict_in_generate=True, output_scores=True,
            **encoded(model, 6),
        )  # fmt: skip
    assert torch.equal(ours.sequences, theirs.sequences)
    close([ours.sequences_scores], [theirs.sequences_scores])
    close(ours.scores, theirs.scores)


def test_beam_sample(pair: tuple[Any, Any]) -> None:
    """R-197: where the likeliest is all but certain, drawing is searching."""
    _, model = pair
    limit = StoppingCriteriaList([MaxLengthCriteria(12)])
    cold = LogitsProcessorList([TopKLogitsWarper(50), TemperatureLogitsWarper(0.01)])

    def run(search: Callable[..., Tensor], *settings: Any) -> Tensor:
        scorer = BeamSearchScorer(batch_size=3, num_beams=3, device=torch.device("cpu"), max_length=12)
        with torch.no_grad():
            return search(
                starts(model, 9), scorer, *settings, eos_token_id=7, pad_token_id=PAD, **encoded(model, 3)
            )

    drawn = run(model.beam_sample, LogitsProcessorList(), limit, cold)
    found = run(model.beam_search, cold, limit)
    assert drawn.shape[0] == 3
    greedy = model.generate(sources()["input_ids"] % 56, max_length=12, eos_token_id=7)
    assert torch.equal(drawn, found) or torch.equal(drawn, greedy)


def test_greedy_search_and_sample_are_generate(pair: tuple[Any, Any]) -> None:
    oracle, model = pair
    limit = StoppingCriteriaList([MaxLengthCriteria(14)])
    processors = LogitsProcessorList([MinLengthLogitsProcessor(9, eos_token_id=7)])
    warpers = LogitsProcessorList([TemperatureLogitsWarper(0.7), TopKLogitsWarper(50)])
    same = {"min_length": 9, "max_length": 14, "eos_token_id": 7}
    with torch.no_grad():
        found = model.greedy_search(
            starts(model, 3), processors, limit, eos_token_id=7, pad_token_id=PAD, **encoded(model, 1)
        )
        assert torch.equal(found, oracle.generate(sources()["input_ids"] % 56, **same))
        torch.manual_seed(5)
        drawn = model.sample(
            starts(model, 3),
            processors,
            limit,
            warpers,
            eos_token_id=7,
            pad_token_id=PAD,
            **encoded(model, 1),
        )
        torch.manual_seed(5)
        expected = oracle.generate(
            sources()["input_ids"] % 56, do_sample=True, temperature=0.7, top_k=50, **same
        )
    assert torch.equal(drawn, expected)
