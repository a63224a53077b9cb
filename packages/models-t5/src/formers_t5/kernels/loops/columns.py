"""The gradients of keys and values: one program for each block of them, head and document, over the queries."""

from __future__ import annotations

import triton
import triton.language as tl

from formers.kernels.steps import LOG2E, dot, keep_tile, load_tile, narrow, place, probabilities, store_tile

from .tiles import bias_tile, column_bias, document_of

__all__ = ["key_gradients"]


@triton.jit
def key_gradients(
    q, k, v, grad, dk, dv, lse, deltas, table, seed, real, q_spans, k_spans,
    q_token, q_head, k_token, k_head, v_token, v_head, out_token, out_head, dk_token, dk_head, lse_head, table_head,
    documents, blocks, heads, width, scale, threshold, kept_scale, low, high, edge,
    BIAS: tl.constexpr, CAUSAL: tl.constexpr, HOLES: tl.constexpr, DROPOUT: tl.constexpr,
    WIDTH: tl.constexpr, CHECK_WIDTH: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """A block of gradients of keys and of values, which are laid out alike.

    Scores are transposed here, [BLOCK_K, BLOCK_Q]: as left operands of the products they stay in registers.
    """
    block, head, document = place(blocks, heads)
    q_start, queries, k_origin, lowest, end = document_of(document, documents, q_spans, k_spans, BIAS)
    first_x = block * BLOCK_K - tl.cdiv(-lowest, BLOCK_K) * BLOCK_K
    if first_x >= end:
        return
    x = first_x + tl.arange(0, BLOCK_K)
    held = tl.where(x < lowest, end, x)
    columns = tl.arange(0, WIDTH)
    q_base = q + q_start.to(tl.int64) * q_token + head * q_head
    g_base = grad + q_start.to(tl.int64) * out_token + head * out_head
    k_base = k + k_origin * k_token + head * k_head
    v_base = v + k_origin * v_token + head * v_head
    lse_offset = head.to(tl.int64) * lse_head + q_start
    k_tile = load_tile(k_base, held, k_token, columns, end, width, True, CHECK_WIDTH)
    v_tile = load_tile(v_base, held, v_token, columns, end, width, True, CHECK_WIDTH)
    open_keys = column_bias(x, lowest, end, real + k_origin, 0.0, HOLES)[:, None]
    if DROPOUT:
        key_of_seed = tl.load(seed)

    # Of rows before `above` these keys are far to the right, of rows from `below` on far to the left.
    first_tile = 0
    if CAUSAL:
        first_tile = tl.maximum(first_x, 0) // BLOCK_Q * BLOCK_Q
    if BIAS:
        table += head * table_head + edge + low
        far_left = tl.load(table - low)
        far_right = tl.load(table + high)
        above = first_tile if CAUSAL else tl.maximum(first_x - high + 1, 0) // BLOCK_Q * BLOCK_Q
        below = tl.cdiv(tl.maximum(first_x + BLOCK_K - 1 + low, 0), BLOCK_Q) * BLOCK_Q

    dk_tile = tl.zeros([BLOCK_K, WIDTH], tl.float32)
    dv_tile = tl.zeros([BLOCK_K, WIDTH], tl.float32)
    for start in range(first_tile, queries, BLOCK_Q):
        rows = start + tl.arange(0, BLOCK_Q)
        q_tile = load_tile(q_base, rows, q_token, columns, queries, width, True, CHECK_WIDTH)
        g_tile = load_tile(g_base, rows, out_token, columns, queries, width, True, CHECK_WIDTH)
        # Rows past the end have the log-sum-exp inf, and so the weight 0.
        row_lse = tl.load(lse + lse_offset + rows, mask=rows < queries, other=float("inf"))
        row_delta = tl.load(deltas + lse_offset + rows, mask=rows < queries, other=0.0)
        scores = dot(k_tile, tl.trans(q_tile)) * (scale * LOG2E) + open_keys
        if BIAS:
            if (start >= above) & (start < below):
                scores += bias_tile(table, first_x - start, BLOCK_Q, BLOCK_K, True)
            else:
                scores += tl.where(start < above, far_right, far_left)
        weights = probabilities(scores, row_lse[None, :])
        change = dot(v_tile, tl.trans(g_tile))
        dropped = weights
        if DROPOUT:
            stream = document * heads + head
            kept = tl.trans(keep_tile(key_of_seed, stream, start, first_x, threshold, BLOCK_Q, BLOCK_K))
            dropped = tl.where(kept, weights * kept_scale, 0.0)
            change = tl.where(kept, change * kept_scale, 0.0)
        dv_tile += dot(narrow(dropped, g_tile.dtype), g_tile)
        change = weights * (change - row_delta[None, :])
        dk_tile += dot(narrow(change, q_tile.dtype), q_tile)

    offset = k_origin * dk_token + head * dk_head
    store_tile(dk + offset, held, dk_token, columns, end, width, dk_tile * scale, CHECK_WIDTH)
    store_tile(dv + offset, held, dk_token, columns, end, width, dv_tile, CHECK_WIDTH)
