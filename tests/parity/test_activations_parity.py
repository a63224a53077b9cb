from __future__ import annotations

import pytest
import torch

from formers.activations import ACTIVATIONS

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_equal_transformers(name: str, dtype: torch.dtype) -> None:
    activations = pytest.importorskip("transformers.activations")
    x = torch.linspace(-12, 12, 4001, dtype=dtype, requires_grad=True)
    ours, theirs = ACTIVATIONS[name](x), activations.ACT2FN[name](x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    (ours_grad,) = torch.autograd.grad(ours.sum(), x)
    (theirs_grad,) = torch.autograd.grad(theirs.sum(), x)
    torch.testing.assert_close(ours_grad, theirs_grad, rtol=1e-5, atol=1e-5)
