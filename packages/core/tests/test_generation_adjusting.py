"""``adjust_logits_during_generation``: an override is honoured by every strategy, and nothing is paid without one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from toy_causal import ToyForCausalLM, toy_causal

from formers.generation.adjusting import adjustment_of
from formers.generation.beam_scorer import BeamSearchScorer

IDS = torch.tensor([[3, 4, 5], [6, 7, 8]])
STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampled": {"do_sample": True},
    "beams": {"num_beams": 3},
    "groups": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0},
}


def only(logits: Tensor, token: int) -> Tensor:
    allowed = torch.full_like(logits, float("-inf"))
    allowed[:, token : token + 3] = logits[:, token : token + 3]
    return allowed


class ByLength(ToyForCausalLM):
    """Allows other tokens at each length."""

    def adjust_logits_during_generation(self, logits: Tensor, cur_len: int, **kwargs: Any) -> Tensor:
        assert logits.dtype == torch.float32
        assert kwargs == {"max_length": 7}
        return only(logits, 3 * (cur_len - 2))


class Plain(ToyForCausalLM):
    def adjust_logits_during_generation(self, logits: Tensor, max_length: int | None) -> Tensor:  # type: ignore[override]
        assert max_length == 7
        return only(logits, 9)


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_override_is_honoured(name: str) -> None:
    model = ByLength(toy_causal(seed=1).config).eval()
    found = model.generate(IDS, max_new_tokens=4, **STRATEGIES[name])
    for column in range(4):
        tokens = found[:, 3 + column]
        assert ((tokens >= 3 * (column + 1)) & (tokens < 3 * (column + 2))).all()


def test_an_override_gets_what_it_names() -> None:
    found = Plain(toy_causal(seed=1).config).eval().generate(IDS, max_new_tokens=4)
    assert ((found[:, 3:] >= 9) & (found[:, 3:] < 12)).all()


def test_it_is_honoured_by_the_methods_by_name() -> None:
    model = Plain(toy_causal(seed=1).config).eval()
    rows = IDS.repeat_interleave(2, dim=0)
    model.generation_config.max_length = 7
    for found in (model.greedy_search(IDS), model.beam_search(rows, BeamSearchScorer(2, 2, "cpu"))):
        assert ((found[:, 3:] >= 9) & (found[:, 3:] < 12)).all()


def test_it_comes_before_the_processors() -> None:
    seen = []

    def noting(tokens: Tensor, scores: Tensor) -> Tensor:
        seen.append(int(scores.isfinite().sum(dim=1).max()))
        return scores

    Plain(toy_causal(seed=1).config).eval().generate(IDS, max_new_tokens=4, logits_processor=[noting])
    assert seen == [3] * 4


def test_a_model_may_get_one_by_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy_causal(seed=1)
    monkeypatch.setattr(
        model, "adjust_logits_during_generation", lambda logits: only(logits, 9), raising=False
    )
    assert ((model.generate(IDS, max_new_tokens=4)[:, 3:] - 9).abs() < 3).all()


def test_without_an_override_nothing_is_called() -> None:
    model = toy_causal()
    assert adjustment_of(model) is None
    logits = torch.randn(2, 24)
    assert model.adjust_logits_during_generation(logits, cur_len=3) is logits


@pytest.mark.parametrize("result", [None, torch.zeros(2, 23)])
def test_what_comes_back_must_be_logits(result: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy_causal()
    monkeypatch.setattr(model, "adjust_logits_during_generation", lambda logits: result, raising=False)
    with pytest.raises(TypeError, match=r"expected the logits, a tensor \[2, 24\]"):
        model.generate(IDS, max_new_tokens=4)
