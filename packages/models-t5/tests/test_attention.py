"""The position bias of T5."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from formers.attention.contract import AttentionPass, TableBias
from formers.cache.layers import Cursor
from formers.layout import Layout
from formers_t5.attention import PositionBias, bucket_table, relative_buckets
from formers_t5.configuration import T5Config, tiny_config
from formers_t5.modeling import T5EncoderModel, decoder_of, encoder_of


def bucket(distance: int, buckets: int, longest: int, both_sides: bool) -> int:
    """Raffel et al. 2020, as the release of T5 computes it, for one distance in float64."""
    first = 0
    if both_sides:
        buckets //= 2
        first = buckets if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    share = math.log(distance / exact) / math.log(longest / exact)
    return first + min(exact + int(share * (buckets - exact)), buckets - 1)


@pytest.mark.parametrize("both_sides", [True, False])
@pytest.mark.parametrize(("buckets", "longest"), [(32, 128), (8, 20), (31, 77)])
def test_buckets_are_those_of_the_formula(buckets: int, longest: int, both_sides: bool) -> None:
    distances = torch.arange(-300, 301)
    found = relative_buckets(distances, buckets, longest, both_sides=both_sides)
    wanted = torch.tensor([bucket(int(one), buckets, longest, both_sides) for one in distances])
    differ = (found != wanted).sum()
    assert differ <= 2  # where float32 and float64 see the edge of a bucket on different sides
    assert (found - wanted).abs().max() <= 1


def dense(
    config: T5Config, *, causal: bool, queries: int, keys: int, columns: Tensor | None = None
) -> Tensor:
    """The bias as the formula has it, [1, heads, queries, keys], for a weight of one number for each bucket."""
    columns = torch.arange(keys - queries, keys) if columns is None else columns
    distances = torch.arange(keys) - columns[:, None]
    buckets = relative_buckets(
        distances,
        config.relative_attention_num_buckets,
        config.relative_attention_max_distance,
        both_sides=not causal,
    )
    return torch.stack([buckets, -buckets])[None].float()


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("queries", "keys"), [(1, 1), (1, 40), (7, 7), (7, 40), (3, 3000), (1, 3000), (1200, 1200)]
)
@pytest.mark.parametrize("longest", [16, 1100])
def test_the_bias_is_that_of_the_formula(causal: bool, queries: int, keys: int, longest: int) -> None:
    config = tiny_config(relative_attention_max_distance=longest)
    weight = torch.stack([torch.arange(8.0), -torch.arange(8.0)], dim=1)
    table = bucket_table(config, both_sides=not causal)
    step = AttentionPass(Layout.padded(1, queries), Layout.padded(1, keys), causal=causal)
    bias = PositionBias(weight, table, longest, 0 if causal else longest, None, step)
    wanted = dense(config, causal=causal, queries=queries, keys=keys)
    assert torch.equal(bias.dense(), wanted)
    by_distance = TableBias(*bias.table(), queries, keys, offset=keys - queries)
    assert torch.equal(by_distance.dense(), wanted)


def test_the_bias_of_queries_that_only_the_device_knows() -> None:
    config, cursor = tiny_config(), Cursor(30, torch.device("cpu"))
    cursor.length.fill_(5)
    cursor.claim(3)
    weight = torch.stack([torch.arange(8.0), -torch.arange(8.0)], dim=1)
    step = AttentionPass(Layout.padded(1, 3), Layout.padded(1, 30))
    bias = PositionBias(weight, bucket_table(config, both_sides=False), 16, 0, cursor, step)
    wanted = dense(config, causal=True, queries=3, keys=30, columns=torch.arange(5, 8))
    assert torch.equal(bias.dense(), wanted)


def test_a_bias_made_without_gradients_is_not_used_with_them() -> None:
    weight = torch.randn(8, 2, requires_grad=True)
    step = AttentionPass(Layout.padded(1, 3), Layout.padded(1, 3))
    bias = PositionBias(weight, bucket_table(tiny_config(), both_sides=True), 16, 16, None, step)
    with torch.no_grad():
        assert not bias.table().values.requires_grad
    assert bias.table().values.requires_grad
    assert bias.table() is bias.table()


@pytest.mark.parametrize("make", [encoder_of, decoder_of])
def test_only_the_first_layer_holds_a_bias(make: object) -> None:
    stack = make(tiny_config(num_layers=3))  # type: ignore[operator]
    names = [name for name, _ in stack.named_parameters() if "relative_attention_bias" in name]
    assert names == ["block.0.layer.0.SelfAttention.relative_attention_bias.weight"]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_training_keeps_no_bias_for_each_layer(attention: str) -> None:
    """What a layer keeps for its backward pass are probabilities, [batch, ...]; the bias, [1, ...], is that of all."""
    length, heads, counts = 25, 2, []  # of which no other tensor has the size
    ids = torch.randint(2, 64, (3, length))
    mask = torch.ones_like(ids)
    mask[1, 20:] = 0
    for layers in (1, 6):
        model = T5EncoderModel(tiny_config(num_layers=layers, num_heads=heads)).train()
        model.set_attn_implementation(attention)
        kept: dict[int, Tensor] = {}

        def note(tensor: Tensor, kept: dict[int, Tensor] = kept) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            output = model(ids, mask).last_hidden_state
        sizes = [tensor.untyped_storage().nbytes() for tensor in kept.values()]
        counts.append(sizes.count(4 * heads * length * length))
        probabilities = sizes.count(3 * 4 * heads * length * length)
        assert probabilities >= layers
        assert output.requires_grad  # what it keeps is still there
    assert counts[0] == counts[1] <= 1
