from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from formers.generation.processors import EncoderNoRepeatNGramLogitsProcessor, NoRepeatNGramLogitsProcessor

VOCABULARY = 4


def texts(rows: int, length: int, seed: int) -> Tensor:
    torch.manual_seed(seed)
    return torch.randint(0, VOCABULARY, (rows, length))


def continuations(text: list[int], end: list[int], size: int) -> set[int]:
    """The plain reference: what would complete an n-gram of ``text`` behind ``end``."""
    if len(end) < size - 1:
        return set()
    others = end[len(end) - size + 1 :]
    grams = (text[start : start + size] for start in range(len(text) - size + 1))
    return {gram[-1] for gram in grams if gram[:-1] == others}


def banned(processed: Tensor) -> list[set[int]]:
    return [set(row.eq(float("-inf")).nonzero().flatten().tolist()) for row in processed]


sizes = {"rows": st.integers(1, 3), "size": st.integers(1, 5), "seed": st.integers(0, 10**6)}


@given(**sizes, length=st.integers(0, 30))
@settings(max_examples=100, deadline=None)
def test_bans_equal_the_reference(rows: int, size: int, seed: int, length: int) -> None:
    ids = texts(rows, length, seed)
    scores = torch.randn(rows, VOCABULARY)
    result = NoRepeatNGramLogitsProcessor(size)(ids, scores)
    assert banned(result) == [continuations(row, row, size) for row in ids.tolist()]
    allowed = result > float("-inf")
    assert torch.equal(result[allowed], scores[allowed])


@given(**sizes, length=st.integers(0, 12), source=st.integers(1, 15), beams=st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_bans_of_the_source_equal_the_reference(
    rows: int, size: int, seed: int, length: int, source: int, beams: int
) -> None:
    encoded, ids = texts(rows, source, seed), texts(rows * beams, length, seed + 1)
    result = EncoderNoRepeatNGramLogitsProcessor(size, encoded)(ids, torch.zeros(rows * beams, VOCABULARY))
    expected = [
        continuations(encoded[row // beams].tolist(), text, size) for row, text in enumerate(ids.tolist())
    ]
    assert banned(result) == expected


@given(size=st.integers(1, 4), seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_no_n_gram_occurs_twice(size: int, seed: int) -> None:
    """Written on with random scores until nothing is allowed any more."""
    torch.manual_seed(seed)
    processor = NoRepeatNGramLogitsProcessor(size)
    ids = torch.zeros(1, 0, dtype=torch.int64)
    for _ in range(40):
        scores = processor(ids, torch.randn(1, VOCABULARY))
        if not scores.isfinite().any():
            break
        ids = torch.cat((ids, scores.argmax(dim=-1, keepdim=True)), dim=1)
    text = ids[0].tolist()
    grams = [tuple(text[start : start + size]) for start in range(len(text) - size + 1)]
    assert len(grams) == len(set(grams)) > 0


def test_one_source_serves_every_row() -> None:
    processor = EncoderNoRepeatNGramLogitsProcessor(2, torch.tensor([0, 1, 2]))
    result = processor(torch.tensor([[0], [1], [3]]), torch.zeros(3, VOCABULARY))
    assert banned(result) == [{1}, {2}, set()]


def test_rows_that_do_not_fit_the_source_are_refused() -> None:
    processor = EncoderNoRepeatNGramLogitsProcessor(2, torch.zeros(2, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="`encoder_input_ids` has 2 rows, but there are scores for 3"):
        processor(torch.zeros(3, 1, dtype=torch.int64), torch.zeros(3, VOCABULARY))
