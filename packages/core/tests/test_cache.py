from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from formers.cache import (
    Cache,
    CacheLayer,
    DynamicCache,
    DynamicLayer,
    EncoderDecoderCache,
    StaticCache,
    StaticLayer,
    as_cache,
)

BATCH, HEADS, DIM, ROOM = 2, 3, 4, 200


class Config:
    """As much of a configuration as a cache asks for."""

    num_hidden_layers = 2
    num_attention_heads = HEADS
    hidden_size = HEADS * DIM

    def get_text_config(self, decoder: bool = False) -> Config:
        return self


def pair(length: int, batch: int = BATCH, **options: Any) -> tuple[Tensor, Tensor]:
    shape = batch, HEADS, length, DIM
    return torch.randn(shape, **options), torch.randn(shape, **options)


MAKERS: dict[str, Callable[[], Cache]] = {
    "dynamic": DynamicCache,
    "static": lambda: StaticCache(Config(), ROOM),
    "encoder-decoder": lambda: EncoderDecoderCache(DynamicCache(), DynamicCache()),
}
every_cache = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


class Mirror:
    """What a layer should hold, kept in the dullest way."""

    def __init__(self) -> None:
        self.key = self.value = torch.zeros(BATCH, HEADS, 0, DIM)

    def change(self, function: Callable[[Tensor], Tensor]) -> None:
        self.key, self.value = function(self.key), function(self.value)


steps = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 70)),
    st.tuples(st.just("append with gradients"), st.integers(0, 5)),
    st.tuples(st.just("append in inference mode"), st.integers(1, 5)),
    st.tuples(st.just("crop"), st.integers(0, 50)),
    st.tuples(st.just("reorder"), st.sampled_from([(1, 0), (0, 0), (1, 1)])),
)


