"""The kernels compile for an H200, by Triton's own assembler, where there is none."""

from __future__ import annotations

import pytest

from formers.kernels import parity

if reason := parity.why_not():
    pytest.skip(reason, allow_module_level=True)

from formers.kernels.offline import compile_elsewhere

pytestmark = pytest.mark.kernels

LAUNCHES = """
import torch
from formers.kernels.spans import Spans
from formers_t5.kernels import launch
from formers_t5.kernels.distances import extended
q, k, v = torch.zeros(256, 3, 12, {head_dim}, dtype=torch.{dtype}).unbind(1)
spans = Spans(torch.tensor([[0], [256]], dtype=torch.int32), 256)
high = 0 if {causal} else 128
table = extended(torch.zeros(12, 129 + high), 128, high, causal={causal}) if {bias} else None
real, seed = torch.zeros(256, dtype=torch.bool), torch.zeros(1, dtype=torch.int64)
inputs = launch.Matrices(q, k, v, table, seed, real if {holes} else None, spans, spans)
settings = launch.Settings(1.0, 128, high, {causal}, {threshold})
out, lse = launch.forward(inputs, settings)
calls = launch.Backward(out, out, lse, inputs, settings, trained={bias})
calls.queries(), calls.keys()
if {bias}:
    calls.table()
"""
MATRIX = {"forward", "query_gradients", "key_gradients"}
TABLE = {"band_gradients", "diagonal_sums", "table_gradients"}


@pytest.mark.parametrize(
    ("dtype", "head_dim", "options"),
    [
        ("float16", 64, {"bias": True}),
        ("bfloat16", 64, {"bias": True, "causal": True, "threshold": 6554, "holes": True}),
        ("bfloat16", 128, {"threshold": 6554}),
    ],
    ids=["encoder", "decoder in training", "cross-attention"],
)
def test_it_fits_an_h200(dtype: str, head_dim: int, options: dict[str, object]) -> None:
    defaults = {"bias": False, "causal": False, "threshold": 0, "holes": False}
    code = LAUNCHES.format(dtype=dtype, head_dim=head_dim, **{**defaults, **options})
    found = {one.name: one for one in compile_elsewhere(code)}
    assert set(found) == MATRIX | (TABLE if "bias" in options else set())
    for name, one in found.items():
        assert one.stack <= 32, f"{name} keeps {one.stack} bytes of each thread outside its registers"
        assert one.shared <= 100 * 1024, f"{name} leaves no room for a second program"
        assert (one.matrix_instructions > 0) == (name in MATRIX | {"band_gradients"})
