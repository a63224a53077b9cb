"""``varlen_attention``: the kernels as an operator of PyTorch, with its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.kernels.dropout import new_seed, threshold_of
from formers.kernels.ops import Saved, define, differentiate
from formers.kernels.spans import Spans

from . import launch

__all__ = ["backward", "forward", "varlen_attention"]

_SHARED = (
    "Tensor q_bounds, Tensor k_bounds, SymInt q_longest, SymInt k_longest, "
    "bool full, float scale, bool causal, int threshold"
)


def varlen_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    query: Spans,
    key: Spans,
    *,
    scale: float,
    causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(scale * q k) v within each document; a query without keys gets 0.

    Args:
        q: [query tokens, heads, head_dim]; float32, float16 or bfloat16.
        k: [key tokens, key heads, head_dim]; the number of key heads divides that of the heads.
        v: like ``k``.
        query: where the documents of the queries lie.
        key: where those of the keys lie, as many.
        scale: factor of the scores.
        causal: query i of a document reads its keys up to i, counted so that the last query stands at the last key.
        dropout: probability of dropping an entry of the probabilities, rounded to steps of 1/65536.

    Returns:
        [query tokens, heads, head_dim]; 0 for tokens outside all documents.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    documents = query.bounds.shape[1]
    if k.shape != v.shape or q.shape[2] != k.shape[2] or documents != key.bounds.shape[1]:
        raise ValueError(
            f"Attention of q {tuple(q.shape)} in {documents} documents over k {tuple(k.shape)} and v "
            f"{tuple(v.shape)} in {key.bounds.shape[1]}: widths, key heads or documents differ."
        )
    threshold = threshold_of(dropout)
    seed = new_seed(q.device) if threshold else None
    full = query.full and key.full
    bounds = query.bounds, key.bounds, query.longest, key.longest
    out: Tensor = forward(q, k, v, seed, *bounds, full, scale, causal, threshold)[0]
    return out


def _unpack(
    q_bounds: Tensor,
    k_bounds: Tensor,
    q_longest: int,
    k_longest: int,
    full: bool,
    scale: float,
    causal: bool,
    threshold: int,
) -> tuple[Spans, Spans, launch.Settings]:
    query, key = Spans(q_bounds, q_longest, full), Spans(k_bounds, k_longest, full)
    return query, key, launch.Settings(scale, causal, threshold)


def _forward(q: Tensor, k: Tensor, v: Tensor, seed: Tensor | None, *rest: Any) -> tuple[Tensor, Tensor]:
    return launch.forward(q, k, v, seed, *_unpack(*rest))


def _forward_shapes(
    q: Tensor, k: Tensor, v: Tensor, seed: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor]:
    return torch.empty(q.shape, dtype=q.dtype, device=q.device), q.new_empty(
        (q.shape[1], q.shape[0]), dtype=torch.float32
    )


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    seed: Tensor | None,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    calls = launch.Backward(grad, q, k, v, out, lse, seed, *_unpack(*rest))
    return calls.queries(), *calls.keys()


def _backward_shapes(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    dq, dk, dv = (torch.empty(like.shape, dtype=like.dtype, device=like.device) for like in (q, k, v))
    return dq, dk, dv


forward = define(
    "formers_bert::varlen_forward",
    f"(Tensor q, Tensor k, Tensor v, Tensor? seed, {_SHARED}) -> (Tensor, Tensor)",
    _forward,
    _forward_shapes,
)
backward = define(
    "formers_bert::varlen_backward",
    f"(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse, Tensor? seed, {_SHARED}) "
    "-> (Tensor, Tensor, Tensor)",
    _backward,
    _backward_shapes,
)


def _gradients(saved: Saved, gradients: tuple[Tensor | None, ...]) -> dict[str, Tensor | None]:
    (grad, *_) = gradients
    assert grad is not None
    found = backward(
        grad, saved.q, saved.k, saved.v, saved.out, saved.lse, saved.seed,
        saved.q_bounds, saved.k_bounds, saved.q_longest, saved.k_longest,
        saved.full, saved.scale, saved.causal, saved.threshold,
    )  # fmt: skip
    return dict(zip(("q", "k", "v"), found, strict=True))


differentiate(forward, _gradients, outputs=("out", "lse"))
