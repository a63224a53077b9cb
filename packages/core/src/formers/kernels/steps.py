"""The steps that attention kernels share, as ``@triton.jit`` functions; the loops around them are their callers'.

Conventions. A tile of queries has BLOCK_Q rows, one of keys BLOCK_K, a head is padded to WIDTH columns. Scores are
float32 and in base 2: multiplied by ``scale * LOG2E``, so that ``exp2`` serves. ``-inf`` marks what may not be read.
A row that may read nothing has the maximum ``-inf``, the sum 0, the output 0 and the log-sum-exp ``-inf``.

Triton's interpreter is right about everything here but bfloat16: a product of such matrices it computes from their
bits, and it narrows float32 to it by cutting off. :func:`dot` and :func:`narrow` do there what a GPU does.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .support import interpreting

__all__ = [
    "LN2",
    "LOG2E",
    "dot",
    "keep_tile",
    "load_tile",
    "narrow",
    "normalised",
    "place",
    "probabilities",
    "softmax_step",
    "store_tile",
]

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)
WIDEN = tl.constexpr(interpreting())
ROUNDS = tl.constexpr(
    7
)  # Philox4x32-7 passes BigCrush: Salmon et al. 2011, "Parallel random numbers", table 2


@triton.jit
def place(blocks, heads):
    """(block, head, document) of this program in a grid of one axis, which has no limit of 65535.

    Blocks of one head and document run side by side and find each other's tiles in the cache.
    """
    program = tl.program_id(0)
    rest = program // blocks
    return program % blocks, rest % heads, rest // heads


@triton.jit
def load_tile(base, rows, stride, columns, end, width, CHECK_ROWS: tl.constexpr, CHECK_COLUMNS: tl.constexpr):
    """[rows, columns] of a row-major matrix; 0 from row ``end`` and column ``width`` on, where these are checked."""
    pointers = base + rows[:, None] * stride + columns[None, :]
    if CHECK_ROWS and CHECK_COLUMNS:
        tile = tl.load(pointers, mask=(rows[:, None] < end) & (columns[None, :] < width), other=0.0)
    elif CHECK_ROWS:
        tile = tl.load(pointers, mask=rows[:, None] < end, other=0.0)
    elif CHECK_COLUMNS:
        tile = tl.load(pointers, mask=columns[None, :] < width, other=0.0)
    else:
        tile = tl.load(pointers)
    return tile


@triton.jit
def store_tile(base, rows, stride, columns, end, width, tile, CHECK_COLUMNS: tl.constexpr):
    """Write a tile, rounded to the matrix's dtype, up to row ``end`` and column ``width``."""
    pointers = base + rows[:, None] * stride + columns[None, :]
    mask = rows[:, None] < end
    if CHECK_COLUMNS:
        mask = mask & (columns[None, :] < width)
    tl.store(pointers, narrow(tile, base.dtype.element_ty), mask=mask)


@triton.jit
def dot(a, b):
    """The matrix product in float32; float32 operands are not rounded."""
    if WIDEN:
        a = a.to(tl.float32)
        b = b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def narrow(tile, dtype: tl.constexpr):
    """A float32 tile in another dtype, rounded to nearest even."""
    if WIDEN and dtype == tl.bfloat16:
        bits = tile.to(tl.int32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & -65536
        tile = bits.to(tl.float32, bitcast=True)
    return tile.to(dtype)


@triton.jit
def softmax_step(scores, highest, total):
    """One tile of the online softmax (Milakov and Gimelshein 2018, arXiv 1805.02867, algorithm 3).

    ``scores`` [BLOCK_Q, keys] in base 2; ``highest`` and ``total`` [BLOCK_Q] so far. Returns the tile's weights, the
    factor for what was accumulated before, and the new ``highest`` and ``total``.
    """
    new = tl.maximum(highest, tl.max(scores, 1))
    safe = tl.where(new == float("-inf"), 0.0, new)
    weights = tl.exp2(scores - safe[:, None])
    factor = tl.exp2(highest - safe)
    return weights, factor, new, total * factor + tl.sum(weights, 1)


@triton.jit
def normalised(accumulated, highest, total):
    """The output [BLOCK_Q, columns] and the log-sum-exp [BLOCK_Q], natural; 0 and -inf for rows without keys."""
    some = total > 0.0
    safe = tl.where(some, total, 1.0)
    lse = tl.where(some, highest * LN2 + tl.log(safe), float("-inf"))
    return accumulated / safe[:, None], lse


@triton.jit
def probabilities(scores, lse):
    """Weights again in the backward: ``scores`` in base 2, ``lse`` natural, broadcastable to them; 0 where -inf."""
    return tl.exp2(scores - tl.where(lse == float("-inf"), 0.0, lse * LOG2E))


@triton.jit
def keep_tile(seed, stream, first_row, first_column, threshold, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Which probabilities dropout keeps: bool [ROWS, COLUMNS], True with probability ``1 - threshold / 65536``.

    An entry depends on its row and column, on ``seed`` and on ``stream`` (a number for the head of the document), never
    on how the scores are cut into tiles: the backward, which cuts them otherwise, finds the same. ``first_column`` and
    COLUMNS are multiples of 8: one call of Philox (Salmon et al. 2011) gives 128 bits, 16 for each of 8 columns. A call
    for each entry would cost several times what the matrix products of the tile cost.
    """
    rows = first_row + tl.arange(0, ROWS)
    groups = first_column // 8 + tl.arange(0, COLUMNS // 8)
    zero = tl.zeros([ROWS, COLUMNS // 8], tl.int32)
    a, b, c, d = tl.philox(seed, zero + groups[None, :], zero + rows[:, None], zero + stream, zero, ROUNDS)
    return _interleave(
        _interleave(_halves(a, threshold), _halves(c, threshold)),
        _interleave(_halves(b, threshold), _halves(d, threshold)),
    )


@triton.jit
def _halves(bits, threshold):
    low = (bits & 0xFFFF).to(tl.int32) >= threshold
    high = (bits >> 16).to(tl.int32) >= threshold
    return _interleave(low, high)


@triton.jit
def _interleave(a, b):
    return tl.reshape(tl.join(a, b), [a.shape[0], a.shape[1] * 2])
