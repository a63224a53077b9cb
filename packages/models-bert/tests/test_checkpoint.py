"""The layouts in which BERT checkpoints have been published, read into every class."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import formers_bert
from formers.errors import MissingWeightsError, MissingWeightsWarning, UnexpectedWeightsWarning
from formers_bert import BertForPreTraining, BertForQuestionAnswering, BertModel
from formers_bert.configuration import tiny_config

IDS = torch.arange(1, 13).view(2, 6)
HEADS = [name for name in formers_bert.__all__ if name.startswith("BertFor") and not name.endswith("Output")]
ENCODER = {key for key in BertModel(tiny_config(), add_pooling_layer=False).state_dict()}  # noqa: C416
POOLER = {"pooler.dense.weight", "pooler.dense.bias"}
PREDICTIONS = {f"cls.predictions.transform.{key}" for key in ("dense.weight", "dense.bias")} | {
    f"cls.predictions.{key}"
    for key in ("bias", "decoder.weight", "transform.LayerNorm.weight", "transform.LayerNorm.bias")
}
RELATIONSHIP = {"cls.seq_relationship.weight", "cls.seq_relationship.bias"}


def config(**options: Any) -> formers_bert.BertConfig:
    return tiny_config(is_decoder=True, **options)


def named(keys: set[str], prefix: str) -> set[str]:
    return {prefix + key for key in keys}


def original(model: BertForPreTraining) -> dict[str, Tensor]:
    """As converted from TensorFlow: gamma and beta, both heads, the shared decoder stored, its bias once."""
    weights = {
        key: value for key, value in model.state_dict().items() if key != "cls.predictions.decoder.bias"
    }
    assert set(weights) == named(ENCODER | POOLER, "bert.") | PREDICTIONS | RELATIONSHIP
    old = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))
    for new, name in old:
        weights = {key.replace(new, name): value for key, value in weights.items()}
    return weights


def fine_tuned(model: BertForQuestionAnswering) -> dict[str, Tensor]:
    """As a release of 2020 saved it: the positions are stored, and there is no pooler."""
    return model.state_dict() | {"bert.embeddings.position_ids": torch.arange(32)[None]}


def load(name: str, weights: dict[str, Tensor]) -> tuple[Any, Any]:
    """The model and the report; which warnings are issued is what the report says."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, report = getattr(formers_bert, name).from_pretrained(
            None, config=config(), state_dict=weights, output_loading_info=True
        )
    categories = {warning.category for warning in caught}
    assert (MissingWeightsWarning in categories) == bool(report["missing_keys"])
    assert (UnexpectedWeightsWarning in categories) == bool(report["unexpected_keys"])
    return model, report


CLASSIFIER = {"classifier.weight", "classifier.bias"}
SPANS = {"qa_outputs.weight", "qa_outputs.bias"}
READS = {  # class: what the original lacks, what of it is not used
    "BertModel": (set(), PREDICTIONS | RELATIONSHIP),
    "BertForPreTraining": (set(), set()),
    "BertLMHeadModel": (set(), named(POOLER, "bert.") | RELATIONSHIP),
    "BertForMaskedLM": (set(), named(POOLER, "bert.") | RELATIONSHIP),
    "BertForNextSentencePrediction": (set(), PREDICTIONS),
    "BertForSequenceClassification": (CLASSIFIER, PREDICTIONS | RELATIONSHIP),
    "BertForMultipleChoice": (CLASSIFIER, PREDICTIONS | RELATIONSHIP),
    "BertForTokenClassification": (CLASSIFIER, named(POOLER, "bert.") | PREDICTIONS | RELATIONSHIP),
    "BertForQuestionAnswering": (SPANS, named(POOLER, "bert.") | PREDICTIONS | RELATIONSHIP),
}


@pytest.mark.parametrize("name", READS)
def test_the_original_layout(name: str) -> None:
    source = BertForPreTraining(config())
    model, report = load(name, original(source))
    missing, unused = READS[name]
    assert set(report["missing_keys"]) == missing
    found = {key.replace("gamma", "weight").replace("beta", "bias") for key in report["unexpected_keys"]}
    assert found == unused
    expected = source.eval().bert(IDS).last_hidden_state
    assert torch.equal(model.base_model(IDS).last_hidden_state, expected)


@pytest.mark.parametrize("name", [*HEADS, "BertModel", "BertLMHeadModel"])
def test_a_fine_tuned_layout(name: str) -> None:
    source = BertForQuestionAnswering(config())
    model, report = load(name, fine_tuned(source))
    assert set(report["unexpected_keys"]) == (set() if name == "BertForQuestionAnswering" else SPANS)
    assert not {key.removeprefix("bert.") for key in report["missing_keys"]} & ENCODER
    assert torch.equal(model.base_model(IDS)[0], source.eval().bert(IDS)[0])


@pytest.mark.parametrize("name", [*HEADS, "BertLMHeadModel"])
def test_the_bare_layout(name: str) -> None:
    """Sentence encoders are published without a prefix and without a head."""
    source = BertModel(config())
    model, report = load(name, source.state_dict())
    assert not {key for key in report["missing_keys"] if key.startswith("bert.")}
    assert torch.equal(model.base_model(IDS)[0], source.eval()(IDS)[0])


def test_a_decoder_gets_fresh_cross_attention() -> None:
    source = BertModel(config())
    with pytest.warns(MissingWeightsWarning, match="crossattention"):
        model = BertModel.from_pretrained(
            None, config=config(add_cross_attention=True), state_dict=source.state_dict()
        )
    assert torch.equal(model(IDS)[0], source.eval()(IDS)[0])
    assert model.encoder.layer[0].crossattention.self.query.weight.std() > 0


@pytest.mark.parametrize(
    "lost",
    ["embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.bias", "embeddings.LayerNorm.weight"],
)
def test_a_lost_weight_is_an_error(lost: str) -> None:
    weights = BertModel(config()).state_dict()
    del weights[lost]
    with pytest.raises(MissingWeightsError, match=lost):
        BertModel.from_pretrained(None, config=config(), state_dict=weights)


def test_distances_are_not_optional() -> None:
    with pytest.raises(MissingWeightsError, match="distance_embedding"):
        BertModel.from_pretrained(
            None,
            config=config(position_embedding_type="relative_key"),
            state_dict=BertModel(config()).state_dict(),
        )


@pytest.mark.parametrize(
    "options", [{}, {"tie_word_embeddings": False}, {"position_embedding_type": "relative_key"}]
)
@pytest.mark.parametrize("name", [*HEADS, "BertModel", "BertLMHeadModel"])
def test_a_round_trip(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = getattr(formers_bert, name)(config(**options)).eval()
    model.save_pretrained(tmp_path)
    again, report = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    inputs = model.dummy_inputs
    assert torch.equal(again(**inputs)[0], model(**inputs)[0])
