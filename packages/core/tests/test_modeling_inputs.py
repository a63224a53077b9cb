from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy import ToyConfig

from formers.cache import DynamicCache, EncoderDecoderCache, StaticCache
from formers.layout import Layout
from formers.modeling.inputs import check_ids, layout_of, positions_of, source_layout

IDS = torch.arange(8).view(2, 4)
NUMBERS = torch.arange(10)[None]


def filled(length: int, cache: Any = None) -> Any:
    cache = DynamicCache() if cache is None else cache
    cache.update(torch.zeros(2, 2, length, 3), torch.zeros(2, 2, length, 3), 0)
    return cache


class TestLayout:
    def test_of_ids_and_of_embeddings(self) -> None:
        for layout in (layout_of(IDS, None, None), layout_of(None, torch.zeros(2, 4, 16), None)):
            assert (layout.batch, layout.length, layout.mask) == (2, 4, None)

    def test_the_cached_columns_count(self) -> None:
        mask = torch.ones(2, 7)
        mask[0, :2] = 0
        layout = layout_of(IDS, None, mask, filled(3))
        assert layout.length == 7
        assert layout.first_real().tolist() == [2, 0]

    def test_a_layout_is_taken_as_it_is(self) -> None:
        layout = Layout.padded(2, 7)
        assert layout_of(IDS, None, layout, filled(3)) is layout
        with pytest.raises(ValueError, match=r"shape \(2, 4\); the given layout describes \(2, 7\)"):
            layout_of(IDS, None, layout)

    @pytest.mark.parametrize("given", ["neither", "both"])
    def test_one_of_two(self, given: str) -> None:
        both = given == "both"
        with pytest.raises(ValueError, match=f"exactly one.*got {given}"):
            layout_of(IDS if both else None, torch.zeros(2, 4, 16) if both else None, None)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ((None, None, None), "exactly one of decoder_input_ids and decoder_inputs_embeds"),
            ((IDS[0], None, None), "decoder_input_ids is for a batch of shape"),
            ((IDS, None, torch.ones(2, 3)), r"^decoder_attention_mask has shape \(2, 3\)"),
            ((IDS, None, -torch.ones(2, 4)), "^A floating decoder_attention_mask of shape"),
        ],
    )
    def test_arguments_of_a_decoder_are_named_as_such(self, given: tuple[Any, ...], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            layout_of(*given, prefix="decoder_")

    @pytest.mark.parametrize("ids", [IDS[0], IDS[None]])
    def test_rows_and_columns(self, ids: Tensor) -> None:
        with pytest.raises(ValueError, match=re.escape("expected [batch, length]")):
            layout_of(ids, None, None)


class TestFixedShapes:
    """The layout is that of the whole room, filled as far as the step reaches."""

    @pytest.fixture
    def cache(self) -> StaticCache:
        cache = StaticCache(ToyConfig(num_hidden_layers=1), max_cache_len=10)
        filled(3, cache).fix_shapes()
        return cache

    def test_one_token(self, cache: StaticCache) -> None:
        layout = layout_of(IDS[:, :1], None, None, cache)
        assert layout.mask.tolist() == [[True] * 4 + [False] * 6] * 2
        assert layout.pairwise is None
        assert positions_of(layout, 1, NUMBERS, "field", cache=cache).tolist() == [[3], [3]]

    def test_several_tokens(self, cache: StaticCache) -> None:
        layout = layout_of(IDS, None, None, cache)
        reach = layout.pairwise.expand(2, 1, 4, 10).sum(-1)
        assert reach.tolist() == [[[4, 5, 6, 7]]] * 2
        assert positions_of(layout, 4, NUMBERS, "field", cache=cache).tolist() == [[3, 4, 5, 6]] * 2

    def test_padding(self, cache: StaticCache) -> None:
        mask = torch.ones(2, 10)
        mask[0, :2] = 0
        layout = layout_of(IDS[:, :1], None, mask, cache)
        assert layout.mask.sum(1).tolist() == [2, 4]
        assert positions_of(layout, 1, NUMBERS, "field", cache=cache).tolist() == [[1], [3]]
        with pytest.raises(
            ValueError, match=r"shape \(2, 4\); expected \[batch, room of the cache\] = \(2, 10\)"
        ):
            layout_of(IDS[:, :1], None, mask[:, :4], cache)


class TestPositions:
    def test_without_padding_one_row_serves_all(self) -> None:
        layout = layout_of(IDS, None, None, filled(3))
        assert positions_of(layout, 4, NUMBERS, "field").tolist() == [[3, 4, 5, 6]]

    def test_they_count_from_the_first_real_token(self) -> None:
        layout = Layout.padded(2, 4, torch.tensor([[0, 1, 1, 1], [1, 1, 0, 1]]))
        assert positions_of(layout, 4, NUMBERS, "field").tolist() == [[0, 0, 1, 2], [0, 1, 2, 3]]

    def test_columns_of_the_caller(self) -> None:
        layout = Layout.padded(2, 4, torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]]))
        columns = torch.arange(5, 9)
        found = positions_of(layout, 4, NUMBERS, "field", cache_position=columns)
        assert found.tolist() == [[4, 5, 6, 7], [5, 6, 7, 8]]

    def test_packed(self) -> None:
        layout = Layout.packed(torch.tensor([0, 2, 5]), 64, 5)
        assert positions_of(layout, 5, NUMBERS, "field").tolist() == [0, 1, 0, 1, 2]

    @pytest.mark.parametrize(
        ("layout", "columns", "message"),
        [
            (Layout.padded(1, 11), None, r"11 tokens long.*positions for 10 \(config\.field\)"),
            (Layout.packed(torch.tensor([0, 11]), 11, 11), None, r"position_ids holds 10 at \[10\].*0 to 9"),
            (Layout.padded(1, 2), torch.tensor([9, 10]), r"position_ids holds 10 at \[0, 1\]"),
            (Layout.padded(1, 2), torch.tensor([0]), r"cache_position has shape \(1,\).*\(2,\)"),
        ],
    )
    def test_too_far(self, layout: Layout, columns: Tensor | None, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            positions_of(layout, layout.length, NUMBERS, "field", cache_position=columns)


class TestSource:
    target = Layout.padded(2, 4)

    def test_given_now_or_before(self) -> None:
        states = torch.zeros(2, 5, 16)
        layout = source_layout(states, None, None, self.target, crosses=True)
        assert layout is not None
        assert layout.length == 5
        cache = EncoderDecoderCache(DynamicCache(), filled(3))
        layout = source_layout(None, torch.ones(2, 3), cache, self.target, crosses=True)
        assert layout is not None
        assert layout.length == 3

    def test_a_layout_is_taken_as_it_is(self) -> None:
        packed = Layout.packed(torch.tensor([0, 2, 5]), 3, 5)
        assert source_layout(torch.zeros(5, 16), packed, None, self.target, crosses=True) is packed
        padded, cache = Layout.padded(2, 3), EncoderDecoderCache(DynamicCache(), filled(3))
        assert source_layout(None, padded, cache, self.target, crosses=True) is padded

    @pytest.mark.parametrize(
        ("states", "layout", "message"),
        [
            (torch.zeros(3, 5, 16), Layout.padded(3, 5), "The encoder read 3 rows.* expected 2"),
            (torch.zeros(2, 5, 16), Layout.padded(2, 4), r"encoder_hidden_states is for .* shape \(2, 5\)"),
            (torch.zeros(6, 16), Layout.packed(torch.tensor([0, 2, 5]), 3, 5), r"describes \(5,\)"),
            (None, Layout.padded(2, 4), "a layout of 4 positions, but the cache holds 3"),
        ],
    )
    def test_a_layout_of_another_source_is_refused(
        self, states: Tensor | None, layout: Layout, message: str
    ) -> None:
        cache = EncoderDecoderCache(DynamicCache(), filled(3))
        with pytest.raises(ValueError, match=message):
            source_layout(states, layout, cache, self.target, crosses=True)

    def test_rows_that_share_a_source(self) -> None:
        cache = EncoderDecoderCache(DynamicCache(), filled(3), shares=True)
        cache.fork_rows(2)
        six, four = torch.zeros(6, 5, 16), Layout.padded(4, 4)
        layout = source_layout(None, torch.ones(2, 3), cache, four, crosses=True)
        assert layout is not None
        assert (layout.batch, layout.length) == (2, 3)
        with pytest.raises(ValueError, match="a batch of 2"):
            source_layout(six, None, cache, four, crosses=True)
        with pytest.raises(ValueError, match=r"encoder_attention_mask has shape \(4, 3\)"):
            source_layout(None, torch.ones(4, 3), cache, four, crosses=True)
        with pytest.raises(ValueError, match="5 rows are given, but in the cache 2 rows share each"):
            source_layout(None, None, cache, Layout.padded(5, 4), crosses=True)

    @pytest.mark.parametrize(
        "cache", [None, DynamicCache(), EncoderDecoderCache(DynamicCache(), DynamicCache())]
    )
    def test_nothing_to_read(self, cache: Any) -> None:
        assert source_layout(None, None, cache, self.target, crosses=True) is None

    @pytest.mark.parametrize(
        ("states", "mask", "crosses", "message"),
        [
            (torch.zeros(2, 5, 16), None, False, "has no cross-attention"),
            (torch.zeros(3, 5, 16), None, True, r"shape \(3, 5, 16\).*batch of 2"),
            (torch.zeros(5, 16), None, True, r"shape \(5, 16\)"),
            (torch.zeros(2, 5, 16), torch.ones(2, 4), True, r"encoder_attention_mask has shape \(2, 4\)"),
        ],
    )
    def test_refused(self, states: Tensor, mask: Tensor | None, crosses: bool, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            source_layout(states, mask, None, self.target, crosses=crosses)


class TestIds:
    table = nn.Embedding(8, 2)

    def test_all_have_a_row(self) -> None:
        check_ids("ids", IDS, self.table, "size")
        check_ids("ids", None, self.table, "size")
        check_ids("ids", IDS[:0], self.table, "size")

    @pytest.mark.parametrize(("value", "place"), [(8, [1, 2]), (-1, [0, 0])])
    def test_one_has_none(self, value: int, place: list[int]) -> None:
        ids = IDS.clone()
        ids[tuple(place)] = value
        message = f"ids holds {value} at {place}; expected 0 to 7 (config.size)"
        with pytest.raises(ValueError, match=re.escape(message)):
            check_ids("ids", ids, self.table, "size")

    def test_a_table_of_the_caller_is_trusted(self) -> None:
        check_ids("ids", IDS + 100, nn.Identity(), "size")
