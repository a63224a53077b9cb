"""``relative_attention``: the kernels as an operator of PyTorch, with its gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from formers.attention.contract import BiasTable
from formers.kernels.dropout import new_seed, threshold_of
from formers.kernels.ops import Saved, define, differentiate
from formers.kernels.spans import Spans

from . import launch
from .distances import extended

__all__ = ["Distances", "backward", "distances_of", "forward", "relative_attention"]

_SHARED = (
    "Tensor? extended, Tensor? seed, Tensor? real, Tensor q_bounds, Tensor k_bounds, "
    "SymInt q_longest, SymInt k_longest, bool full, float scale, int low, int high, bool causal, int threshold"
)


class Distances(NamedTuple):
    """A bias table in the two forms that a call needs; made once for all layers, by :func:`distances_of`.

    Attributes:
        values: float32 [heads, low + high + 1]; gradients flow into it.
        extended: from :func:`.distances.extended`.
        low: see :class:`formers.attention.contract.BiasTable`.
        high: the same.
        causal: whether it is for causal attention.
    """

    values: Tensor
    extended: Tensor
    low: int
    high: int
    causal: bool


def distances_of(table: BiasTable, *, causal: bool) -> Distances:
    """The table for calls of one kind. Gradients of all layers are summed in float32."""
    values, low, high = table
    return Distances(values.float(), extended(values, low, high, causal=causal), low, high, causal)


def relative_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    query: Spans,
    key: Spans,
    *,
    scale: float,
    bias: Distances | None = None,
    real: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(scale * q k + bias) v within each document; a query without keys gets 0.

    With a bias, the last query of a document stands at its last key. Without one there are no positions.

    Args:
        q: [query tokens, heads, head_dim]; float32, float16 or bfloat16.
        k: [key tokens, heads, head_dim].
        v: like ``k``.
        query: where the documents of the queries lie.
        key: where those of the keys lie, as many.
        scale: factor of the scores.
        bias: by distance; it says whether attention is causal.
        real: bool [key tokens], False for keys within a document that no query may read.
        dropout: probability of dropping an entry of the probabilities, rounded to steps of 1/65536.

    Returns:
        [query tokens, heads, head_dim]; 0 for tokens outside all documents.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    documents = query.bounds.shape[1]
    if k.shape != v.shape or q.shape[1:] != k.shape[1:] or documents != key.bounds.shape[1]:
        raise ValueError(
            f"Attention of q {tuple(q.shape)} in {documents} documents over k {tuple(k.shape)} and v "
            f"{tuple(v.shape)} in {key.bounds.shape[1]}: heads, widths or documents differ."
        )
    if bias is not None and bias.values.shape != (q.shape[1], bias.low + bias.high + 1):
        raise ValueError(
            f"The bias table has shape {tuple(bias.values.shape)}; expected [heads, distances] = "
            f"({q.shape[1]}, {bias.low} + {bias.high} + 1)."
        )
    threshold = threshold_of(dropout)
    seed = new_seed(q.device) if threshold else None
    values, table, low, high, causal = (None, None, 0, 0, False) if bias is None else bias
    trained = values is not None and values.requires_grad
    out: Tensor = forward(
        q, k, v, values, trained, table, seed, real, query.bounds, key.bounds, query.longest, key.longest,
        query.full and key.full, scale, low, high, causal, threshold,
    )[0]  # fmt: skip
    return out


def _unpack(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    extended: Tensor | None,
    seed: Tensor | None,
    real: Tensor | None,
    q_bounds: Tensor,
    k_bounds: Tensor,
    q_longest: int,
    k_longest: int,
    full: bool,
    scale: float,
    low: int,
    high: int,
    causal: bool,
    threshold: int,
) -> tuple[launch.Matrices, launch.Settings]:
    query, key = Spans(q_bounds, q_longest, full), Spans(k_bounds, k_longest, full)
    inputs = launch.Matrices(q, k, v, extended, seed, real, query, key)
    return inputs, launch.Settings(scale, low, high, causal, threshold)


def _forward(
    q: Tensor, k: Tensor, v: Tensor, table: Tensor | None, trained: bool, *rest: Any
) -> tuple[Tensor, Tensor]:
    return launch.forward(*_unpack(q, k, v, *rest))


def _forward_shapes(
    q: Tensor, k: Tensor, v: Tensor, table: Tensor | None, trained: bool, *rest: Any
) -> tuple[Tensor, Tensor]:
    tokens, heads, _ = q.shape
    return torch.empty(q.shape, dtype=q.dtype, device=q.device), q.new_empty(
        (heads, tokens), dtype=torch.float32
    )


def _backward(
    grad: Tensor, out: Tensor, lse: Tensor, trained: bool, *rest: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs, settings = _unpack(*rest)
    calls = launch.Backward(grad, out, lse, inputs, settings, trained=trained)
    dq = calls.queries()
    dk, dv = calls.keys()
    dtable = calls.table() if trained else lse.new_empty((len(lse), 0))
    return dq, dk, dv, dtable


def _backward_shapes(
    grad: Tensor, out: Tensor, lse: Tensor, trained: bool, q: Tensor, k: Tensor, v: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dq, dk, dv = (torch.empty(like.shape, dtype=like.dtype, device=like.device) for like in (q, k, v))
    low, high = rest[9:11]
    entries = low + high + 1 if trained else 0
    return dq, dk, dv, torch.empty(q.shape[1], entries, dtype=torch.float32, device=q.device)


forward = define(
    "formers_t5::relbias_forward",
    f"(Tensor q, Tensor k, Tensor v, Tensor? table, bool trained, {_SHARED}) -> (Tensor, Tensor)",
    _forward,
    _forward_shapes,
)
backward = define(
    "formers_t5::relbias_backward",
    f"(Tensor grad, Tensor out, Tensor lse, bool trained, Tensor q, Tensor k, Tensor v, {_SHARED}) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    _backward,
    _backward_shapes,
)


def _gradients(saved: Saved, gradients: tuple[Tensor | None, ...]) -> dict[str, Tensor | None]:
    (grad, *_) = gradients
    assert grad is not None
    dq, dk, dv, dtable = backward(
        grad, saved.out, saved.lse, saved.trained, saved.q, saved.k, saved.v, saved.extended, saved.seed, saved.real,
        saved.q_bounds, saved.k_bounds, saved.q_longest, saved.k_longest, saved.full, saved.scale, saved.low,
        saved.high, saved.causal, saved.threshold,
    )  # fmt: skip
    return {"q": dq, "k": dk, "v": dv, "table": dtable if saved.trained else None}


differentiate(forward, _gradients, outputs=("out", "lse"))