@pytest.mark.parametrize("make_layer", [DynamicLayer, lambda: StaticLayer(10_000)], ids=["dynamic", "static"])
@given(plan=st.lists(steps, min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_a_layer_holds_what_was_put_in(
    make_layer: Callable[[], CacheLayer], plan: list[tuple[str, Any]]
) -> None:
    layer, mirror = make_layer(), Mirror()
    inference = isinstance(layer, DynamicLayer)
    for what, amount in plan:
        if what.startswith("append"):
            mode = torch.no_grad()
            if "gradients" in what:
                mode = torch.enable_grad()
            elif "inference" in what and inference:
                mode = torch.inference_mode()
            new = pair(amount)
            with mode:
                key, value = layer.append(*new)
            mirror.key = torch.cat((mirror.key, new[0]), dim=2)
            mirror.value = torch.cat((mirror.value, new[1]), dim=2)
            assert torch.equal(key, mirror.key)
            assert torch.equal(value, mirror.value)
        elif what == "crop":
            layer.crop(-amount)
            keep = max(mirror.key.shape[2] - amount, 0)
            mirror.change(lambda held, keep=keep: held[:, :, :keep])
        else:
            layer.reorder_cache(torch.tensor(amount))
            mirror.change(lambda held, amount=amount: held[list(amount)])
        assert layer.length == layer.get_seq_length() == mirror.key.shape[2]
        if layer.is_initialized:
            assert torch.equal(layer.read()[0], mirror.key)
            assert torch.equal(layer.read()[1], mirror.value)


@torch.no_grad()
def test_growing_copies_a_token_for_a_token() -> None:
    layer = DynamicLayer()
    layer.append(*pair(400))  # more than what is joined anew for being small
    places = set()
    for _ in range(400):
        key, _ = layer.append(*pair(1))
        places.add(key.data_ptr())
    assert len(places) < 8


@torch.no_grad()
def test_a_small_cache_becomes_a_large_one() -> None:
    """It is joined anew while it is small, then moves into a room; what was read before stays as it was."""
    layer, mirror, earlier = DynamicLayer(), Mirror(), []
    for _ in range(500):
        key, value = pair(1)
        held = layer.append(key, value)
        mirror.key, mirror.value = (
            torch.cat(both, dim=2) for both in ((mirror.key, key), (mirror.value, value))
        )
        assert torch.equal(held[0], mirror.key)
        assert torch.equal(held[1], mirror.value)
        earlier.append((held[0], held[0].sum()))
    assert all(torch.equal(tensor.sum(), total) for tensor, total in earlier)


def test_with_gradients_nothing_stored_is_written_to() -> None:
    layer = DynamicLayer()
    first = pair(3, requires_grad=True)
    key, value = layer.append(*first)
    loss = (key * value).sum()
    with torch.no_grad():
        layer.append(*pair(1))
    layer.crop(-3)
    with torch.no_grad():
        layer.append(*pair(2))
    second = pair(1, requires_grad=True)
    key, _ = layer.append(*second)
    (loss + key.square().sum()).backward()
    torch.testing.assert_close(first[0].grad, first[1].detach())
    torch.testing.assert_close(second[0].grad, 2 * second[0])


def test_a_stored_tensor_is_the_caches_own() -> None:
    key, value = pair(2)
    for grad in (True, False):
        layer = DynamicLayer()
        with torch.set_grad_enabled(grad):
            layer.append(key, value)
        before = layer.read()[0].clone()
        key.add_(1)
        assert torch.equal(layer.read()[0], before)


@torch.no_grad()
def test_dtypes_are_promoted_as_by_concatenation() -> None:
    layer = DynamicLayer()
    layer.append(*pair(2, dtype=torch.float16))
    key, _ = layer.append(*pair(1, dtype=torch.float32))
    assert key.dtype == torch.float32


@torch.no_grad()
def test_static_room_stays_in_place_and_is_reusable() -> None:
    layer = StaticLayer(5)
    assert layer.room is None
    assert not layer.is_filled
    layer.append(*pair(3))
    places = [tensor.data_ptr() for tensor in layer.room]
    layer.reorder_cache(torch.tensor([1, 0]))
    layer.append(*pair(2))
    with pytest.raises(ValueError, match="room for 5 positions and holds 5; 1 more"):
        layer.append(*pair(1))
    layer.reset()
    assert layer.length == 0
    assert not layer.is_filled
    new = pair(4)
    assert torch.equal(layer.append(*new)[0], new[0])
    assert [tensor.data_ptr() for tensor in layer.room] == places
    with pytest.raises(ValueError, match="max_cache_len is 0"):
        StaticLayer(0)


@torch.no_grad()
def test_static_room_can_be_set_aside_early() -> None:
    cache = StaticCache(Config(), 7, max_batch_size=BATCH, device="cpu", dtype=torch.float16)
    assert all(layer.room[0].shape == (BATCH, HEADS, 7, DIM) for layer in cache.layers)
    assert cache.layers[0].room[0].dtype == torch.float16
    assert cache.get_max_length() == cache.get_max_cache_shape() == 7
    assert cache.is_compileable
    assert cache.get_seq_length() == 0


@every_cache
@torch.no_grad()
def test_the_interface_of_transformers(make: Callable[[], Cache]) -> None:
    cache = make()
    assert cache
    new = pair(3), pair(3)
    for index, (key, value) in enumerate(new):
        held = cache.update(key, value, index, {"cache_position": None})
        assert torch.equal(held[0], key)
    assert len(cache) == 2
    assert cache.batch_size == BATCH
    assert cache.is_initialized
    assert cache.is_croppable
    assert cache.is_sliding == [False, False]
    assert cache.get_mask_sizes(4, 0) == (7, 0)
    assert [cache.get_seq_length(i) for i in range(3)] == [3, 3, 0]
    for (key, value), held in zip(new, cache, strict=True):
        assert torch.equal(held[0], key)
        assert torch.equal(held[1], value)
    assert torch.equal(cache[1][0], new[1][0])
    assert torch.equal(cache.to_legacy_cache()[1][1], new[1][1])

    cache.crop(-1)
    assert torch.equal(cache[0][0], new[0][0][:, :, :2])
    cache.crop(0)
    assert cache.get_seq_length() == 2
    with pytest.raises(ValueError, match=r"crop\(1 - cache.get_seq_length\(\)\)"):
        cache.crop(1)
    cache.reorder_cache(torch.tensor([1, 0]))
    assert torch.equal(cache[0][0], new[0][0][[1, 0], :, :2])
    cache.batch_repeat_interleave(2)
    assert torch.equal(cache[1][1], new[1][1][[1, 1, 0, 0], :, :2])
    cache.batch_select_indices(torch.tensor([0, 3]))
    assert torch.equal(cache[1][1], new[1][1][[1, 0], :, :2])
    with pytest.raises(ValueError, match="holds 2 rows, but 3 are appended"):
        cache.update(*pair(1, batch=3), 0)
    cache.reset()
    assert cache.get_seq_length() == 0
    assert torch.equal(cache.update(*new[0], 0)[0], new[0][0])


@every_cache
@torch.no_grad()
def test_copies_are_independent(make: Callable[[], Cache]) -> None:
    cache = make()
    cache.update(*pair(3), 0)
    copies = copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))
    before = cache[0][0].clone()
    for other in copies:
        assert type(other) is type(cache)
        assert torch.equal(other[0][0], before)
        other.update(*pair(2), 0)
        other.crop(-4)
        other.update(*pair(1), 0)
        assert other.get_seq_length() == 2
    assert torch.equal(cache[0][0], before)
    assert cache.get_seq_length() == 3


