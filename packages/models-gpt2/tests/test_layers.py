from __future__ import annotations

import pytest
import torch

from formers_gpt2.layers import Conv1D, prune_conv1d


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 5), (0, 3, 5)])
def test_it_is_a_matrix_product(shape: tuple[int, ...]) -> None:
    layer = Conv1D(7, 5)
    torch.nn.init.normal_(layer.bias)
    given = torch.randn(shape)
    torch.testing.assert_close(layer(given), given @ layer.weight + layer.bias)


def test_weights_lie_as_they_are_published() -> None:
    layer = Conv1D(7, 5)
    assert layer.weight.shape == (5, 7)
    assert layer.weight.is_contiguous()
    assert repr(layer) == "Conv1D(nf=7, nx=5)"


@pytest.mark.parametrize("dim", [0, 1])
def test_pruning(dim: int) -> None:
    layer = Conv1D(6, 6)
    torch.nn.init.normal_(layer.bias)
    kept = torch.tensor([0, 2, 5])
    pruned = prune_conv1d(layer, kept, dim)
    given = torch.randn(3, 6)
    if dim == 0:
        given[:, [1, 3, 4]] = 0
        expected = layer(given)
        given = given[:, kept]
    else:
        expected = layer(given)[:, kept]
    torch.testing.assert_close(pruned(given), expected)
    assert (pruned.nx, pruned.nf) == ((3, 6) if dim == 0 else (6, 3))


def test_pruning_keeps_what_is_frozen() -> None:
    layer = Conv1D(6, 6)
    layer.weight.requires_grad_(False)
    pruned = prune_conv1d(layer, torch.tensor([1]))
    assert not pruned.weight.requires_grad
    assert pruned.bias.requires_grad
    assert not pruned.weight.is_meta
