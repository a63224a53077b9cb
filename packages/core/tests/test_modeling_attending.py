from __future__ import annotations

import pytest
import torch
from toy import ToyConfig, ToyForMaskedLM, ToyModel

from formers.errors import AttentionNotInstalledError, AttentionUnsupported


def ids() -> torch.Tensor:
    return torch.arange(8).reshape(2, 4)


def test_the_report_names_the_implementation_of_each_kind_of_call() -> None:
    model = ToyForMaskedLM(ToyConfig()).eval()
    assert "No attention call" in str(model.attention_report())
    model(ids())
    model.train()
    model(ids(), attention_mask=torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]))
    report = model.attention_report()
    assert report.names() == ["sdpa"]
    assert [request.phase for request, _ in report] == ["encode", "train"]
    assert "padding" in str(report)


def test_a_name_is_used_everywhere_in_the_model() -> None:
    model = ToyForMaskedLM(ToyConfig()).eval()
    by_default = model(ids()).logits
    model.set_attn_implementation("eager")
    assert torch.allclose(model(ids()).logits, by_default, atol=1e-6)
    assert model.attention_report().names() == ["sdpa", "eager"]
    model.set_attn_implementation(None)
    assert model.config._attn_implementation is None


def test_the_name_may_be_given_when_building_or_loading(tmp_path: object) -> None:
    model = ToyModel.from_config(ToyConfig(), attn_implementation="eager")
    assert model.config._attn_implementation == "eager"
    model.save_pretrained(tmp_path)  # type: ignore[arg-type]
    loaded = ToyModel.from_pretrained(tmp_path, attn_implementation="sdpa")  # type: ignore[arg-type]
    assert loaded.config._attn_implementation == "sdpa"
    assert ToyModel.from_pretrained(tmp_path).config._attn_implementation is None  # type: ignore[arg-type]


def test_unknown_names_are_refused_and_change_nothing() -> None:
    model = ToyModel(ToyConfig())
    with pytest.raises(AttentionUnsupported, match="Did you mean 'eager'"):
        model.set_attn_implementation("eagre")
    with pytest.raises(AttentionNotInstalledError, match="flash_attention_2"):
        model.set_attn_implementation("flash_attention_2")
    with pytest.raises(ImportError):
        ToyModel.from_config(ToyConfig(), attn_implementation="flash_attention_2")
    assert model.config._attn_implementation is None


def test_the_environment_names_one_for_models_that_name_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORMERS_ATTENTION", "eager")
    model = ToyModel(ToyConfig()).eval()
    model(ids())
    assert model.attention_report().names() == ["eager"]


def test_a_mask_for_another_number_of_heads_is_refused() -> None:
    model = ToyModel(ToyConfig())
    model(ids(), attention_mask=torch.ones(2, 2, 4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4, 4\); expected .* with 2 heads"):
        model(ids(), attention_mask=torch.ones(2, 3, 4, 4, dtype=torch.bool))