def test_a_cache_knows_its_layers() -> None:
    assert len(DynamicCache()) == 0
    assert len(DynamicCache(config=Config())) == 2
    assert DynamicCache().get_max_cache_shape() is None
    assert DynamicCache().batch_size == -1
    assert not DynamicCache().is_compileable
    with pytest.raises(IndexError, match="Layer 2 was asked for; the cache has 2"):
        StaticCache(Config(), 3).layer(2)
    with pytest.raises(ValueError, match="exactly one"):
        Cache()
    with pytest.raises(ValueError, match="offloading"):
        DynamicCache(offloading=True)
    with pytest.raises(ValueError, match="num_hidden_layers"):
        DynamicCache(config=SimpleNamespace(get_text_config=lambda decoder: None))
    with pytest.raises(ValueError, match="empty"):
        DynamicLayer().read()
    uneven = DynamicCache([pair(1), pair(1, batch=3)])
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        _ = uneven.batch_size


@torch.no_grad()
def test_the_encoder_is_stored_once_and_kept() -> None:
    cache = EncoderDecoderCache(DynamicCache(), StaticCache(Config(), 5))
    assert not cache.cross_layer(1).is_filled
    encoder = pair(5)
    cache.cross_layer(1).append(*encoder)
    cache.layer(1).append(*pair(2))
    assert cache.is_updated == {0: False, 1: True}
    assert len(cache) == 2
    cache.crop(-1)
    assert torch.equal(cache.cross_layer(1).read()[0], encoder[0])
    cache.reorder_cache(torch.tensor([1, 0]))
    assert torch.equal(cache.cross_layer(1).read()[0], encoder[0][[1, 0]])
    assert len(cache[1]) == 4
    cache.reset()
    assert not cache.cross_layer(1).is_filled


def shared(copies: int) -> tuple[EncoderDecoderCache, Tensor]:
    """Two prompts of which several rows share the encoder's keys, and those keys."""
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache(), shares=True)
    cache.layer(0).append(*pair(1))
    keys, _ = cache.cross_layer(0).append(*pair(5))
    assert cache.fork_rows(copies)
    return cache, keys


@torch.no_grad()
def test_rows_of_a_prompt_share_its_encoder() -> None:
    cache, keys = shared(3)
    assert (cache.copies, cache.batch_size, cache.cross_attention_cache.batch_size) == (3, 6, 2)
    own = cache.layer(0).read()[0].clone()
    rows = torch.tensor([2, 0, 0, 3, 5, 4])
    cache.reorder_within_prompts(rows)
    assert torch.equal(cache.layer(0).read()[0], own[rows])
    assert cache.cross_layer(0).read()[0].data_ptr() == keys.data_ptr()
    assert cache.fork_rows(2)
    assert (cache.copies, cache.batch_size) == (6, 12)
    cache.reset()
    assert cache.copies == 1


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        (lambda cache: cache.unshare(), [0, 0, 0, 1, 1, 1]),
        (lambda cache: cache.reorder_cache(torch.tensor([5, 0, 0, 3, 1, 4])), [1, 0, 0, 1, 0, 1]),
        (lambda cache: cache.batch_repeat_interleave(2), [0] * 6 + [1] * 6),
        (lambda cache: cache.batch_select_indices(torch.tensor([2, 3])), [0, 1]),
    ],
)
@torch.no_grad()
def test_rows_that_may_mix_prompts_get_copies(
    change: Callable[[EncoderDecoderCache], None], rows: list[int]
) -> None:
    cache, keys = shared(3)
    change(cache)
    assert torch.equal(cache.cross_layer(0).read()[0], keys[rows])
    assert (cache.copies, cache.batch_size) == (1, len(rows))


@torch.no_grad()
def test_rows_share_nothing_unless_they_may() -> None:
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    cache.cross_layer(0).append(*pair(5))
    assert not cache.fork_rows(2)
    assert cache.cross_attention_cache.batch_size == 4
    own = DynamicCache([pair(1)])
    assert not own.fork_rows(3)
    own.unshare()
    assert own.batch_size == 6


def test_an_encoder_of_length_zero_is_stored_too() -> None:
    for grad in (True, False):
        layer = DynamicLayer()
        with torch.set_grad_enabled(grad):
            layer.append(*pair(0))
        assert layer.is_filled
        assert layer.read()[0].shape == (BATCH, HEADS, 0, DIM)


