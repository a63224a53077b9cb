from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.layout import Layout

BATCH, LENGTH = 2, 4


def masks() -> st.SearchStrategy[list[list[int]]]:
    def rows(length: int) -> st.SearchStrategy[list[list[int]]]:
        row = st.lists(st.integers(0, 1), min_size=length, max_size=length)
        return st.lists(row, min_size=1, max_size=4)

    return st.integers(1, 7).flatmap(rows)


@given(mask=masks())
@settings(max_examples=50, deadline=None)
def test_positions_count_from_the_first_real_token_and_holes_shift_nothing(mask: list[list[int]]) -> None:
    layout = Layout.padded(len(mask), len(mask[0]), torch.tensor(mask))
    positions, first, last = layout.positions(), layout.first_real(), layout.last_real()
    for row, real in enumerate(mask):
        start = real.index(1) if 1 in real else 0
        expected = [max(column - start, 0) for column in range(len(real))]
        assert positions[row].tolist() == expected
        assert first[row] == start
        assert last[row] == (max(i for i, one in enumerate(real) if one) if 1 in real else len(real) - 1)


@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=5), spare=st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_packed_is_padded_without_the_padding(lengths: list[int], spare: int) -> None:
    total, longest = sum(lengths), max(lengths) + spare
    bounds = torch.tensor([0, *lengths]).cumsum(0)
    packed = Layout.packed(bounds, longest, total)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    padded = Layout.padded(len(lengths), longest, mask)

    assert packed.tokens == total
    assert packed.positions().tolist() == padded.positions()[mask].tolist()
    assert torch.equal(packed.key_mask(), mask)
    assert packed.document_ids().tolist() == [i for i, length in enumerate(lengths) for _ in range(length)]
    assert packed.real().tolist() == [True] * total
    for index, length in enumerate(lengths):
        if length:
            assert packed.first_real()[index] == bounds[index]
            assert packed.last_real()[index] == bounds[index + 1] - 1

    flat = torch.arange(1.0, total * 6 + 1).view(total, 2, 3)
    rows = packed.rows(flat)
    assert rows.shape == (len(lengths), longest, 2, 3)
    assert torch.equal(rows[mask], flat)
    assert not rows[~mask].any()
    assert torch.equal(packed.flat(rows), flat)


def test_padded_rows_are_views() -> None:
    layout = Layout.padded(2, 3)
    flat = torch.randn(6, 4, 5)
    assert layout.rows(flat).data_ptr() == flat.data_ptr()
    assert layout.flat(layout.rows(flat)).data_ptr() == flat.data_ptr()


def test_positions_of_the_new_columns_beside_a_cache() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    layout = Layout.from_attention_mask(mask, 2, 5, queries=2)
    assert layout.positions(2).tolist() == [[1, 2], [3, 4]]
    assert Layout.padded(2, 5).positions(2).tolist() == [[3, 4], [3, 4]]


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.float64]
)
def test_every_dtype_of_a_mask_says_the_same(dtype: torch.dtype) -> None:
    mask = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1]])
    layout = Layout.from_attention_mask(mask.to(dtype), BATCH, LENGTH)
    assert torch.equal(layout.mask, mask.bool())
    assert torch.equal(layout.real(torch.int64), mask)
    assert not layout.all_real_known
    assert layout.positions().tolist() == [[0, 1, 2, 3], [0, 0, 1, 2]]


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_a_mask_of_pairs_numbers_from_column_0(dtype: torch.dtype) -> None:
    pairs = torch.ones(BATCH, LENGTH, LENGTH).tril().to(dtype)
    layout = Layout.from_attention_mask(pairs, BATCH, LENGTH)
    assert torch.equal(layout.pairwise, pairs.bool()[:, None])
    assert layout.additive is None
    assert layout.positions().tolist() == [[0, 1, 2, 3]] * 2
    assert layout.last_real().tolist() == [3, 3]
    assert layout.real().all()


@pytest.mark.parametrize("low", [-float("inf"), torch.finfo(torch.float32).min, -1e9, -10000.0])
def test_a_floating_4d_mask_is_added_and_forbids_where_it_is_low(low: float) -> None:
    mask = torch.zeros(1, 1, 2, LENGTH)
    mask[..., 1] = low
    mask[..., 2] = -3.5
    layout = Layout.from_attention_mask(mask, BATCH, LENGTH, queries=2)
    assert layout.additive is mask
    assert layout.pairwise[0, 0].tolist() == [[True, False, True, True]] * 2


@pytest.mark.parametrize(
    "shape", [(1, 3), (1, 5), (2, 4), (4,), (1, 1, 4, 5), (1, 3, 4), (2, 1, 4, 4), (1, 1, 2, 4)]
)
def test_a_wrong_shape_names_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"attention_mask has shape .*expected .*\(1, 4\)") as error:
        Layout.from_attention_mask(torch.ones(shape), 1, 4)
    assert str(tuple(shape)) in str(error.value)


