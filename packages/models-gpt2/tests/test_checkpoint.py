"""The layouts in which GPT-2 checkpoints have been published, read into every class."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import formers_gpt2
from formers.errors import MissingWeightsError, MissingWeightsWarning, UnexpectedWeightsWarning
from formers_gpt2 import GPT2LMHeadModel, GPT2Model
from formers_gpt2.configuration import tiny_config

IDS = torch.arange(1, 13).view(2, 6)
NEW = {  # class: what no published checkpoint has
    "GPT2Model": set(),
    "GPT2LMHeadModel": set(),
    "GPT2DoubleHeadsModel": {"multiple_choice_head.summary.weight", "multiple_choice_head.summary.bias"},
    "GPT2ForSequenceClassification": {"score.weight"},
    "GPT2ForTokenClassification": {"classifier.weight", "classifier.bias"},
    "GPT2ForQuestionAnswering": {"qa_outputs.weight", "qa_outputs.bias"},
}


def original(model: GPT2Model) -> dict[str, Tensor]:
    """As published in 2019: without a prefix, with the causal mask of each layer, the head tied and not stored."""
    masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 32, 32).tril() for layer in range(2)}
    return model.state_dict() | masks


def fine_tuned(model: GPT2LMHeadModel) -> dict[str, Tensor]:
    """As a release of 2020 saved it: prefixed, the head stored, two buffers in each layer."""
    weights = model.state_dict()
    assert "lm_head.weight" in weights
    for layer in range(2):
        for kind in ("attn", "crossattention"):
            weights[f"transformer.h.{layer}.{kind}.bias"] = torch.ones(1, 1, 32, 32).tril().bool()
            weights[f"transformer.h.{layer}.{kind}.masked_bias"] = torch.tensor(-1e4)
    return weights


def load(name: str, weights: dict[str, Tensor], **options: Any) -> tuple[Any, Any]:
    """The model and the report; which warnings are issued is what the report says."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, report = getattr(formers_gpt2, name).from_pretrained(
            None, config=tiny_config(**options), state_dict=weights, output_loading_info=True
        )
    categories = {warning.category for warning in caught}
    assert (MissingWeightsWarning in categories) == bool(report["missing_keys"])
    assert (UnexpectedWeightsWarning in categories) == bool(report["unexpected_keys"])
    return model, report


@pytest.mark.parametrize("name", NEW)
def test_the_original_layout(name: str) -> None:
    source = GPT2Model(tiny_config())
    model, report = load(name, original(source))
    assert set(report["missing_keys"]) == NEW[name]
    assert not report["unexpected_keys"]
    assert torch.equal(model.base_model(IDS)[0], source.eval()(IDS)[0])
    head = model.get_output_embeddings()
    assert head is None or head.weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("name", NEW)
def test_a_fine_tuned_layout(name: str) -> None:
    source = GPT2LMHeadModel(tiny_config())
    model, report = load(name, fine_tuned(source))
    assert set(report["missing_keys"]) == NEW[name]
    has_head = model.get_output_embeddings() is not None
    assert set(report["unexpected_keys"]) == (set() if has_head else {"lm_head.weight"})
    assert torch.equal(model.base_model(IDS)[0], source.eval().transformer(IDS)[0])


def test_an_untied_head_is_fresh_where_it_is_not_stored() -> None:
    source = GPT2Model(tiny_config())
    model, report = load("GPT2LMHeadModel", original(source), tie_word_embeddings=False)
    assert report["missing_keys"] == ["lm_head.weight"]
    assert model.lm_head.weight.std() > 0
    assert not torch.equal(model.lm_head.weight, model.transformer.wte.weight)


def test_cross_attention_is_fresh() -> None:
    source = GPT2Model(tiny_config())
    model, report = load("GPT2LMHeadModel", original(source), add_cross_attention=True, n_layer=2)
    assert all("crossattention" in key or "ln_cross_attn" in key for key in report["missing_keys"])
    assert torch.equal(model.transformer(IDS)[0], source.eval()(IDS)[0])
    block = model.transformer.h[0]
    assert block.crossattention.c_proj.weight.std() < block.crossattention.q_attn.weight.std()
    assert torch.equal(block.ln_cross_attn.weight, torch.ones(16))


@pytest.mark.parametrize("lost", ["wte.weight", "h.1.attn.c_attn.bias", "h.0.mlp.c_proj.weight", "ln_f.bias"])
@pytest.mark.parametrize("name", ["GPT2Model", "GPT2LMHeadModel"])
def test_a_lost_weight_is_an_error(name: str, lost: str) -> None:
    weights = original(GPT2Model(tiny_config()))
    del weights[lost]
    with pytest.raises(MissingWeightsError, match=lost):
        getattr(formers_gpt2, name).from_pretrained(None, config=tiny_config(), state_dict=weights)


def test_a_stored_head_may_stand_for_the_embeddings() -> None:
    weights = GPT2LMHeadModel(tiny_config()).state_dict()
    expected = weights.pop("transformer.wte.weight")
    model, report = load("GPT2LMHeadModel", weights)
    assert not report["missing_keys"]
    assert torch.equal(model.get_input_embeddings().weight, expected)


def test_fresh_maps_into_the_residual_stream_are_small_when_loading_too() -> None:
    weights = original(GPT2Model(tiny_config()))
    lost = [key for key in weights if "c_proj" in key]
    for key in lost:
        del weights[key]
    with pytest.warns(MissingWeightsWarning, match="c_proj"):
        model = GPT2Model.from_pretrained(None, config=tiny_config(), state_dict=weights, strict=False)
    for key in lost:
        if key.endswith("weight"):
            assert model.get_parameter(key).std().item() == pytest.approx(0.01, rel=0.25)


@pytest.mark.parametrize(
    "options", [{}, {"tie_word_embeddings": False}, {"add_cross_attention": True, "n_inner": None}]
)
@pytest.mark.parametrize("name", NEW)
def test_a_round_trip(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = getattr(formers_gpt2, name)(tiny_config(**options)).eval()
    model.save_pretrained(tmp_path)
    again, report = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    inputs = model.dummy_inputs
    assert torch.equal(again(**inputs)[0], model(**inputs)[0])
