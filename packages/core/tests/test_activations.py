from __future__ import annotations

import pytest
import torch

from formers.activations import ACTIVATIONS, activation


def test_by_name_or_as_it_is() -> None:
    x = torch.linspace(-3, 3, 7)
    torch.testing.assert_close(activation("gelu")(x), torch.nn.functional.gelu(x))
    module = torch.nn.PReLU()
    assert activation(module) is module
    assert activation(torch.sin) is torch.sin


def test_an_unknown_name_is_refused_with_a_near_miss() -> None:
    with pytest.raises(ValueError, match="'gelu_neww'; did you mean 'gelu_new'"):
        activation("gelu_neww")
    with pytest.raises(ValueError, match="known are gelu, "):
        activation("zzzzzz")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_function_keeps_shape_and_dtype_and_passes_gradients(name: str) -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    out = activation(name)(x)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    assert torch.autograd.gradcheck(activation(name), (x,))


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        ACTIVATIONS["gelu"] = torch.sin  # type: ignore[index]
