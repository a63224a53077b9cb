"""The steps that kernels share, each in a small kernel of its own, beside PyTorch in float64."""

from __future__ import annotations

import pytest
import torch

from formers.kernels import parity

if reason := parity.why_not():
    pytest.skip(reason, allow_module_level=True)

import triton
import triton.language as tl

from formers.kernels import steps
from formers.kernels.dropout import new_seed, scale_of, threshold_of

pytestmark = pytest.mark.kernels

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@triton.jit
def copy(
    source, target, end, width, ROWS: tl.constexpr, CHECK_ROWS: tl.constexpr, CHECK_COLUMNS: tl.constexpr
):
    rows = tl.arange(0, ROWS)
    columns = tl.arange(0, 16)
    tile = steps.load_tile(source, rows, 16, columns, end, width, CHECK_ROWS, CHECK_COLUMNS)
    steps.store_tile(target, rows, 16, columns, ROWS, 16, tile, False)


@triton.jit
def store(target, end, width, ROWS: tl.constexpr, CHECK_COLUMNS: tl.constexpr):
    tile = tl.full([ROWS, 16], 1.0, tl.float32)
    steps.store_tile(target, tl.arange(0, ROWS), 16, tl.arange(0, 16), end, width, tile, CHECK_COLUMNS)


@triton.jit
def multiply(a, b, result, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    index = at[:, None] * SIZE + at[None, :]
    tl.store(result + index, steps.dot(tl.load(a + index), tl.load(b + index)))


@triton.jit
def round_to(source, target, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    tl.store(target + at, steps.narrow(tl.load(source + at), target.dtype.element_ty))


@triton.jit
def softmax(scores, values, out, lse, again, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    rows = tl.arange(0, ROWS)
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    accumulated = tl.zeros([ROWS, 1], tl.float32)
    for start in range(0, columns, BLOCK):
        at = start + tl.arange(0, BLOCK)
        tile = tl.load(scores + rows[:, None] * columns + at[None, :]) * steps.LOG2E
        weights, factor, highest, total = steps.softmax_step(tile, highest, total)
        accumulated = accumulated * factor[:, None]
        accumulated += tl.sum(weights * tl.load(values + at)[None, :], 1)[:, None]
    result, row_lse = steps.normalised(accumulated, highest, total)
    tl.store(out + rows[:, None], result)
    tl.store(lse + rows, row_lse)
    for start in range(0, columns, BLOCK):
        index = rows[:, None] * columns + start + tl.arange(0, BLOCK)[None, :]
        weights = steps.probabilities(tl.load(scores + index) * steps.LOG2E, row_lse[:, None])
        tl.store(again + index, weights)


@triton.jit
def keep(out, seed, stream, threshold, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row, column = tl.program_id(0) * ROWS, tl.program_id(1) * COLUMNS
    tile = steps.keep_tile(tl.load(seed), stream, row, column, threshold, ROWS, COLUMNS)
    at = (row + tl.arange(0, ROWS))[:, None] * width + column + tl.arange(0, COLUMNS)[None, :]
    tl.store(out + at, tile)


@triton.jit
def places(out, blocks, heads):
    block, head, document = steps.place(blocks, heads)
    at = tl.program_id(0) * 3
    tl.store(out + at, block)
    tl.store(out + at + 1, head)
    tl.store(out + at + 2, document)


def kept(seed: int, stream: int, threshold: int, rows: int, columns: int) -> torch.Tensor:
    out = torch.zeros(64, 64, dtype=torch.bool, device=parity.DEVICE)
    seeds = torch.tensor([seed], device=parity.DEVICE)
    keep[(64 // rows, 64 // columns)](out, seeds, stream, threshold, 64, ROWS=rows, COLUMNS=columns)
    return out.cpu()


@pytest.mark.parametrize("end", [0, 1, 15, 16])
@pytest.mark.parametrize("width", [11, 16])
def test_a_load_gives_zeros_past_the_end_whatever_lies_there(end: int, width: int) -> None:
    source = torch.full((16, 16), torch.nan, device=parity.DEVICE)
    source[:end, :width] = torch.randn(end, width)
    target = torch.full_like(source, torch.nan)
    copy[(1,)](source, target, end, width, ROWS=16, CHECK_ROWS=end < 16, CHECK_COLUMNS=width < 16)
    assert torch.equal(target, source.nan_to_num(0.0))


def test_a_store_touches_nothing_past_the_end() -> None:
    for end, width in ((0, 16), (5, 16), (16, 11), (7, 3)):
        target = torch.zeros(16, 16, device=parity.DEVICE)
        store[(1,)](target, end, width, ROWS=16, CHECK_COLUMNS=width < 16)
        expected = torch.zeros(16, 16)
        expected[:end, :width] = 1
        assert torch.equal(target.cpu(), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_product_adds_in_float32(dtype: torch.dtype) -> None:
    """Of bfloat16 too, which Triton's interpreter multiplies wrongly unless it is widened first."""
    a, b = (torch.randn(32, 32).to(dtype).to(parity.DEVICE) for _ in range(2))
    result = torch.empty(32, 32, device=parity.DEVICE)
    multiply[(1,)](a, b, result, SIZE=32)
    assert parity.relative_error(result, a.double().cpu() @ b.double().cpu()) < 1e-6


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_narrowing_rounds_to_nearest_even(dtype: torch.dtype) -> None:
    source = torch.randn(1024)
    halves = [1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 0.0, -0.0, torch.inf, -torch.inf]
    source[: len(halves)] = torch.tensor(halves)
    target = torch.empty(1024, dtype=dtype, device=parity.DEVICE)
    round_to[(1,)](source.to(parity.DEVICE), target, SIZE=1024)
    assert torch.equal(target.cpu(), source.to(dtype))


def test_softmax_in_tiles_is_softmax() -> None:
    scores, values = torch.randn(4, 96) * 5, torch.randn(96)
    scores[0, :32] = -torch.inf  # a tile without a readable key, before any other
    scores[1] = -torch.inf
    scores[2] += 80  # exp() of these would overflow
    scores[3, 40:] = -torch.inf
    out, lse = torch.empty(4, device=parity.DEVICE), torch.empty(4, device=parity.DEVICE)
    again = torch.empty(4, 96, device=parity.DEVICE)
    given = scores.to(parity.DEVICE), values.to(parity.DEVICE)
    softmax[(1,)](*given, out, lse, again, 96, ROWS=4, BLOCK=32)
    exact = scores.double().softmax(-1).nan_to_num(0.0)
    assert parity.relative_error(again, exact) < 1e-5
    assert parity.relative_error(out, exact @ values.double()) < 1e-5
    assert parity.relative_error(lse, scores.double().logsumexp(-1)) < 1e-6
    assert out[1] == 0
    assert lse[1] == -torch.inf


@pytest.mark.parametrize("seed", [0, 7, 2**61 + 12345])
def test_dropout_is_philox(seed: int) -> None:
    assert torch.equal(kept(seed, 5, 6554, 16, 64), parity.keep_mask(seed, 5, 64, 64, 6554))


def test_dropout_does_not_depend_on_the_tiles() -> None:
    first, *others = (kept(3, 1, 20000, rows, columns) for rows, columns in ((16, 16), (64, 32), (32, 64)))
    assert all(torch.equal(first, other) for other in others)


def test_dropout_depends_on_seed_and_stream_and_drops_its_share() -> None:
    masks = [kept(seed, stream, threshold_of(0.25), 64, 64) for seed in (0, 1) for stream in (0, 1)]
    for mask in masks:
        assert abs(mask.float().mean().item() - 0.75) < 0.03  # 4096 entries: 4.4 standard deviations
    for index, mask in enumerate(masks):
        for other in masks[:index]:
            assert abs((mask == other).float().mean().item() - 0.625) < 0.03
    assert kept(0, 0, 0, 64, 64).all()
    assert not kept(0, 0, 65536, 64, 64).any()


def test_the_scale_keeps_the_expectation() -> None:
    for probability in (0.0, 0.1, 0.5, 0.9):
        threshold = threshold_of(probability)
        assert abs(threshold / 65536 - probability) <= 0.5 / 65536
        assert scale_of(threshold) * (1 - threshold / 65536) == pytest.approx(1.0, abs=1e-12)
    assert scale_of(threshold_of(1.0)) == 0.0


def test_a_seed_follows_the_generator() -> None:
    torch.manual_seed(0)
    first, second = (int(new_seed(torch.device(parity.DEVICE))) for _ in range(2))
    torch.manual_seed(0)
    assert int(new_seed(torch.device(parity.DEVICE))) == first != second


def test_every_program_has_its_place() -> None:
    out = torch.empty(2 * 3 * 4, 3, dtype=torch.int32, device=parity.DEVICE)
    places[(24,)](out, 2, 3)
    expected = [[block, head, document] for document in range(4) for head in range(3) for block in range(2)]
    assert out.tolist() == expected
