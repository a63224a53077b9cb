"""One query a row over the keys of a cache: the parts of a row, and what combines them.

Scores are float32 products and sums, without matrix instructions: with one query there is nothing for these to share.

Names: ``bounds`` int32 [2, sources], where the keys of a source begin and end; ``copies`` consecutive rows read one
source; ``*_row``, ``*_head`` and ``*_place`` strides; ``width`` of a head, padded to WIDTH; GROUP heads share keys;
``real`` bool [sources, places]; ``table`` float32 [heads, low + high + 1], by the distance of a key from the newest.
"""

from __future__ import annotations

import triton
import triton.language as tl

from formers.kernels.steps import LOG2E, load_tile, narrow

__all__ = ["combine", "split"]

# Triton compiles anew where an integer is 1 or divisible by 16; these differ from batch to batch.
VARYING = ("sources", "copies", "room", "real_row", "low", "high")


@triton.jit
def parts_of(start, end, BLOCK_K: tl.constexpr, SPLITS: tl.constexpr):
    """The length of a part: whole tiles, as many for each, so that the last parts may be empty."""
    return tl.cdiv(tl.cdiv(tl.maximum(end - start, 1), SPLITS), BLOCK_K) * BLOCK_K


@triton.jit
def load_row(pointers, columns, width, CHECK_WIDTH: tl.constexpr):
    """A row of a head, 0 from column ``width`` on."""
    if CHECK_WIDTH:
        row = tl.load(pointers + columns, mask=columns < width, other=0.0)
    else:
        row = tl.load(pointers + columns)
    return row


@triton.jit
def store_row(pointers, columns, width, row, CHECK_WIDTH: tl.constexpr):
    """Write a row of a head up to column ``width``."""
    if CHECK_WIDTH:
        tl.store(pointers + columns, row, mask=columns < width)
    else:
        tl.store(pointers + columns, row)


