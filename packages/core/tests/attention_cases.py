"""Attention calls of every kind, and the same computed by loops in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from formers.attention import AttentionImplementation, AttentionPass, DenseBias, ScoreBias, TableBias
from formers.attention.eager import Eager
from formers.attention.sdpa import Sdpa
from formers.attention.varlen_cpu import VarlenCpu
from formers.layout import Layout

IMPLEMENTATIONS: dict[str, AttentionImplementation] = {
    "eager": Eager(),
    "sdpa": Sdpa(),
    "varlen_cpu": VarlenCpu(),
}
SCALE = 0.4


@dataclass
class Call:
    """The arguments of one attention call; every tensor that may be trained requires gradients."""

    q: Tensor
    k: Tensor
    v: Tensor
    query: Layout
    key: Layout
    causal: bool = False
    bias: Callable[[Tensor], ScoreBias] | None = None
    weights: Tensor | None = None  # what the bias is made of

    def run(self, implementation: AttentionImplementation, **options: Any) -> tuple[Tensor, Tensor | None]:
        step = AttentionPass(self.query, self.key, causal=self.causal, **options)
        return implementation(self.q, self.k, self.v, step, scale=SCALE, bias=self.score_bias())

    def score_bias(self) -> ScoreBias | None:
        return None if self.bias is None or self.weights is None else self.bias(self.weights)

    def leaves(self) -> list[Tensor]:
        return [self.q, self.k, self.v] + ([] if self.weights is None else [self.weights])

    def double(self) -> Call:
        """The same call in float64, with leaves of its own."""
        q, k, v, *weights = (leaf.detach().double().requires_grad_() for leaf in self.leaves())
        return replace(self, q=q, k=k, v=v, weights=weights[0] if weights else None)


def by_loops(call: Call) -> Tensor:
    """Softmax attention, one query of one head at a time."""
    query, key, value = call.query.rows(call.q), call.key.rows(call.k), call.key.rows(call.v)
    bias = call.score_bias()
    dense = None if bias is None else bias.dense()
    mask, pairwise, additive = call.key.key_mask(), call.key.pairwise, call.key.additive
    batch, queries, heads, _ = query.shape
    rows = []
    for b in range(batch):
        for i in range(queries):
            for h in range(heads):
                group = h * key.shape[2] // heads
                readable, scores = [], []
                for j in range(key.shape[1]):
                    seen = mask is None or bool(mask[b, j])
                    if pairwise is not None:
                        seen = bool(pairwise.expand(batch, heads, -1, -1)[b, h, i, j])
                    elif call.causal:
                        seen = seen and j <= i + key.shape[1] - queries
                    if not seen:
                        continue
                    score = SCALE * (query[b, i, h] @ key[b, j, group])
                    if dense is not None:
                        score = score + dense.expand(batch, heads, -1, -1)[b, h, i, j]
                    if additive is not None:
                        score = score + additive.expand(batch, heads, -1, -1)[b, h, i, j]
                    readable.append(j)
                    scores.append(score)
                if readable:
                    probs = torch.softmax(torch.stack(scores), dim=0)
                    rows.append(probs @ value[b, readable, group])
                else:
                    rows.append(0 * value[b, :, group].sum(dim=0) + 0 * query[b, i, h].sum())
    return call.query.flat(torch.stack(rows).view(batch, queries, heads, -1))


@st.composite
def calls(draw: st.DrawFn, *, packed: bool | None = None, causal: bool | None = None) -> Call:
    """Small calls with odd sizes, fully masked rows, other numbers of key heads, biases and masks of every shape."""
    torch.manual_seed(draw(st.integers(0, 10**6)))
    causal = draw(st.booleans()) if causal is None else causal
    heads, dim = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([1, 3, 8]))
    key_heads = draw(st.sampled_from([1, heads]))
    if draw(st.booleans()) if packed is None else packed:
        query, key = draw(packed_layouts(causal))
    else:
        query, key = draw(padded_layouts(causal, heads))
    q = torch.randn(query.tokens, heads, dim, requires_grad=True)
    k, v = (torch.randn(key.tokens, key_heads, dim, requires_grad=True) for _ in range(2))
    call = Call(q, k, v, query, key, causal)
    kind = draw(st.sampled_from(["none", "dense", "dense of one row", "table"]))
    if kind == "table":
        low, high = draw(st.integers(0, 4)), draw(st.integers(0, 4))
        sizes = query.length, key.length, key.length - query.length
        call.weights = torch.randn(heads, low + high + 1, requires_grad=True)
        call.bias = lambda weights: TableBias(weights, low, high, *sizes)
    elif kind != "none":
        shape = (query.batch, heads) if kind == "dense" else (1, 1)
        call.weights = torch.randn(*shape, query.length, key.length, requires_grad=True)
        call.bias = DenseBias
    return call


@st.composite
def padded_layouts(draw: st.DrawFn, causal: bool, heads: int) -> tuple[Layout, Layout]:
    batch, queries = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    keys = queries + draw(st.integers(0, 3)) if causal else draw(st.integers(1, 6))
    query = Layout.padded(batch, queries)
    kind = draw(st.sampled_from(["none", "2-D", "3-D", "4-D", "4-D added"]))
    some = [batch, draw(st.sampled_from([1, heads])), queries, keys]
    shapes = {"2-D": [batch, keys], "3-D": [batch, queries, keys], "4-D": some, "4-D added": [1, *some[1:]]}
    mask = None
    if kind != "none":
        mask = torch.rand(shapes[kind]) < draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))
        if kind == "4-D added":
            mask = torch.randn(mask.shape).masked_fill(~mask, draw(st.sampled_from([-torch.inf, -1e9])))
    if queries == keys and kind == "none" and draw(st.booleans()):
        return query, query
    return query, Layout.from_attention_mask(mask, batch, keys, queries)


@st.composite
def packed_layouts(draw: st.DrawFn, causal: bool) -> tuple[Layout, Layout]:
    def layout(batch: int) -> Layout:
        lengths = draw(st.lists(st.integers(0, 5), min_size=batch, max_size=batch))
        bounds = torch.tensor([0, *lengths]).cumsum(0)
        return Layout.packed(bounds, max(lengths) + draw(st.integers(0, 1)) or 1, sum(lengths))

    query = layout(draw(st.integers(1, 4)))
    return query, query if causal or draw(st.booleans()) else layout(query.batch)
