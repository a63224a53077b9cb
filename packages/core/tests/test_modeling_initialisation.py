from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from formers.modeling.construction import building_on_meta
from formers.modeling.initialisation import default_init_weights, normal, truncated_normal

CUT_STD = 0.8796256610342398  # of a standard normal distribution between -2 and 2


def distance_from_truncated_normal(sample: Tensor, std: float) -> float:
    """The Kolmogorov-Smirnov statistic: how far the sample's distribution function is from the exact one, at most."""
    scaled = sample.double().flatten().sort().values / (std / CUT_STD)
    exact = 0.5 + torch.erf(scaled / math.sqrt(2)) / (2 * math.erf(math.sqrt(2)))
    steps = torch.arange(len(scaled) + 1, dtype=torch.float64) / len(scaled)
    return float(torch.maximum((exact - steps[:-1]).abs().max(), (exact - steps[1:]).abs().max()))


@pytest.mark.parametrize("std", [0.02, 1.5])
def test_truncated_normal_has_the_distribution_that_it_says(std: float) -> None:
    torch.manual_seed(0)
    sample = torch.empty(300, 400)
    truncated_normal(sample, std)
    limit = 1.63 / math.sqrt(sample.numel())  # passed by one sample of the right distribution in a hundred
    assert distance_from_truncated_normal(sample, std) < limit
    assert sample.std().item() == pytest.approx(std, rel=0.01)
    assert sample.abs().max().item() <= 2 * std / CUT_STD * (1 + 1e-6)
    normal(sample, std)
    assert distance_from_truncated_normal(sample, std) > limit, "the test cannot tell them apart"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("shape", [(0,), (), (5,), (3, 4, 5)])
def test_truncated_normal_fills_any_tensor(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tensor = torch.full(shape, torch.nan, dtype=dtype)
    truncated_normal(tensor, 0.5)
    assert not tensor.isnan().any()
    assert (tensor.abs() <= 1.14).all()


def test_no_deviation_means_zeros() -> None:
    tensor = torch.ones(7)
    truncated_normal(tensor, 0.0)
    assert torch.equal(tensor, torch.zeros(7))


def test_weights_that_loading_will_replace_cost_nothing() -> None:
    with building_on_meta():
        module = nn.Linear(3, 3)
        default_init_weights(module, 0.02, truncated_normal)
    assert module.weight.is_meta


def test_the_draw_decides_about_weights_alone() -> None:
    def sevens(tensor: Tensor, std: float) -> None:
        nn.init.constant_(tensor, 7 * std)

    linear, embedding = nn.Linear(2, 2), nn.Embedding(3, 2, padding_idx=1)
    default_init_weights(linear, 2.0, sevens)
    default_init_weights(embedding, 2.0, sevens)
    assert linear.weight.tolist() == [[14.0, 14.0], [14.0, 14.0]]
    assert linear.bias.tolist() == [0.0, 0.0]
    assert embedding.weight.tolist() == [[14.0, 14.0], [0.0, 0.0], [14.0, 14.0]]
