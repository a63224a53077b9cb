from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from formers.modeling.layers import Dropout, LayerNorm, Linear


class TestDropout:
    def test_it_drops_in_training_only(self) -> None:
        dropout, given = Dropout(0.5), torch.ones(1000)
        assert 300 < (dropout(given) == 0).sum() < 700
        assert dropout.eval()(given) is given

    @pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook"])
    def test_hooks_run_outside_training_too(self, kind: str) -> None:
        dropout, seen = Dropout(0.5).eval(), []
        getattr(dropout, f"register_{kind}")(lambda module, *values: seen.append(values))
        given = torch.ones(3)
        assert torch.equal(dropout(given), given)
        assert len(seen) == 1

    @pytest.mark.parametrize("training", [False, True])
    def test_it_compiles(self, training: bool) -> None:
        model = nn.Sequential(nn.Linear(4, 4), Dropout(0.0)).train(training)
        given = torch.randn(2, 4)
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(given), model(given))


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"elementwise_affine": False}])
def test_layer_norm_is_torchs(options: dict[str, Any]) -> None:
    ours, theirs = LayerNorm(6, eps=1e-3, **options), nn.LayerNorm(6, eps=1e-3, **options)
    if ours.weight is not None:
        nn.init.normal_(ours.weight)
    theirs.load_state_dict(ours.state_dict())
    given = torch.randn(2, 3, 6)
    assert torch.equal(ours(given), theirs(given))
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(given.bfloat16()).dtype == theirs(given.bfloat16()).dtype


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_pruned_or_parametrised_norm_uses_what_is_left(name: str) -> None:
    class Half(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight / 2

    torch.manual_seed(0)
    values = torch.randn(2, 6)
    for change in (
        lambda norm: parametrize.register_parametrization(norm, name, Half()),
        lambda norm: prune.l1_unstructured(norm, name, 2),
    ):
        ours, theirs = LayerNorm(6), nn.LayerNorm(6)
        for norm in (ours, theirs):
            nn.init.constant_(norm.weight, 2.0)
            nn.init.constant_(norm.bias, 3.0)
            change(norm)
        assert torch.equal(ours(values), theirs(values))
        assert not torch.equal(ours(values), 2 * nn.functional.layer_norm(values, (6,)) + 3)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_torchs(bias: bool) -> None:
    ours, theirs = Linear(4, 6, bias=bias), nn.Linear(4, 6, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    given = torch.randn(2, 3, 4)
    assert torch.equal(ours(given), theirs(given))
    assert isinstance(ours, nn.Linear)
    prune.l1_unstructured(ours, "weight", 5)
    prune.l1_unstructured(theirs, "weight", 5)
    assert torch.equal(ours(given), theirs(given))
    assert not torch.equal(ours(given), nn.functional.linear(given, ours.weight_orig, theirs.bias))
