from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.generation.processors import (
    EncoderRepetitionPenaltyLogitsProcessor,
    ExponentialDecayLengthPenalty,
    HammingDiversityLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
)

VOCABULARY = 6
INFINITY = float("inf")


@given(
    penalty=st.floats(0.2, 5),
    seed=st.integers(0, 10**6),
    length=st.integers(0, 12),
    ignored=st.integers(0, 14),
)
@settings(max_examples=60, deadline=None)
def test_repeated_tokens_pay_once(penalty: float, seed: int, length: int, ignored: int) -> None:
    torch.manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (2, length))
    scores = torch.randn(2, VOCABULARY, dtype=torch.float64)
    expected = scores.clone()
    for row in range(2):
        for token in set(ids[row, ignored:].tolist()):
            score = float(scores[row, token])
            expected[row, token] = score * penalty if score < 0 else score / penalty
    result = RepetitionPenaltyLogitsProcessor(penalty, ignored)(ids, scores)
    torch.testing.assert_close(result, expected, rtol=0, atol=0)
    by_row = RepetitionPenaltyLogitsProcessor(penalty, torch.tensor([ignored, ignored]))(ids, scores)
    torch.testing.assert_close(by_row, expected, rtol=0, atol=0)


def test_each_row_may_ignore_a_prompt_of_its_own() -> None:
    ids = torch.tensor([[0, 1, 0], [0, 1, 2]])
    result = RepetitionPenaltyLogitsProcessor(2.0, torch.tensor([1, 2]))(ids, torch.ones(2, VOCABULARY))
    assert result.tolist() == [[0.5, 0.5, 1, 1, 1, 1], [1, 1, 0.5, 1, 1, 1]]


def test_tokens_of_the_source_gain() -> None:
    scores = torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0, 1.0]]).expand(4, -1)
    processor = EncoderRepetitionPenaltyLogitsProcessor(2.0, torch.tensor([[0, 1, 0], [2, 3, 2]]))
    result = processor(torch.zeros(4, 1, dtype=torch.int64), scores)
    assert result.tolist() == [[2, -0.5, 1, -1, 1, 1]] * 2 + [[1, -1, 2, -0.5, 1, 1]] * 2


@given(start=st.integers(0, 5), factor=st.floats(1.001, 2), length=st.integers(1, 20), score=st.floats(-5, 5))
@settings(max_examples=60, deadline=None)
def test_the_end_becomes_likelier_step_by_step(start: int, factor: float, length: int, score: float) -> None:
    prompt = 3
    processor = ExponentialDecayLengthPenalty((start, factor), [1, 4], prompt)
    scores = torch.full((1, VOCABULARY), score, dtype=torch.float64)
    result = processor(torch.zeros(1, length, dtype=torch.int64), scores)
    steps = max(length - prompt - start, 0)
    expected = score + abs(score) * (factor**steps - 1)
    assert result[0, 0] == score
    for token in (1, 4):
        assert math.isclose(float(result[0, token]), expected, rel_tol=1e-12, abs_tol=1e-12)


def test_growth_without_bound_stays_finite_and_lifts_no_ban() -> None:
    processor = ExponentialDecayLengthPenalty((0, 1.5), [1, 2, 3], 0)
    scores = torch.tensor([[0.5, 3.0, -INFINITY, 0.0]])
    result = processor(torch.zeros(1, 5000, dtype=torch.int64), scores)
    assert result[0, 0] == 0.5
    assert result[0, 1] == torch.finfo(torch.float32).max
    assert result[0, 2] == -INFINITY
    assert result[0, 3] == 0.0
    assert result.softmax(dim=-1)[0].tolist() == [0, 1, 0, 0]


def test_groups_avoid_what_earlier_groups_chose() -> None:
    """Two texts, three groups of two beams."""
    processor = HammingDiversityLogitsProcessor(0.5, num_beams=6, num_beam_groups=3)
    chosen = torch.tensor([1, 1, 2, 3, 9, 9, 4, 5, 5, 4, 9, 9])
    ids = torch.zeros(4, 2, dtype=torch.int64)
    scores = torch.zeros(4, 10)
    assert torch.equal(processor(ids, scores, chosen, 0), scores)
    first = [[0, -1.0] + [0.0] * 8] * 2 + [[0, 0, 0, 0, -0.5, -0.5, 0, 0, 0, 0]] * 2
    assert processor(ids, scores, chosen, 1).tolist() == first
    second = [[0, -1.0, -0.5, -0.5] + [0.0] * 6] * 2 + [[0, 0, 0, 0, -1.0, -1.0, 0, 0, 0, 0]] * 2
    assert processor(ids, scores, current_tokens=chosen, beam_group_idx=2).tolist() == second


def test_groups_read_nothing_from_the_device() -> None:
    processor = HammingDiversityLogitsProcessor(0.5, num_beams=4, num_beam_groups=2)
    ids, chosen = (
        torch.zeros(2, 2, dtype=torch.int64, device="meta"),
        torch.zeros(4, dtype=torch.int64, device="meta"),
    )
    assert processor(ids, torch.zeros(2, 9, device="meta"), chosen, 1).shape == (2, 9)


def test_a_source_of_another_batch_is_refused() -> None:
    processor = EncoderRepetitionPenaltyLogitsProcessor(2.0, torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(
        ValueError, match="has 3 rows, but there are scores for 4; expected as many, or a divisor"
    ):
        processor(torch.zeros(4, 1, dtype=torch.int64), torch.zeros(4, VOCABULARY))
