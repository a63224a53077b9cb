"""The gradient of the bias table, without atomics: deterministic, in memory that does not grow with the length."""

from __future__ import annotations

import triton
import triton.language as tl

from formers.kernels.steps import LOG2E, dot, load_tile, place

from .rows import score_gradients
from .tiles import bias_tile, column_bias, document_of

__all__ = ["band_gradients", "diagonal_sums", "table_gradients"]


@triton.jit
def band_gradients(
    q, k, v, grad, lse, deltas, summed, table, seed, real, q_spans, k_spans,
    q_token, q_head, k_token, k_head, v_token, v_head, out_token, out_head, lse_head, table_head,
    documents, blocks, heads, width, scale, threshold, kept_scale, low, edge, band_first, tiles, splits,
    HOLES: tl.constexpr, DROPOUT: tl.constexpr,
    WIDTH: tl.constexpr, CHECK_WIDTH: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """``summed`` [splits, heads, tiles, BLOCK_Q, BLOCK_K]: gradients of the scores, summed over tiles of one offset.

    Tile t of a block of queries begins ``(band_first + t) * BLOCK_K`` keys from the block's first row, whatever block
    and document: the same entry of all these tiles has the same distance, and so the same bias.
    """
    tile, head, split = place(tiles, heads)
    offset = (band_first + tile) * BLOCK_K
    columns = tl.arange(0, WIDTH)
    bias = bias_tile(table + head * table_head + edge + low, offset, BLOCK_Q, BLOCK_K, False)
    key_of_seed = 0
    if DROPOUT:
        key_of_seed = tl.load(seed)
    accumulated = tl.zeros([BLOCK_Q, BLOCK_K], tl.float32)
    for work in range(split, documents * blocks, splits):
        document = work // blocks
        first_row = work % blocks * BLOCK_Q
        first_x = first_row + offset
        q_start, queries, k_origin, lowest, end = document_of(document, documents, q_spans, k_spans, True)
        if (first_row < queries) & (first_x < end) & (first_x + BLOCK_K > lowest):
            rows = first_row + tl.arange(0, BLOCK_Q)
            x = first_x + tl.arange(0, BLOCK_K)
            held = tl.where(x < lowest, end, x)
            q_base = q + q_start.to(tl.int64) * q_token + head * q_head
            g_base = grad + q_start.to(tl.int64) * out_token + head * out_head
            k_base = k + k_origin * k_token + head * k_head
            v_base = v + k_origin * v_token + head * v_head
            lse_offset = head.to(tl.int64) * lse_head + q_start
            q_tile = load_tile(q_base, rows, q_token, columns, queries, width, True, CHECK_WIDTH)
            g_tile = load_tile(g_base, rows, out_token, columns, queries, width, True, CHECK_WIDTH)
            k_tile = load_tile(k_base, held, k_token, columns, end, width, True, CHECK_WIDTH)
            v_tile = load_tile(v_base, held, v_token, columns, end, width, True, CHECK_WIDTH)
            row_lse = tl.load(lse + lse_offset + rows, mask=rows < queries, other=float("inf"))
            row_delta = tl.load(deltas + lse_offset + rows, mask=rows < queries, other=0.0)
            added = column_bias(x, lowest, end, real + k_origin, 0.0, HOLES)
            scores = dot(q_tile, tl.trans(k_tile)) * (scale * LOG2E) + bias + added[None, :]
            accumulated += score_gradients(
                scores, g_tile, v_tile, row_lse, row_delta, key_of_seed, document * heads + head, first_row, first_x,
                threshold, kept_scale, DROPOUT, BLOCK_Q, BLOCK_K,
            )  # fmt: skip
    place_at = ((split * heads + head) * tiles + tile).to(tl.int64) * (BLOCK_Q * BLOCK_K)
    inside = tl.arange(0, BLOCK_Q)[:, None] * BLOCK_K + tl.arange(0, BLOCK_K)[None, :]
    tl.store(summed + place_at + inside, accumulated)


@triton.jit
def diagonal_sums(
    summed, by_distance, blocks, heads, tiles, splits, distances,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """``by_distance`` [heads, distances]: the sums of all diagonals of ``summed``.

    Entry e belongs to the distance ``band_first * BLOCK_K - (BLOCK_Q - 1) + e``.
    """
    block, head, _ = place(blocks, heads)
    entries = block * BLOCK_D + tl.arange(0, BLOCK_D)
    inside = tl.arange(0, BLOCK_Q)
    total = tl.zeros([BLOCK_D], tl.float32)
    for part in range(splits * tiles):
        tile = part % tiles
        base = summed + (((part // tiles) * heads + head) * tiles + tile).to(tl.int64) * (BLOCK_Q * BLOCK_K)
        along = entries[None, :] - (BLOCK_Q - 1) + inside[:, None] - tile * BLOCK_K
        mask = (along >= 0) & (along < BLOCK_K)
        total += tl.sum(tl.load(base + inside[:, None] * BLOCK_K + along, mask=mask, other=0.0), 0)
    tl.store(by_distance + head * distances + entries, total, mask=entries < distances)


@triton.jit
def table_gradients(
    by_distance, far_sums, dtable, heads, parts, distances, first_distance, low, high, BLOCK: tl.constexpr
):
    """``dtable`` [heads, low + high + 1]: the sums by distance, with all that is farther at the ends."""
    head = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    left = tl.zeros([BLOCK], tl.float32)
    right = tl.zeros([BLOCK], tl.float32)
    for start in range(0, parts, BLOCK):
        mask = start + at < parts
        left += tl.load(far_sums + head * parts + start + at, mask=mask, other=0.0)
        right += tl.load(far_sums + (heads + head) * parts + start + at, mask=mask, other=0.0)
    by_distance += head * distances
    for start in range(0, distances, BLOCK):
        distance = first_distance + start + at
        sums = tl.load(by_distance + start + at, mask=start + at < distances, other=0.0)
        left += tl.where(distance < -low, sums, 0.0)
        right += tl.where(distance > high, sums, 0.0)
    all_left = tl.sum(left, 0)
    all_right = tl.sum(right, 0)
    for start in range(0, low + high + 1, BLOCK):
        column = start + at
        entry = column - low - first_distance
        sums = tl.load(by_distance + entry, mask=(entry >= 0) & (entry < distances), other=0.0)
        sums += tl.where(column == 0, all_left, 0.0) + tl.where(column == low + high, all_right, 0.0)
        tl.store(dtable + head * (low + high + 1) + column, sums, mask=column < low + high + 1)
