"""The gradient of the queries: one program for each block of them, head and document, which runs over the keys."""

from __future__ import annotations

import triton
import triton.language as tl

from formers.kernels.steps import LOG2E, dot, keep_tile, load_tile, narrow, place, probabilities, store_tile

from .tiles import bias_tile, column_bias, document_of

__all__ = ["query_gradients", "score_gradients"]


@triton.jit
def score_gradients(
    scores, g_tile, v_tile, row_lse, row_delta, seed, stream, first_row, first_x, threshold, kept_scale,
    DROPOUT: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """The gradients of a tile of scores, float32 [BLOCK_Q, BLOCK_K]."""
    weights = probabilities(scores, row_lse[:, None])
    change = dot(g_tile, tl.trans(v_tile))
    if DROPOUT:
        kept = keep_tile(seed, stream, first_row, first_x, threshold, BLOCK_Q, BLOCK_K)
        change = tl.where(kept, change * kept_scale, 0.0)
    return weights * (change - row_delta[:, None])


@triton.jit
def query_gradients(
    q, k, v, out, grad, dq, lse, deltas, far_sums, table, seed, real, q_spans, k_spans,
    q_token, q_head, k_token, k_head, v_token, v_head, out_token, out_head, lse_head, table_head,
    documents, blocks, heads, width, scale, threshold, kept_scale, low, high, edge, band_first, band_last,
    SUMMED: tl.constexpr, BIAS: tl.constexpr, CAUSAL: tl.constexpr, HOLES: tl.constexpr, DROPOUT: tl.constexpr,
    WIDTH: tl.constexpr, CHECK_WIDTH: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """A block of gradients of the queries; ``grad`` and ``dq`` are laid out as the output is.

    On the way come ``deltas``, of each row the product of the output and its gradient, which the other kernels need,
    and, if SUMMED, ``far_sums`` [2, heads, documents, blocks], the gradients of the scores summed over the far left and
    over the far right. The tiles from ``band_first`` to ``band_last``, counted from that of the block's first row, are
    the band, which :func:`.band.band_gradients` sums.
    """
    block, head, document = place(blocks, heads)
    if CAUSAL:
        block = blocks - 1 - block
    q_start, queries, k_origin, lowest, end = document_of(document, documents, q_spans, k_spans, BIAS)
    first_row = block * BLOCK_Q
    if SUMMED:
        left_sum = far_sums + (head * documents + document) * blocks + block
        right_sum = left_sum + heads * documents * blocks
    if first_row >= queries:
        if SUMMED:
            tl.store(left_sum, 0.0)
            tl.store(right_sum, 0.0)
        return
    rows = first_row + tl.arange(0, BLOCK_Q)
    columns = tl.arange(0, WIDTH)
    q_base = q + q_start.to(tl.int64) * q_token + head * q_head
    k_base = k + k_origin * k_token + head * k_head
    v_base = v + k_origin * v_token + head * v_head
    out_offset = q_start.to(tl.int64) * out_token + head * out_head
    lse_offset = head.to(tl.int64) * lse_head + q_start
    q_tile = load_tile(q_base, rows, q_token, columns, queries, width, True, CHECK_WIDTH)
    g_tile = load_tile(grad + out_offset, rows, out_token, columns, queries, width, True, CHECK_WIDTH)
    out_tile = load_tile(out + out_offset, rows, out_token, columns, queries, width, True, CHECK_WIDTH)
    row_delta = tl.sum(out_tile.to(tl.float32) * g_tile.to(tl.float32), 1)
    tl.store(deltas + lse_offset + rows, row_delta, mask=rows < queries)
    row_lse = tl.load(lse + lse_offset + rows, mask=rows < queries, other=float("inf"))
    key_of_seed = 0
    if DROPOUT:
        key_of_seed = tl.load(seed)

    begin = -tl.cdiv(-lowest, BLOCK_K) * BLOCK_K
    stop = end
    if CAUSAL:
        stop = tl.minimum(end, first_row + BLOCK_Q)
    if BIAS:
        table += head * table_head + edge + low
        far_left = tl.load(table - low)
        far_right = tl.load(table + high)
        left = first_row + band_first * BLOCK_K
        right = first_row + band_last * BLOCK_K

    accumulated = tl.zeros([BLOCK_Q, WIDTH], tl.float32)
    left_sums = tl.zeros([BLOCK_Q], tl.float32)
    right_sums = tl.zeros([BLOCK_Q], tl.float32)
    for start in range(begin, stop, BLOCK_K):
        x = start + tl.arange(0, BLOCK_K)
        held = tl.where(x < lowest, end, x)
        k_tile = load_tile(k_base, held, k_token, columns, end, width, True, CHECK_WIDTH)
        v_tile = load_tile(v_base, held, v_token, columns, end, width, True, CHECK_WIDTH)
        far = 0.0
        if BIAS:
            far = tl.where(start < left, far_left, tl.where(start < right, 0.0, far_right))
        added = column_bias(x, lowest, end, real + k_origin, far, HOLES)
        scores = dot(q_tile, tl.trans(k_tile)) * (scale * LOG2E) + added[None, :]
        if BIAS:
            if (start >= left) & (start < right):
                scores += bias_tile(table, start - first_row, BLOCK_Q, BLOCK_K, False)
        change = score_gradients(
            scores, g_tile, v_tile, row_lse, row_delta, key_of_seed, document * heads + head, first_row, start,
            threshold, kept_scale, DROPOUT, BLOCK_Q, BLOCK_K,
        )  # fmt: skip
        accumulated += dot(narrow(change, k_tile.dtype), k_tile)
        if SUMMED:
            row_sums = tl.sum(change, 1)
            left_sums += tl.where(start < left, row_sums, 0.0)
            right_sums += tl.where(start < right, 0.0, row_sums)
    if SUMMED:
        tl.store(left_sum, tl.sum(left_sums, 0))
        tl.store(right_sum, tl.sum(right_sums, 0))
    store_tile(dq + out_offset, rows, out_token, columns, queries, width, accumulated * scale, CHECK_WIDTH)
