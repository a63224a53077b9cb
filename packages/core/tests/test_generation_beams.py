"""Beam search is what ``docs/beam-search.md`` says: the best texts, with scores that can be recomputed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from toy_causal import ToyForCausalLM, toy_causal

from formers.errors import GenerationError
from formers.generation.beam_scorer import BeamSearchScorer
from formers.generation.criteria import MaxLengthCriteria, StoppingCriteriaList
from formers.generation.stopping import Stopping

END, PAD = 2, 0
VOCABULARY, LENGTH = 3, 3
ENOUGH = VOCABULARY**LENGTH  # beams with which nothing is ever dropped
Text = tuple[int, ...]


def all_texts(vocabulary: int = VOCABULARY, length: int = LENGTH) -> list[Text]:
    """Every text that ends, or has ``length`` tokens."""
    going = [token for token in range(vocabulary) if token != END]
    ended = [(*prefix, END) for size in range(length) for prefix in itertools.product(going, repeat=size)]
    return ended + list(itertools.product(going, repeat=length))


@torch.no_grad()
def sums(model: ToyForCausalLM, prompt: list[int], texts: list[Text]) -> list[float]:
    """The log-probability of each text, from one forward over all of it; what comes later changes nothing."""
    width = max(map(len, texts))
    rows = torch.tensor([[*prompt, *text, *[0] * (width - len(text))] for text in texts])
    scores = model(rows).logits.log_softmax(dim=-1)[:, len(prompt) - 1 : -1]
    each = scores.gather(2, rows[:, len(prompt) :, None]).squeeze(2).tolist()
    return [sum(row[: len(text)]) for row, text in zip(each, texts, strict=True)]


def ranked(model: ToyForCausalLM, prompt: list[int], length_penalty: float) -> list[tuple[float, Text]]:
    """Every text with its score, best first, by definition."""
    texts = all_texts()
    totals = sums(model, prompt, texts)
    found = [(total / len(text) ** length_penalty, text) for total, text in zip(totals, texts, strict=True)]
    return sorted(found, reverse=True)


def model_of(seed: int, vocabulary: int = VOCABULARY) -> ToyForCausalLM:
    return toy_causal(
        seed, vocab_size=vocabulary, eos_token_id=END, pad_token_id=PAD, bos_token_id=1
    ).double()


def texts_of(rows: Tensor) -> list[Text]:
    """Generated rows without the padding behind their end."""
    return [tuple(row[: row.index(END) + 1]) if END in row else tuple(row) for row in rows.tolist()]


def beam_options(**options: Any) -> dict[str, Any]:
    return {"return_dict_in_generate": True, "output_scores": True} | options


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    prompt=st.lists(st.integers(0, 2), min_size=1, max_size=4),
    length_penalty=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]),
    early_stopping=st.sampled_from([False, True, "never"]),
)
def test_with_enough_beams_it_is_exhaustive_search(
    seed: int, prompt: list[int], length_penalty: float, early_stopping: Any
) -> None:
    model = model_of(seed)
    expected = ranked(model, prompt, length_penalty)
    found = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), num_beams=ENOUGH, max_new_tokens=LENGTH,
        **beam_options(
            num_return_sequences=len(expected), length_penalty=length_penalty, early_stopping=early_stopping
        ),
    )  # fmt: skip
    assert len(expected) == 15
    assert set(texts_of(found.sequences[:, len(prompt) :])) == {text for _, text in expected}
    torch.testing.assert_close(
        found.sequences_scores.double(),
        torch.tensor([score for score, _ in expected], dtype=torch.double),
        rtol=1e-5,
        atol=1e-5,
    )
    best = texts_of(found.sequences[:1, len(prompt) :])[0]
    assert {text: score for score, text in expected}[best] == pytest.approx(expected[0][0], abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    length_penalty=st.sampled_from([-1.0, 0.0, 1.0, 2.0]),
    # True would stop for beams that hold nothing yet: they are candidates only where there are more beams than tokens.
    early_stopping=st.sampled_from([False, "never"]),
)
def test_with_enough_beams_a_scorer_searches_exhaustively(
    seed: int, length_penalty: float, early_stopping: Any
) -> None:
    model, prompt = model_of(seed), [1, 0]
    expected = ranked(model, prompt, length_penalty)
    limit = len(prompt) + LENGTH
    scorer = BeamSearchScorer(
        1,
        ENOUGH,
        "cpu",
        length_penalty,
        early_stopping,
        num_beam_hyps_to_keep=len(expected),
        max_length=limit,
    )
    with torch.no_grad():
        found = model.beam_search(
            torch.tensor([prompt]).expand(ENOUGH, -1), scorer, attention_mask=torch.ones(ENOUGH, 2),
            stopping_criteria=StoppingCriteriaList([MaxLengthCriteria(limit)]), **beam_options(),
        )  # fmt: skip
    assert set(texts_of(found.sequences[:, 2:])) == {text for _, text in expected}
    torch.testing.assert_close(
        found.sequences_scores.double(),
        torch.tensor([score for score, _ in expected], dtype=torch.double),
        rtol=1e-5,
        atol=1e-5,
    )


SEARCHES: dict[str, dict[str, Any]] = {
    "beams": {"num_beams": 3},
    "all of them": {"num_beams": 4, "num_return_sequences": 4},
    "short texts": {"num_beams": 3, "length_penalty": -1.0, "early_stopping": "never"},
    "long texts": {"num_beams": 3, "length_penalty": 2.0, "early_stopping": "never", "num_return_sequences": 2},
    "early": {"num_beams": 3, "length_penalty": 0.0, "early_stopping": True, "num_return_sequences": 3},
    "several ends": {"num_beams": 3, "eos_token_id": [2, 5, 7]},
    "processed": {"num_beams": 3, "no_repeat_ngram_size": 2, "min_new_tokens": 3},
    "groups": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.7, "num_return_sequences": 4},
    "a beam a group": {"num_beams": 3, "num_beam_groups": 3, "diversity_penalty": 2.0, "num_return_sequences": 3},
    "groups, processed": {
        "num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.7, "encoder_repetition_penalty": 1.5,
        "encoder_no_repeat_ngram_size": 2, "repetition_penalty": 1.3,
    },
    "groups with several ends": {
        "num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.7, "eos_token_id": [2, 5, 7],
    },
}  # fmt: skip
PROMPTS = [[1, 4, 6, 3], [8, 1], [9, 6, 4, 3, 11, 10]]


def padded(prompts: list[list[int]], width: int | None = None) -> dict[str, Tensor]:
    width = width or max(map(len, prompts))
    ids, mask = torch.full((len(prompts), width), PAD), torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :], mask[row, width - len(prompt) :] = torch.tensor(prompt), 1
    return {"input_ids": ids, "attention_mask": mask}


def search(
    model: ToyForCausalLM, inputs: dict[str, Tensor], **options: Any
) -> tuple[list[list[int]], Tensor]:
    """The generated rows, without the padding that depends on batch-mates, and their scores."""
    found = model.generate(**inputs, max_new_tokens=9, **beam_options(**options))
    rows = found.sequences[:, inputs["input_ids"].shape[1] :].tolist()
    lengths = (found.beam_indices >= 0).sum(dim=1).tolist()
    return [row[:length] for row, length in zip(rows, lengths, strict=True)], found.sequences_scores


@pytest.mark.parametrize("name", SEARCHES)
def test_batch_mates_and_padding_change_neither_texts_nor_scores(name: str) -> None:
    options = SEARCHES[name]
    model = model_of(3, vocabulary=12)
    texts, scores = search(model, padded(PROMPTS, width=8), **options)
    alone = [search(model, padded([prompt]), **options) for prompt in PROMPTS]
    assert texts == [text for texts, _ in alone for text in texts]
    torch.testing.assert_close(scores, torch.cat([scores for _, scores in alone]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("seed", range(4))
def test_scores_are_the_sum_of_the_returned_tokens(name: str, seed: int) -> None:
    options = SEARCHES[name]
    model, inputs = model_of(seed, vocabulary=12), padded(PROMPTS)
    found = model.generate(**inputs, max_new_tokens=9, **beam_options(**options))
    each = model.compute_transition_scores(found.sequences, found.scores, found.beam_indices)
    lengths = (found.beam_indices >= 0).sum(dim=1)
    recomputed = each.sum(dim=1) / lengths ** options.get("length_penalty", 1.0)
    torch.testing.assert_close(recomputed, found.sequences_scores, rtol=1e-5, atol=1e-5)
    assert found.sequences_scores.view(len(PROMPTS), -1).diff(dim=1).le(0).all(), "best first"


@pytest.mark.parametrize("name", ["beams", "all of them", "short texts", "long texts", "several ends"])
def test_scores_can_be_recomputed_with_the_model(name: str) -> None:
    options = SEARCHES[name]
    model = model_of(5, vocabulary=12)
    texts, scores = search(model, padded(PROMPTS), **options)
    prompts = [prompt for prompt in PROMPTS for _ in range(options.get("num_return_sequences", 1))]
    for prompt, text, score in zip(prompts, texts, scores.tolist(), strict=True):
        (total,) = sums(model, prompt, [tuple(text)])
        assert score == pytest.approx(total / len(text) ** options.get("length_penalty", 1.0), abs=1e-5)


def test_more_beams_find_likelier_texts_on_the_whole() -> None:
    totals = {1: 0.0, 4: 0.0, 16: 0.0}
    for beams in totals:
        for seed in range(8):
            model, inputs = model_of(seed, vocabulary=12), padded(PROMPTS)
            rows = model.generate(
                **inputs, max_new_tokens=9, num_beams=beams, **({"length_penalty": 0.0} if beams > 1 else {})
            )
            for prompt, text in zip(PROMPTS, texts_of(rows[:, 6:]), strict=True):
                totals[beams] += sums(model, prompt, [text])[0]
    assert totals[1] < totals[4] < totals[16]


def test_early_stopping_says_how_soon_it_stops() -> None:
    steps = []
    for seed in range(6):
        model, inputs = model_of(seed, vocabulary=6), padded([[1, 4, 3]])
        options = {"num_beams": 3, "num_return_sequences": 3, "length_penalty": 1.0, "max_new_tokens": 30}
        found = [
            model.generate(**inputs, **beam_options(**options, early_stopping=value))
            for value in (True, False, "never")
        ]
        ended = [sum(END in row for row in one.sequences[:, 3:].tolist()) for one in found]
        if len(found[0].scores) < 30:
            assert ended[0] == 3, "it stops for three finished texts, not for fewer"
        best = [float(one.sequences_scores[0]) for one in found]
        assert best[0] <= best[2] + 1e-6
        assert best[1] <= best[2] + 1e-6
        steps.append([len(one.scores) for one in found])
    assert all(true <= false <= never for true, false, never in steps)
    assert any(true < false for true, false, _ in steps)
    assert any(false < never for _, false, never in steps)


def test_a_stream_decides_everything_in_one_step() -> None:
    model, inputs = model_of(3, vocabulary=12), padded(PROMPTS)
    for options in ({"num_beams": 3, "num_return_sequences": 3}, SEARCHES["groups"], {"num_beams": 2}):
        (step,) = model.stream(**inputs, max_new_tokens=9, **options)
        assert torch.equal(step.ids, model.generate(**inputs, max_new_tokens=9, **options)[:, 6:])
        assert all(step.finished)


@pytest.mark.parametrize("name", ["beams", "groups"])
def test_an_accelerator_s_invalid_scores_are_reported_when_somebody_looks(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There they are noted without waiting; the next look, or the end, must raise."""

    def noted(self: Stopping, best: Tensor, run: Any) -> None:
        invalid = ~best.isfinite()
        self._invalid = invalid if self._invalid is None else self._invalid | invalid

    def spoilt(tokens: Tensor, scores: Tensor) -> Tensor:
        return scores if tokens.shape[1] != 8 else scores * float("nan")

    monkeypatch.setattr(Stopping, "notice_invalid", noted)
    for looks in (True, False):
        monkeypatch.setattr(Stopping, "may_look", lambda self, run, looks=looks: looks)
        with pytest.raises(GenerationError, match="no finite score"):
            search(model_of(3, vocabulary=12), padded(PROMPTS), logits_processor=[spoilt], **SEARCHES[name])
