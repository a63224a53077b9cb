"""Bad input is refused at once, by an error that names the argument, the value and the limit."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from formers.cache import DynamicCache
from formers.errors import FormersWarning
from formers.layout import Layout
from formers_bert import BertForMaskedLM, BertForQuestionAnswering, BertForTokenClassification, BertModel
from formers_bert.configuration import tiny_config

IDS = torch.arange(1, 9).view(2, 4)


@pytest.fixture(scope="module")
def model() -> BertModel:
    return BertModel(tiny_config()).eval()


@pytest.fixture(scope="module")
def decoder() -> BertModel:
    return BertModel(tiny_config(is_decoder=True, add_cross_attention=True)).eval()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"input_ids": torch.tensor([[1, 64]])},
            r"input_ids holds 64 at \[0, 1\]; expected 0 to 63 .*vocab_size",
        ),
        ({"input_ids": torch.tensor([[1], [-1]])}, r"input_ids holds -1 at \[1, 0\]"),
        (
            {"input_ids": IDS, "token_type_ids": torch.full((2, 4), 2)},
            r"token_type_ids holds 2 .*type_vocab_size",
        ),
        (
            {"input_ids": IDS, "position_ids": torch.tensor([[0, 1, 2, 32]])},
            r"position_ids holds 32 at \[0, 3\]",
        ),
        ({"input_ids": torch.ones(2, 0, dtype=torch.int64)}, "the input has no tokens"),
        ({"input_ids": torch.ones(1, 33, dtype=torch.int64)}, r"33 tokens long.*positions for 32"),
        (
            {"input_ids": IDS, "inputs_embeds": torch.zeros(2, 4, 16)},
            "exactly one of input_ids and inputs_embeds",
        ),
        ({}, "got neither"),
        ({"input_ids": IDS[0]}, r"input_ids is for a batch of shape \(4,\); expected \[batch, length\]"),
        ({"inputs_embeds": torch.zeros(4, 16)}, r"inputs_embeds is for a batch of shape \(4,\)"),
        ({"input_ids": IDS, "attention_mask": Layout.padded(2, 5)}, r"the given layout describes \(2, 5\)"),
        ({"input_ids": IDS, "encoder_hidden_states": torch.zeros(2, 3, 16)}, "has no cross-attention"),
        (
            {"input_ids": IDS, "head_mask": torch.ones(3)},
            r"head_mask has shape \(3,\); expected \[heads\] = \(2,\)",
        ),
    ],
)
def test_refused_with_the_reason(model: BertModel, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(**inputs)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("shape", [(1, 3), (1, 5), (2, 3), (2, 5), (3, 4), (4,), (2, 4, 5), (2, 1, 4, 5)])
def test_a_mask_of_another_shape_names_both_shapes(
    model: BertModel, shape: tuple[int, ...], attention: str
) -> None:
    model.set_attn_implementation(attention)
    with pytest.raises(ValueError, match=re.escape(f"attention_mask has shape {shape}")) as error:
        model(IDS, attention_mask=torch.ones(shape))
    assert "(2, 4)" in str(error.value)


def test_a_mask_beside_a_cache_counts_the_cached_tokens(decoder: BertModel) -> None:
    cache = decoder(IDS).past_key_values
    with pytest.raises(ValueError, match=r"attention_mask has shape \(2, 1\); expected .* \(2, 5\)"):
        decoder(IDS[:, :1], attention_mask=torch.ones(2, 1), past_key_values=cache)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (torch.tensor([0, 1, 2]), r"cache_position has shape \(3,\); expected \[length\] = \(4,\)"),
        (torch.tensor([29, 30, 31, 32]), r"position_ids holds 32 at \[0, 3\]"),
    ],
)
def test_columns_that_do_not_fit(decoder: BertModel, columns: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decoder(IDS, cache_position=columns)


def test_a_document_that_is_too_long(model: BertModel) -> None:
    layout = Layout.packed(torch.tensor([0, 33, 35]), 64, 35)
    with pytest.raises(ValueError, match=r"position_ids holds 32 at \[32\]"):
        model(torch.ones(35, dtype=torch.int64), layout)
    fitting = Layout.packed(torch.tensor([0, 30, 35]), 64, 35)  # a bucket may be longer than the documents
    assert model(torch.ones(35, dtype=torch.int64), fitting)[0].shape == (35, 16)


def test_masks_and_states_of_the_encoder(decoder: BertModel) -> None:
    states = torch.zeros(2, 3, 16)
    with pytest.raises(ValueError, match=r"encoder_attention_mask has shape \(2, 4\)"):
        decoder(IDS, encoder_hidden_states=states, encoder_attention_mask=torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"encoder_hidden_states have shape \(3, 3, 16\)"):
        decoder(IDS, encoder_hidden_states=torch.zeros(3, 3, 16))


def test_cross_attention_without_a_decoder() -> None:
    with pytest.raises(ValueError, match="is_decoder=True"):
        BertModel(tiny_config(add_cross_attention=True))


def test_something_else_as_a_cache(decoder: BertModel) -> None:
    with pytest.raises(TypeError, match="past_key_values"):
        decoder(IDS, past_key_values={"key": 1})


def test_a_cache_under_gradient_checkpointing() -> None:
    model = BertModel(tiny_config(is_decoder=True))
    model.gradient_checkpointing_enable()
    assert model(IDS).past_key_values is None
    with pytest.warns(FormersWarning, match="use_cache=True has no effect"):
        assert model(IDS, use_cache=True).past_key_values is None
    with pytest.raises(ValueError, match="gradient checkpointing"):
        model(IDS, past_key_values=DynamicCache())


@pytest.mark.parametrize(
    ("head", "labels", "message"),
    [
        (
            BertForMaskedLM,
            {"labels": torch.full((2, 4), 64)},
            r"labels hold 64 at \[0, 0\]; expected .* 0 to 63",
        ),
        (BertForMaskedLM, {"labels": torch.full((2, 4), -1)}, "labels hold -1"),
        (BertForMaskedLM, {"labels": torch.zeros(2, 3, dtype=torch.int64)}, r"labels have shape \(2, 3\)"),
        (BertForTokenClassification, {"labels": torch.full((2, 4), 2)}, "expected a class from 0 to 1"),
    ],
)
def test_labels(head: type[Any], labels: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        head(tiny_config())(IDS, **labels)


def test_positions_of_a_span_may_lie_outside() -> None:
    """They are ignored, wherever they are; that is how SQuAD marks answers that were cut off."""
    model = BertForQuestionAnswering(tiny_config())
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    inside = model(IDS[:1], mask[:1], start_positions=torch.tensor([1]), end_positions=torch.tensor([2]))
    for outside in (-1, 0, 4, 99):
        spans = {"start_positions": torch.tensor([1, outside]), "end_positions": torch.tensor([2, outside])}
        torch.testing.assert_close(model(IDS, mask, **spans).loss, inside.loss)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_an_empty_batch_gives_empty_outputs(attention: str) -> None:
    model = BertForMaskedLM.from_config(tiny_config(), attn_implementation=attention).eval()
    assert model(IDS[:0]).logits.shape == (0, 4, 64)
    assert model(IDS[:0], attention_mask=torch.ones(0, 4)).logits.shape == (0, 4, 64)
    assert model(IDS[:, :0]).logits.shape == (2, 0, 64)