def test_values_that_contradict_the_meaning_are_refused() -> None:
    additive = torch.tensor([[0.0, -1e9]])
    with pytest.raises(ValueError, match="expected 1 where attention may go"):
        Layout.from_attention_mask(additive, 1, 2)
    with pytest.raises(ValueError, match="expected 1 where attention may go"):
        Layout.from_attention_mask(additive[:, None].expand(1, 2, 2), 1, 2)
    with pytest.raises(ValueError, match=r"Pass mask\.bool\(\)"):
        Layout.from_attention_mask(torch.ones(1, 1, 2, 2).tril(), 1, 2)


@pytest.mark.parametrize(
    ("bounds", "longest", "total", "message"),
    [
        ([0, 3, 5], 3, 6, "ascend from 0 to the 6 tokens"),
        ([1, 3, 5], 3, 5, "ascend from 0"),
        ([0, 4, 3], 4, 3, "ascend from 0"),
        ([0, 4, 5], 3, 5, "a document of 4 tokens; max_length is 3"),
        ([[0, 4]], 4, 4, "shape"),
        ([0.0, 4.0], 4, 4, "dtype"),
    ],
)
def test_packed_bounds_are_checked(bounds: list[int], longest: int, total: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layout.packed(torch.tensor(bounds), longest, total)


def test_a_padded_layout_has_no_documents() -> None:
    with pytest.raises(ValueError, match="packed"):
        Layout.padded(1, 2).document_ids()


@pytest.mark.parametrize(("batch", "length"), [(0, 3), (2, 0), (0, 0)])
def test_empty_batches(batch: int, length: int) -> None:
    for mask in (None, torch.ones(batch, length)):
        layout = Layout.padded(batch, length, mask)
        assert layout.positions().shape == (batch, length)
        assert layout.first_real().shape == layout.last_real().shape == (batch,)
        assert layout.rows(torch.zeros(0, 2, 3)).shape == (batch, length, 2, 3)


def test_a_mask_follows_the_device_it_is_given() -> None:
    elsewhere = torch.device("meta")
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    layout = Layout.from_attention_mask(mask, 2, 3, device=elsewhere)
    assert layout.mask.device.type == layout.positions().device.type == "meta"
    assert layout.lengths == (2, 3)  # known without asking the device
    everything = Layout.from_attention_mask(torch.ones(2, 3), 2, 3, device=elsewhere)
    assert everything.all_real_known
    assert everything.positions().device.type == "meta"


def test_a_layout_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Layout.padded(1, 2).batch = 3  # type: ignore[misc]


def test_no_compiled_graph_is_broken_by_looking_at_values() -> None:
    def forward(mask: torch.Tensor) -> torch.Tensor:
        layout = Layout.from_attention_mask(mask, 2, 4)
        return layout.positions() + layout.last_real()[:, None] * layout.real(torch.int64)

    mask = torch.tensor([[0.0, 1, 1, 1], [1, 1, 0, 0]])
    compiled = torch.compile(forward, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(mask), forward(mask))


def test_a_mask_that_hides_nothing_is_dropped_where_values_may_be_looked_at() -> None:
    assert Layout.padded(2, 3, torch.ones(2, 3)).all_real_known
    assert not Layout.padded(2, 3, torch.tensor([[1, 1, 1], [1, 1, 0]])).all_real_known
    assert Layout.padded(2, 3, torch.ones(2, 3, device="meta")).mask is not None


def test_a_4d_mask_may_be_one_row_for_all_queries() -> None:
    mask = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1]])
    layout = Layout.from_attention_mask(mask[:, None, None], BATCH, LENGTH)
    assert torch.equal(layout.pairwise, mask.bool()[:, None, None].expand(2, 1, LENGTH, LENGTH))


@pytest.mark.filterwarnings("ignore:.torch.jit.trace. is deprecated", "ignore::torch.jit.TracerWarning")
def test_values_are_not_looked_at_where_they_would_be_frozen() -> None:
    def forward(mask: torch.Tensor) -> torch.Tensor:
        return Layout.padded(2, 4, mask).real(torch.float32)

    mask = torch.tensor([[0.0, 1, 1, 1], [1, 1, 0, 0]])
    traced = torch.jit.trace(forward, torch.ones(2, 4))  # type: ignore[no-untyped-call]
    assert torch.equal(traced(mask), mask)
    together = torch.vmap(lambda row: Layout.padded(1, 4, row[None]).real(torch.float32)[0])
    assert torch.equal(together(mask), mask)