@triton.jit(do_not_specialize=VARYING)
def split(
    q, new_key, new_value, keys, values, bounds, real, table, out, partial, statistics,
    q_row, q_head, new_key_row, new_key_head, new_value_row, new_value_head,
    keys_row, keys_head, keys_place, values_row, values_head, values_place, real_row, table_head,
    sources, copies, heads, width, room, scale, low, high,
    GROUP: tl.constexpr, APPEND: tl.constexpr, BIAS: tl.constexpr, MASK: tl.constexpr,
    WIDTH: tl.constexpr, CHECK_WIDTH: tl.constexpr, BLOCK_K: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """One part of one row and head: ``partial`` [rows * heads, SPLITS, width], ``statistics`` [.., 2]; or ``out``."""
    pair = tl.program_id(0)
    part = tl.program_id(1)
    row = pair // heads
    head = pair % heads
    source = row // copies
    start = tl.load(bounds + source)
    end = tl.load(bounds + sources + source)
    length = parts_of(start, end, BLOCK_K, SPLITS)
    first = start + part * length
    last = tl.minimum(first + length, end)
    if SPLITS > 1:
        if first >= end:
            return

    columns = tl.arange(0, WIDTH)
    key_head = (head // GROUP).to(tl.int64)
    key_base = keys + source.to(tl.int64) * keys_row + key_head * keys_head
    value_base = values + source.to(tl.int64) * values_row + key_head * values_head
    query = load_row(q + row.to(tl.int64) * q_row + head * q_head, columns, width, CHECK_WIDTH)
    query = query.to(tl.float32) * (scale * LOG2E)
    newest = end - 1
    stored = end
    if APPEND:
        stored = tl.minimum(newest, room)
        fresh_key = load_row(
            new_key + row.to(tl.int64) * new_key_row + key_head * new_key_head, columns, width, CHECK_WIDTH
        )
        fresh_value = load_row(
            new_value + row.to(tl.int64) * new_value_row + key_head * new_value_head,
            columns,
            width,
            CHECK_WIDTH,
        )
        if (last == end) & (newest < room) & (head % GROUP == 0):
            store_row(key_base + newest * keys_place, columns, width, fresh_key, CHECK_WIDTH)
            store_row(value_base + newest * values_place, columns, width, fresh_value, CHECK_WIDTH)

    # Each slot of the tile has an online softmax of its own: only the end sums over slots.
    highest = tl.full([BLOCK_K], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_K], tl.float32)
    accumulated = tl.zeros([BLOCK_K, WIDTH], tl.float32)
    for begin in range(first, last, BLOCK_K):
        at = begin + tl.arange(0, BLOCK_K)
        until = tl.minimum(last, stored)
        key = load_tile(key_base, at, keys_place, columns, until, width, True, CHECK_WIDTH)
        value = load_tile(value_base, at, values_place, columns, until, width, True, CHECK_WIDTH)
        if APPEND:
            key = tl.where((at == newest)[:, None], fresh_key[None, :], key)
            value = tl.where((at == newest)[:, None], fresh_value[None, :], value)
        scores = tl.sum(key.to(tl.float32) * query[None, :], 1)
        read = at < last
        if BIAS:
            distance = tl.minimum(tl.maximum(at - newest, -low), high)
            scores += tl.load(table + head * table_head + low + distance, mask=read, other=0.0) * LOG2E
        if MASK:
            inside = read & (at < room)
            read = inside & (tl.load(real + source.to(tl.int64) * real_row + at, mask=inside, other=0) != 0)
        scores = tl.where(read, scores, float("-inf"))
        new = tl.maximum(highest, scores)
        safe = tl.where(new == float("-inf"), 0.0, new)
        weights = tl.exp2(scores - safe)
        factor = tl.exp2(highest - safe)
        total = total * factor + weights
        accumulated = accumulated * factor[:, None] + weights[:, None] * value.to(tl.float32)
        highest = new

    top = tl.max(highest, 0)
    factor = tl.exp2(highest - tl.where(top == float("-inf"), 0.0, top))
    whole = tl.sum(total * factor, 0)
    result = tl.sum(accumulated * factor[:, None], 0)
    if SPLITS == 1:
        result = narrow(result / tl.where(whole > 0.0, whole, 1.0), out.dtype.element_ty)
        store_row(out + pair.to(tl.int64) * width, columns, width, result, CHECK_WIDTH)
    else:
        place = pair.to(tl.int64) * SPLITS + part
        store_row(partial + place * width, columns, width, result, CHECK_WIDTH)
        tl.store(statistics + place * 2, top)
        tl.store(statistics + place * 2 + 1, whole)


@triton.jit(do_not_specialize=("sources", "copies"))
def combine(
    partial, statistics, out, bounds, sources, copies, heads, width,
    WIDTH: tl.constexpr, CHECK_WIDTH: tl.constexpr, BLOCK_K: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """The output of one row and head, from the parts that :func:`split` has written."""
    pair = tl.program_id(0)
    source = pair // heads // copies
    start = tl.load(bounds + source)
    end = tl.load(bounds + sources + source)
    used = tl.cdiv(end - start, parts_of(start, end, BLOCK_K, SPLITS))
    columns = tl.arange(0, WIDTH)
    parts = tl.arange(0, SPLITS)
    first = pair.to(tl.int64) * SPLITS
    highest = tl.load(statistics + (first + parts) * 2, mask=parts < used, other=float("-inf"))
    total = tl.load(statistics + (first + parts) * 2 + 1, mask=parts < used, other=0.0)
    results = load_tile(partial + first * width, parts, width, columns, used, width, True, CHECK_WIDTH)
    top = tl.max(highest, 0)
    factor = tl.exp2(highest - tl.where(top == float("-inf"), 0.0, top))
    whole = tl.sum(total * factor, 0)
    result = tl.sum(results * factor[:, None], 0) / tl.where(whole > 0.0, whole, 1.0)
    result = narrow(result, out.dtype.element_ty)
    store_row(out + pair.to(tl.int64) * width, columns, width, result, CHECK_WIDTH)