def test_nested_tuples_are_accepted() -> None:
    two, four = (pair(3), pair(3)), (pair(3) + pair(5), pair(3) + pair(5))
    assert as_cache(None) is None
    cache = DynamicCache()
    assert as_cache(cache) is cache
    plain = as_cache(two)
    assert type(plain) is DynamicCache
    assert torch.equal(plain[1][1], two[1][1])
    both = as_cache(four, cross=True)
    assert isinstance(both, EncoderDecoderCache)
    assert all(torch.equal(x, y) for x, y in zip(both[1], four[1], strict=True))
    assert len(both.to_legacy_cache()[0]) == 4
    assert EncoderDecoderCache(four)[0][3] is not None
    own_only = as_cache(two, cross=True)
    assert isinstance(own_only, EncoderDecoderCache)
    assert not own_only.cross_layer(0).is_filled
    assert len(own_only[0]) == 2


@pytest.mark.parametrize("value", ["cache", 3, (1, 2), ((1, 2, 3),), {"a": 1}])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="past_key_values is"):
        as_cache(value)  # type: ignore[arg-type]


def test_an_encoder_for_a_model_without_one_is_refused() -> None:
    with pytest.raises(ValueError, match="no cross-attention"):
        as_cache((pair(1) + pair(1),))
    with pytest.raises(TypeError, match="two caches"):
        EncoderDecoderCache(DynamicCache(), 3)
    with pytest.raises(ValueError, match="four tensors"):
        EncoderDecoderCache((pair(1),))
    with pytest.raises(ValueError, match="one or two"):
        EncoderDecoderCache()


def test_a_compiled_step_grows_the_cache_it_was_given() -> None:
    def step(cache: DynamicCache, key: Tensor, value: Tensor) -> Tensor:
        held, _ = cache.update(key, value, 0)
        return held.sum(dim=2)

    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        for make in (DynamicCache, lambda: StaticCache(Config(), ROOM)):
            ours, plain = make(), make()
            for length in (3, 1, 1):
                new = pair(length)
                torch.testing.assert_close(compiled(ours, *new), step(plain, *new))
            assert ours.get_seq_length() == 5


class TestFixedShapes:
    """The whole room at every step; the length is on the device, where a compiled step can change it."""

    @pytest.fixture
    def cache(self) -> StaticCache:
        cache = StaticCache(Config(), ROOM)
        for layer in range(len(cache)):
            cache.update(*pair(3), layer)
        cache.fix_shapes()
        return cache

    def step(self, cache: Cache, new: int) -> list[tuple[Tensor, Tensor]]:
        """What a forward does: one claim, then every layer."""
        given = [pair(new) for _ in range(len(cache))]
        assert cache.cursor is not None
        cache.cursor.claim(new)
        for index, (key, value) in enumerate(given):
            keys, values = cache.update(key, value, index)
            assert keys.shape == values.shape == (BATCH, HEADS, ROOM, DIM)
        return given

    def test_all_layers_are_written_at_one_place(self, cache: StaticCache) -> None:
        before = [layer.room for layer in cache.layers]
        one, two = self.step(cache, 1), self.step(cache, 2)
        assert cache.get_seq_length() == 6
        for index, layer in enumerate(cache.layers):
            assert layer.length == 6
            keys, values = layer.read()
            assert torch.equal(keys[:, :, 3:], torch.cat((one[index][0], two[index][0]), dim=2))
            assert torch.equal(values[:, :, 3:], torch.cat((one[index][1], two[index][1]), dim=2))
            assert layer.room[0] is before[index][0]

    def test_released_it_goes_on_as_before(self, cache: StaticCache) -> None:
        self.step(cache, 2)
        cache.release_shapes()
        assert cache.cursor is None
        assert cache.get_seq_length() == 5
        assert cache.update(*pair(1), 0)[0].shape[2] == 6

    def test_crop_and_reset(self, cache: StaticCache) -> None:
        cursor = cache.cursor
        self.step(cache, 2)
        cache.crop(-4)
        assert cache.cursor is cursor  # a captured graph holds on to it
        assert cache.get_seq_length() == 1
        cache.reset()
        assert cache.cursor is None
        assert cache.get_seq_length() == 0
        assert cache.layers[0].room is not None

    def test_it_needs_room(self) -> None:
        with pytest.raises(ValueError, match="run the prompts first"):
            StaticCache(Config(), ROOM).fix_shapes()
        DynamicCache().reset()
        assert DynamicCache().cursor is None

    def test_beside_an_encoder(self, cache: StaticCache) -> None:
        both = EncoderDecoderCache(cache, DynamicCache())
        assert both.cursor is cache.cursor
        both.cross_attention_cache.update(*pair(4), 0)
        self.step(both, 1)
        both.crop(-2)
        assert both.get_seq_length() == 2
        assert both.cross_attention_cache.get_seq_length() == 4
        both.reset()
        assert both.cursor is None
