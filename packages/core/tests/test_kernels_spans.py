"""Where documents lie: of packed batches, of rows, and of rows with padding anywhere."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.kernels.spans import arrange, spans_of
from formers.layout import Layout


def test_packed_documents() -> None:
    layout = Layout.packed(torch.tensor([0, 3, 3, 7]), 8, 7)
    arrangement = arrange(layout)
    assert arrangement.spans.bounds.tolist() == [[0, 3, 3], [3, 3, 7]]
    assert arrangement.spans.bounds.dtype == torch.int32
    assert arrangement.spans.longest == 8
    assert arrangement.spans.full
    tokens = torch.randn(7, 2)
    assert arrangement.gather(tokens) is tokens
    assert arrangement.scatter(tokens) is tokens


def test_rows_without_padding() -> None:
    arrangement = arrange(Layout.padded(3, 4))
    assert arrangement.spans.bounds.tolist() == [[0, 4, 8], [4, 8, 12]]
    assert arrangement.order is None


@settings(max_examples=30, deadline=None)
@given(
    mask=st.integers(0, 5).flatmap(
        lambda length: st.lists(
            st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=4
        )
    )
)
def test_real_tokens_come_to_the_front_of_their_row(mask: list[list[bool]]) -> None:
    batch, length = len(mask), len(mask[0])
    real = torch.tensor(mask, dtype=torch.bool).view(batch, length)
    arrangement = arrange(Layout(batch, length, mask=real))
    tokens = torch.arange(batch * length)
    ordered = arrangement.gather(tokens)
    for row, (start, end) in enumerate(arrangement.spans.bounds.T.tolist()):
        assert start == row * length
        assert ordered[start:end].tolist() == tokens.view(batch, length)[row][real[row]].tolist()
    assert torch.equal(arrangement.scatter(ordered), tokens)
    assert not arrangement.spans.full


def test_gradients_find_their_way_back() -> None:
    arrangement = arrange(Layout.padded(2, 3, torch.tensor([[0, 1, 1], [1, 0, 1]])))
    tokens = torch.randn(6, 2, requires_grad=True)
    weights = torch.randn(6, 2)
    (arrangement.scatter(arrangement.gather(tokens) * 2) * weights).sum().backward()
    assert tokens.grad is not None
    assert torch.equal(tokens.grad, 2 * weights)


def test_a_mask_by_pairs_is_refused() -> None:
    layout = Layout.from_attention_mask(torch.ones(1, 2, 2), 1, 2)
    with pytest.raises(ValueError, match="3 or 4 dimensions"):
        arrange(layout)


def test_rows_may_be_told_from_their_mask() -> None:
    layout = Layout.padded(2, 3, torch.tensor([[0, 1, 1], [1, 0, 1]]))
    assert spans_of(layout).bounds.tolist() == [[0, 3], [3, 6]]
