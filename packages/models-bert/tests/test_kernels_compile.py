"""The varlen kernels compile for an H200, by Triton's own assembler, where there is none."""

from __future__ import annotations

from collections import Counter

import pytest

from formers.kernels import parity

if reason := parity.why_not():
    pytest.skip(reason, allow_module_level=True)

from formers.kernels.offline import compile_elsewhere

pytestmark = pytest.mark.kernels

LAUNCHES = """
from itertools import accumulate
import torch
from formers.kernels.spans import Spans
from formers_bert.kernels import launch
settings = launch.Settings(0.125, {causal}, {threshold})
seed = torch.zeros(1, dtype=torch.int64)
for lengths in {batches}:
    ends = list(accumulate(lengths))
    spans = Spans(torch.tensor([[0, *ends[:-1]], ends], dtype=torch.int32), max(lengths))
    q, k, v = torch.zeros(ends[-1], 3, 12, {head_dim}, dtype=torch.{dtype}).unbind(1)
    out, lse = launch.forward(q, k, v, seed, spans, spans, settings)
    calls = launch.Backward(out, q, k, v, out, lse, seed, spans, spans, settings)
    calls.queries(), calls.keys()
"""
KERNELS = {"forward", "delta", "query_gradients", "key_gradients"}


def code(
    dtype: str, head_dim: int, *batches: tuple[int, ...], causal: bool = False, dropout: bool = False
) -> str:
    threshold = 6554 if dropout else 0
    return LAUNCHES.format(
        dtype=dtype, head_dim=head_dim, batches=batches, causal=causal, threshold=threshold
    )


@pytest.mark.parametrize(
    ("dtype", "head_dim", "options"),
    [("float16", 64, {"causal": True, "dropout": True}), ("bfloat16", 128, {})],
    ids=["float16", "bfloat16"],
)
def test_one_program_fits_an_h200_and_serves_batches_of_every_shape(
    dtype: str, head_dim: int, options: dict[str, bool]
) -> None:
    batches = ((64,), (16,) * 16, (17, 3, 5), (1,))
    found = compile_elsewhere(code(dtype, head_dim, *batches, **options))
    assert Counter(one.name for one in found) == dict.fromkeys(KERNELS, len(batches))
    assert len({one.digest for one in found}) == len(KERNELS)
    for one in found:
        assert one.stack == 0, f"{one.name} keeps {one.stack} bytes of each thread outside its registers"
        assert one.shared <= 227 * 1024
        assert (one.matrix_instructions > 0) == (one.name != "delta")


def test_the_compiler_s_refusal_is_told() -> None:
    with pytest.raises(RuntimeError, match="no_such_name"):
        compile_elsewhere("no_such_name")
