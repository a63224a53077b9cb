"""Key lists of published checkpoints, read into every class of their architecture without a false alarm."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from published_keys import published_keys

import formers_bert
import formers_gpt2
from formers import PreTrainedConfig, PreTrainedModel
from formers.errors import FormersWarning, MissingWeightsWarning, UnexpectedWeightsWarning
from formers_bert import BertConfig, BertForPreTraining, BertForQuestionAnswering
from formers_gpt2 import GPT2Config, GPT2Model

# published size -> size here
NARROW = {30522: 64, 50257: 64, 3072: 32, 2304: 48, 768: 16, 512: 24, 1024: 24}
TRANSFORM = ("dense.weight", "dense.bias", "LayerNorm.{scale}", "LayerNorm.{shift}")
PREDICTIONS = {"cls.predictions.bias", "cls.predictions.decoder.weight"} | {
    f"cls.predictions.transform.{name}" for name in TRANSFORM
}
RELATIONSHIP = {"cls.seq_relationship.weight", "cls.seq_relationship.bias"}
POOLER = {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
CLASSIFIER = {"classifier.weight", "classifier.bias"}
SPANS = {"qa_outputs.weight", "qa_outputs.bias"}
NEW_HEAD = PREDICTIONS - {"cls.predictions.decoder.weight"} | {
    "cls.predictions.decoder.bias"
}  # its weight is tied

CASES = {  # class: (absent from bert-base-uncased, unused of it, absent from the fine-tune, unused of it)
    "BertModel": (set(), PREDICTIONS | RELATIONSHIP, POOLER, SPANS),
    "BertForPreTraining": (set(), set(), POOLER | NEW_HEAD | RELATIONSHIP, SPANS),
    "BertLMHeadModel": (set(), POOLER | RELATIONSHIP, NEW_HEAD, SPANS),
    "BertForMaskedLM": (set(), POOLER | RELATIONSHIP, NEW_HEAD, SPANS),
    "BertForNextSentencePrediction": (set(), PREDICTIONS, POOLER | RELATIONSHIP, SPANS),
    "BertForSequenceClassification": (CLASSIFIER, PREDICTIONS | RELATIONSHIP, POOLER | CLASSIFIER, SPANS),
    "BertForMultipleChoice": (CLASSIFIER, PREDICTIONS | RELATIONSHIP, POOLER | CLASSIFIER, SPANS),
    "BertForTokenClassification": (CLASSIFIER, PREDICTIONS | RELATIONSHIP | POOLER, CLASSIFIER, SPANS),
    "BertForQuestionAnswering": (SPANS, PREDICTIONS | RELATIONSHIP | POOLER, set(), set()),
}


def narrow_weights(name: str) -> dict[str, torch.Tensor]:
    """Tensors with the published names and types, and every dimension as small as in ``narrow_config``."""
    return {
        key: torch.ones([NARROW.get(size, size) for size in shape], dtype=dtype)
        for key, (shape, dtype) in published_keys(name).items()
    }


def narrow_config() -> BertConfig:
    return BertConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        max_position_embeddings=24,
        num_attention_heads=2,
        is_decoder=True,
    )


def load(
    cls: type[PreTrainedModel], config: PreTrainedConfig, weights: dict[str, torch.Tensor]
) -> tuple[Any, list[Warning | str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = cls.from_pretrained(None, config=config, state_dict=weights, output_loading_info=True)[1]
    return report, [warning.message for warning in caught]


def named(keys: set[str], name: str, scale: str, shift: str) -> set[str]:
    filled = {key.format(scale=scale, shift=shift) for key in keys}
    return {key.removeprefix("bert.") for key in filled} if name == "BertModel" else filled


@pytest.mark.parametrize("checkpoint", ["bert-base-uncased", "bert-base-fine-tuned"])
@pytest.mark.parametrize("name", CASES)
def test_only_what_is_really_new_or_unused_is_warned_about(name: str, checkpoint: str) -> None:
    old = checkpoint == "bert-base-uncased"
    missing, unused = CASES[name][:2] if old else CASES[name][2:]
    report, messages = load(getattr(formers_bert, name), narrow_config(), narrow_weights(checkpoint))

    assert set(report.missing_keys) == named(missing, name, "weight", "bias")
    published = ("gamma", "beta") if old else ("weight", "bias")
    assert {key.removeprefix("bert.") for key in report.unexpected_keys} == {
        key.removeprefix("bert.") for key in named(unused, name, *published)
    }
    assert report.mismatched_keys == []
    assert set(report.initialised) == set(report.missing_keys)
    expected = [MissingWeightsWarning] * bool(missing) + [UnexpectedWeightsWarning] * bool(unused)
    assert [type(message) for message in messages if isinstance(message, FormersWarning)] == expected
    assert len(messages) == len(expected)


GPT2_CASES = {  # class: absent from gpt2
    "GPT2Model": set(),
    "GPT2LMHeadModel": set(),
    "GPT2DoubleHeadsModel": {"multiple_choice_head.summary.weight", "multiple_choice_head.summary.bias"},
    "GPT2ForSequenceClassification": {"score.weight"},
    "GPT2ForTokenClassification": CLASSIFIER,
    "GPT2ForQuestionAnswering": SPANS,
}


@pytest.mark.parametrize("name", GPT2_CASES)
def test_gpt2_is_read_into_every_class(name: str) -> None:
    """Without its prefix; the causal masks that it stores are dropped in silence, and its head is tied."""
    config = GPT2Config(vocab_size=64, n_positions=24, n_embd=16, n_inner=32, n_head=2)
    report, messages = load(getattr(formers_gpt2, name), config, narrow_weights("gpt2"))
    assert set(report.missing_keys) == GPT2_CASES[name]
    assert report.unexpected_keys == report.mismatched_keys == []
    assert [type(message) for message in messages] == [MissingWeightsWarning] * bool(GPT2_CASES[name])


@pytest.mark.parametrize(
    ("cls", "config", "checkpoint"),
    [
        (BertForPreTraining, BertConfig(), "bert-base-uncased"),
        (BertForQuestionAnswering, BertConfig(), "bert-base-fine-tuned"),
        (GPT2Model, GPT2Config(), "gpt2"),
    ],
    ids=["bert-base-uncased", "bert-base-fine-tuned", "gpt2"],
)
def test_the_published_sizes_are_those_of_the_default_configuration(
    cls: type[PreTrainedModel], config: PreTrainedConfig, checkpoint: str
) -> None:
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in cls(config).state_dict().items()}
    expected.pop("cls.predictions.decoder.bias", None)  # published under its other name only
    stored = {
        key.replace("gamma", "weight").replace("beta", "bias"): shape
        for key, (shape, _) in published_keys(checkpoint).items()
        if not key.endswith(("position_ids", ".attn.bias", ".masked_bias"))
    }
    assert stored == expected
