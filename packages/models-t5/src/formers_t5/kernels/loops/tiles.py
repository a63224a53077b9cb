"""What all kernels do with one tile of scores, and where their documents lie."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["bias_tile", "column_bias", "document_of"]


@triton.jit
def document_of(document, documents, q_spans, k_spans, BIAS: tl.constexpr):
    """(q_start, queries, k_origin, lowest, end): keys are numbered from ``k_origin``, and go from lowest to end."""
    q_start = tl.load(q_spans + document)
    queries = tl.load(q_spans + documents + document) - q_start
    k_start = tl.load(k_spans + document)
    keys = tl.load(k_spans + documents + document) - k_start
    ahead = keys * 0
    if BIAS:
        ahead = keys - queries
    return q_start, queries, (k_start + ahead).to(tl.int64), -ahead, keys - ahead


@triton.jit
def column_bias(x, lowest, end, real, far, HOLES: tl.constexpr):
    """What is added to all scores of keys ``x``: the number ``far``, or -inf where a key may not be read."""
    ok = (x >= lowest) & (x < end)
    if HOLES:
        ok = ok & (tl.load(real + x, mask=ok, other=0) != 0)
    return tl.where(ok, far, float("-inf"))


@triton.jit
def bias_tile(table, distance, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, TURNED: tl.constexpr):
    """The bias of a tile whose first key is at ``distance`` of its first query, [BLOCK_Q, BLOCK_K], or TURNED.

    Gathered from one vector, since a tile has only BLOCK_Q + BLOCK_K - 1 distances. The index is flattened because a
    gather along one axis takes any layout of threads, that of the matrix instructions too: a tile that is loaded by
    pointers goes through shared memory to get there.
    """
    SPAN: tl.constexpr = 2 * (BLOCK_Q if BLOCK_Q > BLOCK_K else BLOCK_K)
    near = tl.load(table + (distance - (BLOCK_Q - 1)) + tl.arange(0, SPAN))
    if TURNED:
        index = tl.arange(0, BLOCK_K)[:, None] - tl.arange(0, BLOCK_Q)[None, :] + (BLOCK_Q - 1)
        tile = tl.reshape(tl.gather(near, tl.reshape(index, [BLOCK_Q * BLOCK_K]), 0), [BLOCK_K, BLOCK_Q])
    else:
        index = tl.arange(0, BLOCK_K)[None, :] - tl.arange(0, BLOCK_Q)[:, None] + (BLOCK_Q - 1)
        tile = tl.reshape(tl.gather(near, tl.reshape(index, [BLOCK_Q * BLOCK_K]), 0), [BLOCK_Q, BLOCK_K])
    return tile
