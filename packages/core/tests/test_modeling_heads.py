from __future__ import annotations

import re

import pytest
import torch

from formers.layout import Layout
from formers.modeling.heads import (
    first_tokens,
    kept_positions,
    last_tokens,
    number_of_choices,
    one_row_each,
    span_scores,
)

STATES = torch.arange(24.0).view(2, 4, 3)
PADDED = Layout.padded(2, 4, torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1]]))


def test_first_and_last_tokens_are_real_ones() -> None:
    assert torch.equal(first_tokens(STATES, PADDED), torch.stack([STATES[0, 1], STATES[1, 0]]))
    assert torch.equal(last_tokens(STATES, PADDED), torch.stack([STATES[0, 2], STATES[1, 3]]))
    for layout in (Layout.padded(2, 4), None):
        assert torch.equal(first_tokens(STATES, layout), STATES[:, 0])
    assert torch.equal(last_tokens(STATES, Layout.padded(2, 4)), STATES[:, -1])


def test_packed_documents() -> None:
    layout = Layout.packed(torch.tensor([0, 3, 8]), 5, 8)
    flat = STATES.flatten(0, 1)
    assert torch.equal(first_tokens(flat, layout), flat[[0, 3]])
    assert torch.equal(last_tokens(flat, layout), flat[[2, 7]])


def test_beside_a_cache_the_states_are_of_the_last_columns() -> None:
    mask = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 1, 1]])
    found = last_tokens(STATES[:, 2:], Layout.padded(2, 6, mask))
    assert torch.equal(found, torch.stack([STATES[0, 2], STATES[1, 3]]))


@pytest.mark.parametrize(("keep", "expected"), [(0, [0, 1, 2, 3]), (1, [3]), (3, [1, 2, 3])])
def test_the_last_positions(keep: int, expected: list[int]) -> None:
    assert torch.arange(4)[kept_positions(keep)].tolist() == expected
    chosen = torch.tensor([2, 0])
    assert kept_positions(chosen) is chosen


def test_spans_neither_start_nor_end_at_padding() -> None:
    scores = STATES[..., :2]
    start, end = span_scores(scores, PADDED)
    lowest = torch.finfo(torch.float32).min
    assert start[0].tolist() == [lowest, 3.0, 6.0, lowest]
    assert end[1].tolist() == [13.0, 16.0, 19.0, 22.0]
    for found, expected in zip(span_scores(scores, Layout.padded(2, 4)), scores.unbind(-1), strict=True):
        assert torch.equal(found, expected)


def test_choices() -> None:
    ids = torch.zeros(2, 3, 4)
    assert number_of_choices(ids, None) == 3
    assert number_of_choices(None, torch.zeros(2, 3, 4, 8)) == 3
    flat = one_row_each(ids)
    assert flat is not None
    assert flat.shape == (6, 4)
    assert one_row_each(None) is None
    with pytest.raises(
        ValueError, match=re.escape("input_ids has shape (3, 4); expected [batch, choices, length]")
    ):
        number_of_choices(ids[0], None)
    with pytest.raises(ValueError, match="inputs_embeds has shape"):
        number_of_choices(None, ids)
