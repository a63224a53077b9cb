"""Published names, shared tensors, and what a checkpoint may lack."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from formers.errors import FormersWarning, MissingWeightsError, MissingWeightsWarning
from formers_t5.classification import T5ForSequenceClassification
from formers_t5.configuration import tiny_config
from formers_t5.heads import T5ForConditionalGeneration
from formers_t5.modeling import T5EncoderModel


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return T5ForConditionalGeneration(tiny_config()).state_dict()


def loaded(weights: dict[str, Tensor]) -> T5ForConditionalGeneration:
    return T5ForConditionalGeneration.from_pretrained(None, config=tiny_config(), state_dict=weights)


def test_shared_tensors_are_stored_once(tmp_path: Path) -> None:
    from safetensors import safe_open

    T5ForConditionalGeneration(tiny_config()).save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as stored:
        names = set(stored.keys())
    assert "shared.weight" in names
    assert not {name for name in names if "embed_tokens" in name or "lm_head" in name}


@pytest.mark.parametrize("name", ["lm_head.weight", "encoder.embed_tokens.weight"])
def test_stored_values_decide_what_is_shared(weights: dict[str, Tensor], name: str) -> None:
    weights[name] = torch.randn(64, 16)
    with pytest.warns(FormersWarning, match="stored with different values and therefore not tied"):
        model = loaded(weights)
    assert torch.equal(model.get_parameter(name), weights[name])
    assert model.decoder.embed_tokens.weight is model.shared.weight


@pytest.mark.filterwarnings("error")
def test_a_head_that_is_announced_is_no_surprise(weights: dict[str, Tensor]) -> None:
    weights["lm_head.weight"] = torch.randn(64, 16)
    config = tiny_config(tie_word_embeddings=False)
    model = T5ForConditionalGeneration.from_pretrained(None, config=config, state_dict=weights)
    assert torch.equal(model.lm_head.weight, weights["lm_head.weight"])
    weights["encoder.embed_tokens.weight"] = torch.randn(64, 16)
    with pytest.warns(
        FormersWarning, match=r"not tied: \['encoder\.embed_tokens\.weight and shared\.weight'\]"
    ):
        T5ForConditionalGeneration.from_pretrained(None, config=config, state_dict=weights)


def test_a_head_that_is_not_stored_is_shared(weights: dict[str, Tensor]) -> None:
    del weights["lm_head.weight"]
    model = T5ForConditionalGeneration.from_pretrained(
        None, config=tiny_config(tie_word_embeddings=False), state_dict=weights
    )
    assert model.lm_head.weight is model.shared.weight


@pytest.mark.filterwarnings("error")
def test_the_bias_that_no_model_uses_is_dropped(weights: dict[str, Tensor]) -> None:
    weights["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = torch.zeros(8, 2)
    loaded(weights)


@pytest.mark.filterwarnings("error")
def test_an_encoder_leaves_the_decoder_out(weights: dict[str, Tensor]) -> None:
    del weights["lm_head.weight"]
    model = T5EncoderModel.from_pretrained(None, config=tiny_config(), state_dict=weights)
    assert torch.equal(model.shared.weight, weights["shared.weight"])


def test_a_new_head_is_announced_and_a_missing_layer_refused(weights: dict[str, Tensor]) -> None:
    del weights["lm_head.weight"]
    with pytest.warns(MissingWeightsWarning, match="classification_head"):
        T5ForSequenceClassification.from_pretrained(None, config=tiny_config(), state_dict=weights)
    del weights["decoder.block.0.layer.1.EncDecAttention.q.weight"]
    with pytest.raises(MissingWeightsError, match="EncDecAttention"):
        loaded(weights)
