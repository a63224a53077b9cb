"""Attention over documents of any length, forward and backward, without atomics: deterministic to the bit.

The forward is FlashAttention-2 (Dao 2023, arXiv 2307.08691, algorithm 1): one program for each block of queries, head
and document, which runs over the keys. The backward has one program for each block of queries, which runs over the
keys and sums up their gradient, and one for each block of keys, which runs over the queries; both recompute the
probabilities from the log-sum-exp. Tiles that lie wholly inside a document are not checked against its end.

Names: ``*_spans`` int32 [2, documents], starts then ends; ``*_token`` and ``*_head`` strides; ``width`` of a head,
padded to WIDTH; ``blocks`` of the longest document, so that a grid does not depend on lengths; GROUP heads share keys.
"""

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
    probabilities,
    softmax_step,
    store_tile,
)

__all__ = ["delta", "forward", "key_gradients", "query_gradients"]

# Triton compiles anew where an integer is 1 or divisible by 16; these differ from batch to batch.
VARYING = ("documents", "blocks", "lse_head", "result_head", "tokens", "threshold")


@triton.jit(do_not_specialize=VARYING)
def forward(
    q, k, v, out, lse, seed, q_spans, k_spans,
    q_token, q_head, k_token, k_head, v_token, v_head, out_token, out_head, lse_head,
    documents, blocks, heads, width, scale, threshold, kept_scale,
    GROUP: tl.constexpr, CAUSAL: tl.constexpr, DROPOUT: tl.constexpr,
    WIDTH: tl.constexpr, CHECK_WIDTH: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """A block of outputs and of log-sum-exps, which are [heads, tokens]."""
    block, head, document = place(blocks, heads)
    if CAUSAL:
        block = blocks - 1 - block  # the last blocks read most; they start first
    q_start = tl.load(q_spans + document)
    queries = tl.load(q_spans + documents + document) - q_start
    if block * BLOCK_Q >= queries:
        return
    k_start = tl.load(k_spans + document)
    keys = tl.load(k_spans + documents + document) - k_start

    rows = block * BLOCK_Q + tl.arange(0, BLOCK_Q)
    columns = tl.arange(0, WIDTH)
    q_base = q + q_start.to(tl.int64) * q_token + head * q_head
    k_base = k + k_start.to(tl.int64) * k_token + (head // GROUP) * k_head
    v_base = v + k_start.to(tl.int64) * v_token + (head // GROUP) * v_head
    q_tile = load_tile(q_base, rows, q_token, columns, queries, width, True, CHECK_WIDTH)
    if DROPOUT:
        key_of_seed = tl.load(seed)
    highest = tl.full([BLOCK_Q], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_Q], tl.float32)
    accumulated = tl.zeros([BLOCK_Q, WIDTH], tl.float32)

    # Query i stands at key i + ahead. Keys before `whole` are read by every row and lie in tiles without an end.
    ahead = keys - queries
    whole = keys // BLOCK_K * BLOCK_K
    end = keys
    if CAUSAL:
        whole = tl.minimum(keys, tl.maximum(block * BLOCK_Q + ahead + 1, 0)) // BLOCK_K * BLOCK_K
        end = tl.maximum(tl.minimum(keys, block * BLOCK_Q + BLOCK_Q + ahead), 0)
    for checked in tl.static_range(2):
        if checked:
            first = whole
            last = end
        else:
            first = 0
            last = whole
        for start in range(first, last, BLOCK_K):
            at = start + tl.arange(0, BLOCK_K)
            k_tile = load_tile(k_base, at, k_token, columns, keys, width, checked, CHECK_WIDTH)
            scores = dot(q_tile, tl.trans(k_tile)) * (scale * LOG2E)
            if checked:
                read = at[None, :] < keys
                if CAUSAL:
                    read = read & (at[None, :] <= rows[:, None] + ahead)
                scores = tl.where(read, scores, float("-inf"))
            weights, factor, highest, total = softmax_step(scores, highest, total)
            if DROPOUT:
                stream = document * heads + head
                kept = keep_tile(key_of_seed, stream, block * BLOCK_Q, start, threshold, BLOCK_Q, BLOCK_K)
                weights = tl.where(kept, weights, 0.0)
            v_tile = load_tile(v_base, at, v_token, columns, keys, width, checked, CHECK_WIDTH)
            accumulated = accumulated * factor[:, None] + dot(narrow(weights, v_tile.dtype), v_tile)

    if DROPOUT:
        accumulated = accumulated * kept_scale
    result, row_lse = normalised(accumulated, highest, total)
    out_base = out + q_start.to(tl.int64) * out_token + head * out_head
    store_tile(out_base, rows, out_token, columns, queries, width, result, CHECK_WIDTH)
    tl.store(lse + head.to(tl.int64) * lse_head + q_start + rows, row_lse, mask=rows < queries)


@triton.jit(do_not_specialize=VARYING)
def delta(
    out, grad, result, token, head_stride, result_head, tokens, blocks, heads, width,
    WIDTH: tl.constexpr, CHECK_WIDTH: tl.constexpr, BLOCK_Q: tl.constexpr,
):  # fmt: skip
    """Of each token and head, the product of the output and its gradient; both are laid out alike."""
    block, head, _ = place(blocks, heads)
    rows = block * BLOCK_Q + tl.arange(0, BLOCK_Q)
    columns = tl.arange(0, WIDTH)
    first = (block * BLOCK_Q).to(tl.int64) * token + head * head_stride
    inside = tl.arange(0, BLOCK_Q)
    left = tokens - block * BLOCK_Q
    a = load_tile(out + first, inside, token, columns, left, width, True, CHECK_WIDTH)
    b = load_tile(grad + first, inside, token, columns, left, width, True, CHECK_WIDTH)
    product = tl.sum(a.to(tl.float32) * b.to(tl.float32), 1)
    tl.store(result + head.to(tl.int64) * result_head + rows, product, mask=rows < tokens)


@triton.jit(do_not_specialize=VARYING)
def query_gradients(
    q, k, v, grad, dq, lse, deltas, seed, q_spans, k_spans,
    q_token, q_head, k_token, k_head, v_token, v_head, out_token, out_head, lse_head,
    documents, blocks, heads, width, scale, threshold, kept_scale,
    GROUP: tl.constexpr, CAUSAL: tl.constexpr, DROPOUT: tl.constexpr,
    WIDTH: tl.constexpr, CHECK_WIDTH: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """A block of gradients of the queries; ``grad`` and ``dq`` are laid out as the output is."""
    block, head, document = place(blocks, heads)
    if CAUSAL:
        block = blocks - 1 - block
    q_start = tl.load(q_spans + document)
    queries = tl.load(q_spans + documents + document) - q_start
    if block * BLOCK_Q >= queries:
        return
    k_start = tl.load(k_spans + document)
    keys = tl.load(k_spans + documents + document) - k_start

    rows = block * BLOCK_Q + tl.arange(0, BLOCK_Q)
    columns = tl.arange(0, WIDTH)
    q_base = q + q_start.to(tl.int64) * q_token + head * q_head
    k_base = k + k_start.to(tl.int64) * k_token + (head // GROUP) * k_head
    v_base = v + k_start.to(tl.int64) * v_token + (head // GROUP) * v_head
    out_offset = q_start.to(tl.int64) * out_token + head * out_head
    lse_offset = head.to(tl.int64) * lse_head + q_start
    q_tile = load_tile(q_base, rows, q_token, columns, queries, width, True, CHECK_WIDTH)
    g_tile = load_tile(grad + out_offset, rows, out_token, columns, queries, width, True, CHECK_WIDTH)
    row_lse = tl.load(lse + lse_offset + rows, mask=rows < queries, other=0.0)
    row_delta = tl.load(deltas + lse_offset + rows, mask=rows < queries, other=0.0)
    if DROPOUT:
        key_of_seed = tl.load(seed)
    accumulated = tl.zeros([BLOCK_Q, WIDTH], tl.float32)

    ahead = keys - queries
    whole = keys // BLOCK_K * BLOCK_K
    end = keys
    if CAUSAL:
        whole = tl.minimum(keys, tl.maximum(block * BLOCK_Q + ahead + 1, 0)) // BLOCK_K * BLOCK_K
        end = tl.maximum(tl.minimum(keys, block * BLOCK_Q + BLOCK_Q + ahead), 0)
    for checked in tl.static_range(2):
        if checked:
            first = whole
            last = end
        else:
            first = 0
            last = whole
        for start in range(first, last, BLOCK_K):
            at = start + tl.arange(0, BLOCK_K)
            k_tile = load_tile(k_base, at, k_token, columns, keys, width, checked, CHECK_WIDTH)
            v_tile = load_tile(v_base, at, v_token, columns, keys, width, checked, CHECK_WIDTH)
            scores = dot(q_tile, tl.trans(k_tile)) * (scale * LOG2E)
            if checked:
                read = at[None, :] < keys
                if CAUSAL:
                    read = read & (at[None, :] <= rows[:, None] + ahead)
                scores = tl.where(read, scores, float("-inf"))
            weights = probabilities(scores, row_lse[:, None])
            change = dot(g_tile, tl.trans(v_tile))
            if DROPOUT:
                stream = document * heads + head
                kept = keep_tile(key_of_seed, stream, block * BLOCK_Q, start, threshold, BLOCK_Q, BLOCK_K)
                change = tl.where(kept, change * kept_scale, 0.0)
            change = weights * (change - row_delta[:, None])
            accumulated += dot(narrow(change, k_tile.dtype), k_tile)

    store_tile(dq + out_offset, rows, out_token, columns, queries, width, accumulated * scale, CHECK_WIDTH)


@triton.jit(do_not_specialize=VARYING)
def key_gradients(
    q, k, v, grad, dk, dv, lse, deltas, seed, q_spans, k_spans,
    q_token, q_head, k_token, k_head, v_token, v_head, out_token, out_head, dk_token, dk_head, lse_head,
    documents, blocks, heads, width, scale, threshold, kept_scale,
    GROUP: tl.constexpr, CAUSAL: tl.constexpr, DROPOUT: tl.constexpr,
    WIDTH: tl.constexpr, CHECK_WIDTH: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """A block of gradients of keys and of values, which are laid out alike.

    Scores are transposed here, [BLOCK_K, BLOCK_Q]: as left operands of the products they stay in registers.
    """
    block, key_head, document = place(blocks, heads // GROUP)
    k_start = tl.load(k_spans + document)
    keys = tl.load(k_spans + documents + document) - k_start
    if block * BLOCK_K >= keys:
        return
    q_start = tl.load(q_spans + document)
    queries = tl.load(q_spans + documents + document) - q_start

    at = block * BLOCK_K + tl.arange(0, BLOCK_K)
    columns = tl.arange(0, WIDTH)
    k_base = k + k_start.to(tl.int64) * k_token + key_head * k_head
    v_base = v + k_start.to(tl.int64) * v_token + key_head * v_head
    k_tile = load_tile(k_base, at, k_token, columns, keys, width, True, CHECK_WIDTH)
    v_tile = load_tile(v_base, at, v_token, columns, keys, width, True, CHECK_WIDTH)
    if DROPOUT:
        key_of_seed = tl.load(seed)
    dk_tile = tl.zeros([BLOCK_K, WIDTH], tl.float32)
    dv_tile = tl.zeros([BLOCK_K, WIDTH], tl.float32)

    # Rows before `diagonal` read some of these keys, later ones all; the rows from `whole` on fill no tile.
    ahead = keys - queries
    first_row = 0
    diagonal = 0
    whole = queries // BLOCK_Q * BLOCK_Q
    if CAUSAL:
        first_row = tl.maximum(block * BLOCK_K - ahead, 0) // BLOCK_Q * BLOCK_Q
        diagonal = tl.cdiv(tl.maximum(block * BLOCK_K + BLOCK_K - 1 - ahead, 0), BLOCK_Q) * BLOCK_Q
    for group in range(GROUP):
        head = key_head * GROUP + group
        q_base = q + q_start.to(tl.int64) * q_token + head * q_head
        g_base = grad + q_start.to(tl.int64) * out_token + head * out_head
        lse_offset = head.to(tl.int64) * lse_head + q_start
        for part in tl.static_range(3):
            if part == 0:
                first = first_row
                last = tl.minimum(diagonal, queries)
            elif part == 1:
                first = diagonal
                last = whole
            else:
                first = tl.maximum(diagonal, whole)
                last = queries
            if CAUSAL or part > 0:
                for start in range(first, last, BLOCK_Q):
                    rows = start + tl.arange(0, BLOCK_Q)
                    q_tile = load_tile(q_base, rows, q_token, columns, queries, width, part != 1, CHECK_WIDTH)
                    g_tile = load_tile(
                        g_base, rows, out_token, columns, queries, width, part != 1, CHECK_WIDTH
                    )
                    # Rows past the end have q, grad, lse and delta 0, and so add nothing.
                    row_lse = tl.load(lse + lse_offset + rows, mask=rows < queries, other=0.0)
                    row_delta = tl.load(deltas + lse_offset + rows, mask=rows < queries, other=0.0)
                    scores = dot(k_tile, tl.trans(q_tile)) * (scale * LOG2E)
                    if part == 0:
                        scores = tl.where(at[:, None] <= rows[None, :] + ahead, scores, float("-inf"))
                    weights = probabilities(scores, row_lse[None, :])
                    change = dot(v_tile, tl.trans(g_tile))
                    dropped = weights
                    if DROPOUT:
                        stream = document * heads + head
                        kept = tl.trans(
                            keep_tile(
                                key_of_seed, stream, start, block * BLOCK_K, threshold, BLOCK_Q, BLOCK_K
                            )
                        )
                        dropped = tl.where(kept, weights * kept_scale, 0.0)
                        change = tl.where(kept, change * kept_scale, 0.0)
                    dv_tile += dot(narrow(dropped, g_tile.dtype), g_tile)
                    change = weights * (change - row_delta[None, :])
                    dk_tile += dot(narrow(change, q_tile.dtype), q_tile)

    offset = k_start.to(tl.int64) * dk_token + key_head * dk_head
    store_tile(dk + offset, at, dk_token, columns, keys, width, dk_tile * scale, CHECK_WIDTH)
    store_tile(dv + offset, at, dk_token, columns, keys, width, dv_tile, CHECK_WIDTH)
