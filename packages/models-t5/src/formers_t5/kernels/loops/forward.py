"""The output: one program for each block of queries, head and document, which runs over the keys."""

from __future__ import annotations

import triton
import triton.language as tl

from formers.kernels.steps import (
    LOG2E,
    dot,
    keep_tile,
    load_tile,
    narrow,
    normalised,
    place,
    softmax_step,
    store_tile,
)

from .tiles import bias_tile, column_bias, document_of

__all__ = ["forward"]


@triton.jit
def forward(
    q, k, v, out, lse, table, seed, real, q_spans, k_spans,
    q_token, q_head, k_token, k_head, v_token, v_head, out_token, out_head, lse_head, table_head,
    documents, blocks, heads, width, scale, threshold, kept_scale, low, high, edge,
    BIAS: tl.constexpr, CAUSAL: tl.constexpr, HOLES: tl.constexpr, DROPOUT: tl.constexpr,
    WIDTH: tl.constexpr, CHECK_WIDTH: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """A block of outputs and of log-sum-exps, which are [heads, tokens]."""
    block, head, document = place(blocks, heads)
    if CAUSAL:
        block = blocks - 1 - block  # the last blocks read most; they start first
    q_start, queries, k_origin, lowest, end = document_of(document, documents, q_spans, k_spans, BIAS)
    first_row = block * BLOCK_Q
    if first_row >= queries:
        return
    rows = first_row + tl.arange(0, BLOCK_Q)
    columns = tl.arange(0, WIDTH)
    q_base = q + q_start.to(tl.int64) * q_token + head * q_head
    k_base = k + k_origin * k_token + head * k_head
    v_base = v + k_origin * v_token + head * v_head
    q_tile = load_tile(q_base, rows, q_token, columns, queries, width, True, CHECK_WIDTH)
    if DROPOUT:
        key_of_seed = tl.load(seed)

    # Tiles of keys before `left` are far to the left, those from `right` on far to the right, the others the band.
    begin = -tl.cdiv(-lowest, BLOCK_K) * BLOCK_K
    stop = end
    if CAUSAL:
        stop = tl.minimum(end, first_row + BLOCK_Q)
    if BIAS:
        table += head * table_head + edge + low
        far_left = tl.load(table - low)
        far_right = tl.load(table + high)
        left = begin + tl.maximum(first_row - low + 1 - begin, 0) // BLOCK_K * BLOCK_K
        right = stop if CAUSAL else tl.cdiv(first_row + BLOCK_Q - 1 + high, BLOCK_K) * BLOCK_K

    highest = tl.full([BLOCK_Q], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_Q], tl.float32)
    accumulated = tl.zeros([BLOCK_Q, WIDTH], tl.float32)
    for start in range(begin, stop, BLOCK_K):
        x = start + tl.arange(0, BLOCK_K)
        held = tl.where(x < lowest, end, x)  # the key tiles' only check is against the end
        k_tile = load_tile(k_base, held, k_token, columns, end, width, True, CHECK_WIDTH)
        far = 0.0
        if BIAS:
            far = tl.where(start < left, far_left, tl.where(start < right, 0.0, far_right))
        added = column_bias(x, lowest, end, real + k_origin, far, HOLES)
        scores = dot(q_tile, tl.trans(k_tile)) * (scale * LOG2E) + added[None, :]
        if BIAS:
            if (start >= left) & (start < right):
                scores += bias_tile(table, start - first_row, BLOCK_Q, BLOCK_K, False)
        weights, factor, highest, total = softmax_step(scores, highest, total)
        if DROPOUT:
            stream = document * heads + head
            kept = keep_tile(key_of_seed, stream, first_row, start, threshold, BLOCK_Q, BLOCK_K)
            weights = tl.where(kept, weights, 0.0)
        v_tile = load_tile(v_base, held, v_token, columns, end, width, True, CHECK_WIDTH)
        accumulated = accumulated * factor[:, None] + dot(narrow(weights, v_tile.dtype), v_tile)

    if DROPOUT:
        accumulated = accumulated * kept_scale
    result, row_lse = normalised(accumulated, highest, total)
    out_base = out + q_start.to(tl.int64) * out_token + head * out_head
    store_tile(out_base, rows, out_token, columns, queries, width, result, CHECK_WIDTH)
    tl.store(lse + head.to(tl.int64) * lse_head + q_start + rows, row_lse, mask=rows < queries)
