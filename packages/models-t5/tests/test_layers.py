"""The norm: the same with and without a graph."""

from __future__ import annotations

import pytest
import torch

from formers_t5.layers import T5LayerNorm


@pytest.mark.parametrize(("dtype", "exact"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_the_norm_without_a_graph_is_the_norm(dtype: torch.dtype, exact: float) -> None:
    norm = T5LayerNorm(48, 1e-3).to(dtype)
    norm.weight.data.uniform_(0.1, 2.0)
    sizes = torch.tensor([0.0, 1e-4, 1.0, 1e4], dtype=dtype)
    states = torch.randn(4, 7, 48, dtype=dtype) * sizes[:, None, None]
    kept = states.clone()
    wanted = norm(states)
    written_out = states / (states.square().mean(dim=-1, keepdim=True) + 1e-3).sqrt() * norm.weight
    torch.testing.assert_close(wanted, written_out, rtol=exact, atol=0)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            found = norm(states)
            assert norm(states[:0]).shape == (0, 7, 48)
        assert found.dtype == dtype
        torch.testing.assert_close(found, wanted, rtol=exact, atol=0)
    assert torch.equal(states, kept)
