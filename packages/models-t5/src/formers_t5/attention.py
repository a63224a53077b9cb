"""The attention of T5 (Raffel et al. 2020, arXiv 1910.10683, section 2.1).

Departs from scaled dot-product attention in two ways:

* scores are not scaled: the factor is 1, and fresh queries are smaller by the root of the heads' width instead;
* within a stack, ``bias[head, bucket(key - query)]`` is added to the score. Every layer adds the same bias, which
  the first layer holds. Cross-attention has none.

The bucket of a distance: half of the buckets are for one distance each, the other half are as wide as the logarithm
of the distance up to ``relative_attention_max_distance``, and the last holds all that is farther. An encoder has such
a set of buckets for each direction, a decoder only for keys before the query.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from formers.attention.contract import BiasTable
from formers.cache import EncoderDecoderCache
from formers.modeling.layers import Parts
from formers.modeling.pruning import kept_columns, prune_linear_layer
from formers.modeling.runs import keep_packed

from .layers import finite, linear, spread

if TYPE_CHECKING:
    from formers.attention.contract import AttentionPass, ScoreBias
    from formers.cache.layers import Cursor
    from formers.modeling.runs import Run

    from .configuration import T5Config

__all__ = ["PositionBias", "T5Attention", "T5CrossAttention", "bucket_table", "relative_buckets"]

_REACH = 1024


def relative_buckets(distance: Tensor, buckets: int, max_distance: int, *, both_sides: bool) -> Tensor:
    """The bucket of each ``key position - query position``, int64.

    Computed in float32, in this order, as the published models were: a distance at the edge of a bucket must fall on
    the same side.
    """
    offset = torch.zeros_like(distance)
    if both_sides:
        buckets //= 2
        offset = (distance > 0).to(distance.dtype) * buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp_min(0)
    exact = buckets // 2
    logarithm = torch.log(distance.clamp_min(1).float() / exact) / math.log(max_distance / exact)
    far = exact + (logarithm * (buckets - exact)).to(torch.int64)
    return offset + torch.where(distance < exact, distance, far.clamp_max(buckets - 1))


def bucket_table(config: T5Config, *, both_sides: bool) -> Tensor:
    """The bucket of each distance from ``-reach`` to ``reach``, int64 [2 * reach + 1]; what is farther is as those.

    It reaches to where distances differ no more, and at least over texts of the usual lengths.
    """
    reach = max(config.relative_attention_max_distance, _REACH)
    return relative_buckets(
        torch.arange(-reach, reach + 1),
        config.relative_attention_num_buckets,
        config.relative_attention_max_distance,
        both_sides=both_sides,
    )


class PositionBias:
    """The bias that all layers of one forward add to the scores of their self-attention.

    Args:
        weight: [buckets, heads].
        buckets: int64 [2 * reach + 1], see :func:`bucket_table`.
        low: farther keys before the query are in the bucket of this distance.
        high: the same for keys behind it.
        cursor: of a cache of fixed shapes, where only the device knows where the queries stand.
        step: which queries meet which keys.
    """

    __slots__ = ("_buckets", "_columns", "_high", "_low", "_made", "_step", "weight")

    def __init__(
        self, weight: Tensor, buckets: Tensor, low: int, high: int, cursor: Cursor | None, step: AttentionPass
    ) -> None:
        self.weight = weight
        self._buckets, self._low, self._high = buckets, low, high
        self._columns = None if cursor is None else cursor.columns
        self._step = step
        self._made: tuple[bool, BiasTable] | None = None

    def again(self) -> PositionBias:
        """The same bias, of which nothing is made yet."""
        other = copy.copy(self)
        other._made = None
        return other

    def dense(self) -> Tensor:
        """[1, heads, queries, keys]."""
        queries, keys, offset = self._step.query.length, self._step.key.length, self._step.offset
        if (
            self._columns is not None or torch.compiler.is_compiling()
        ):  # to which one length must be like another
            columns = self._columns
            if columns is None:
                columns = torch.arange(offset, offset + queries, device=self.weight.device)
            distances = torch.arange(keys, device=self.weight.device) - columns[:, None]
            return self.weight[self._buckets_of(distances)].permute(2, 0, 1)[None]
        first = 1 - queries - offset
        row = self.weight.t().index_select(1, self._buckets_from(first, queries + keys - 1))
        if queries == 1:
            return row[None, :, None]
        return row.unfold(1, keys, 1).flip(1)[None]  # a window for each query, that of the last one first

    def table(self) -> BiasTable:
        """The bias by distance."""
        grad = torch.is_grad_enabled()
        if self._made is None or self._made[0] != grad:
            index = self._buckets_from(-self._low, self._low + self._high + 1)
            # By embedding, whose gradient on a GPU has the same bits each time; that of index_select has not.
            values = embedding(index, self.weight).t()
            self._made = grad, BiasTable(values, self._low, self._high)
        return self._made[1]

    def _buckets_from(self, first: int, count: int) -> Tensor:
        """The buckets of so many distances from the first on."""
        start = first + len(self._buckets) // 2
        if start >= 0 and start + count <= len(self._buckets):
            return self._buckets.narrow(0, start, count)
        return self._buckets_of(torch.arange(first, first + count, device=self._buckets.device))

    def _buckets_of(self, distances: Tensor) -> Tensor:
        reach = len(self._buckets) // 2
        return self._buckets[distances.clamp(-reach, reach) + reach]


class _BiasOfHeads:
    """The bias of those heads that a layer still has."""

    __slots__ = ("_bias", "_kept", "_step")

    def __init__(self, bias: ScoreBias, kept: list[int], step: AttentionPass) -> None:
        self._bias = bias
        self._kept = kept
        self._step = step

    def dense(self) -> Tensor:
        """[batch | 1, heads kept, queries, keys]."""
        return self._step.dense(self._bias)[:, self._kept]

    def table(self) -> BiasTable | None:
        """The bias by distance."""
        table = self._bias.table()
        return None if table is None else table._replace(values=table.values[self._kept])


class _MultiHead(nn.Module):
    """What self- and cross-attention have in common: the linear maps into and out of heads, and their pruning."""

    def __init__(self, config: T5Config, layer: int) -> None:
        super().__init__()
        width, inner = config.d_model, config.num_heads * config.d_kv
        self.layer = layer
        self.all_heads = self.num_heads = config.num_heads
        self.head_dim = config.d_kv
        self.dropout = config.dropout_rate
        self.q = linear(width, inner, (width * config.d_kv) ** -0.5)
        self.k = linear(width, inner, width**-0.5)
        self.v = linear(width, inner, width**-0.5)
        self.o = linear(inner, width, inner**-0.5)
        self.pruned_heads: set[int] = set()

    def _heads(self, mapped: Tensor) -> Tensor:
        """[..., heads * head_dim] as [tokens, heads, head_dim]."""
        # Without heads torch cannot tell what -1 stands for.
        tokens = -1 if self.num_heads else mapped.shape[:-1].numel()
        return mapped.view(tokens, self.num_heads, self.head_dim)

    def _out(self, context: Tensor, hidden_states: Tensor) -> Tensor:
        """[..., hidden] for the context [tokens, heads, head_dim]."""
        parts: Parts = self._modules
        inner = self.num_heads * self.head_dim
        return finite(parts["o"](context.reshape(*hidden_states.shape[:-1], inner)))

    def _step(self, step: AttentionPass) -> AttentionPass:
        if self.training or step.dropout:  # a layer may be frozen by eval(), or have a dropout of its own
            return step.with_dropout(self.dropout if self.training else 0.0)
        return step

    def prune_heads(self, heads: Iterable[int]) -> None:
        """Remove heads for good; they are numbered as in the unpruned layer."""
        new, kept = kept_columns(heads, self.num_heads, self.head_dim, self.pruned_heads)
        if not new:
            return
        for name in ("q", "k", "v"):
            setattr(self, name, prune_linear_layer(getattr(self, name), kept))
        self.o = prune_linear_layer(self.o, kept, dim=1)
        self.num_heads -= len(new)
        self.pruned_heads |= new


class T5Attention(_MultiHead):
    """Every position attends to those of its own sequence; in a decoder to itself and those before it."""

    def __init__(self, config: T5Config, layer: int) -> None:
        super().__init__(config, layer)
        if layer == 0:
            table = nn.Embedding(config.relative_attention_num_buckets, config.num_heads)
            self.relative_attention_bias = spread(table, config.d_model**-0.5)

    def forward(self, hidden_states: Tensor, run: Run) -> tuple[Tensor, Tensor | None]:
        """[..., hidden] for [..., hidden], and the probabilities if ``run`` asks."""
        parts: Parts = self._modules
        cache, masks, bias = run.cache, run.head_mask, run.bias
        if self.pruned_heads and bias is not None:
            kept = [head for head in range(self.all_heads) if head not in self.pruned_heads]
            bias = _BiasOfHeads(bias, kept, run.step)
        key, value = self._heads(parts["k"](hidden_states)), self._heads(parts["v"](hidden_states))
        layer = None if cache is None else cache.layer(self.layer)
        if layer is not None and run.step.key.is_packed:
            keep_packed(layer, key, value, run.step)
            layer = None
        context, probs = run.attend(
            self._heads(parts["q"](hidden_states)),
            key,
            value,
            self._step(run.step),
            scale=1.0,
            cache=layer,
            bias=bias,
            head_mask=None if masks is None else masks[self.layer],
        )
        return self._out(context, hidden_states), probs


class T5CrossAttention(_MultiHead):
    """Every position attends to the hidden states of the encoder."""

    def forward(
        self, hidden_states: Tensor, run: Run, encoder_hidden_states: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Like :class:`T5Attention`; the encoder's keys and values are cached by the first call."""
        assert run.cross_attend is not None
        assert run.cross_step is not None
        parts: Parts = self._modules
        key = value = None
        cache = run.cache.cross_layer(self.layer) if isinstance(run.cache, EncoderDecoderCache) else None
        if cache is None or not cache.is_filled:
            key = self._heads(parts["k"](encoder_hidden_states))
            value = self._heads(parts["v"](encoder_hidden_states))
            if cache is not None and run.cross_step.key.places is not None:
                keep_packed(cache, key, value, run.cross_step)
                cache = None
        masks = run.cross_head_mask
        context, probs = run.cross_attend(
            self._heads(parts["q"](hidden_states)),
            key,
            value,
            self._step(run.cross_step),
            scale=1.0,
            cache=cache,
            head_mask=None if masks is None else masks[self.layer],
        )
        return self._out(context, hidden_states), probs
