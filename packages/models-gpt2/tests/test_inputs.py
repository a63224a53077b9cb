"""Bad input is refused at once, by an error that names the argument, the value and the limit."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from formers.cache import DynamicCache
from formers.errors import FormersWarning
from formers.layout import Layout
from formers_gpt2 import GPT2DoubleHeadsModel, GPT2ForTokenClassification, GPT2LMHeadModel, GPT2Model
from formers_gpt2.configuration import tiny_config

IDS = torch.arange(1, 9).view(2, 4)


@pytest.fixture(scope="module")
def model() -> GPT2Model:
    return GPT2Model(tiny_config()).eval()


@pytest.fixture(scope="module")
def reader() -> GPT2Model:
    return GPT2Model(tiny_config(add_cross_attention=True)).eval()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"input_ids": torch.tensor([[1, 64]])},
            r"input_ids holds 64 at \[0, 1\]; expected 0 to 63 .*vocab_size",
        ),
        ({"input_ids": torch.tensor([[1], [-1]])}, r"input_ids holds -1 at \[1, 0\]"),
        (
            {"input_ids": IDS, "token_type_ids": torch.full((2, 4), 64)},
            r"token_type_ids holds 64 .*vocab_size",
        ),
        (
            {"input_ids": IDS, "position_ids": torch.tensor([[0, 1, 2, 32]])},
            r"position_ids holds 32 at \[0, 3\].*n_positions",
        ),
        (
            {"input_ids": torch.ones(1, 33, dtype=torch.int64)},
            r"33 tokens long.*positions for 32.*n_positions",
        ),
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
def test_refused_with_the_reason(model: GPT2Model, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(**inputs)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("shape", [(1, 3), (1, 5), (2, 3), (2, 5), (3, 4), (4,), (2, 4, 5), (2, 1, 4, 5)])
def test_a_mask_of_another_shape_names_both_shapes(
    model: GPT2Model, shape: tuple[int, ...], attention: str
) -> None:
    model.set_attn_implementation(attention)
    with pytest.raises(ValueError, match=re.escape(f"attention_mask has shape {shape}")) as error:
        model(IDS, attention_mask=torch.ones(shape))
    assert "(2, 4)" in str(error.value)


def test_a_mask_beside_a_cache_counts_the_cached_tokens(model: GPT2Model) -> None:
    cache = model(IDS).past_key_values
    with pytest.raises(ValueError, match=r"attention_mask has shape \(2, 1\); expected .* \(2, 5\)"):
        model(IDS[:, :1], attention_mask=torch.ones(2, 1), past_key_values=cache)


def test_a_text_that_outgrows_the_positions(model: GPT2Model) -> None:
    cache = model(torch.ones(1, 32, dtype=torch.int64)).past_key_values
    with pytest.raises(ValueError, match=r"33 tokens long, cached ones included"):
        model(IDS[:1, :1], past_key_values=cache)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (torch.tensor([0, 1, 2]), r"cache_position has shape \(3,\); expected \[length\] = \(4,\)"),
        (torch.tensor([29, 30, 31, 32]), r"position_ids holds 32 at \[0, 3\]"),
    ],
)
def test_columns_that_do_not_fit(model: GPT2Model, columns: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(IDS, cache_position=columns)


def test_a_document_that_is_too_long(model: GPT2Model) -> None:
    layout = Layout.packed(torch.tensor([0, 33, 35]), 64, 35)
    with pytest.raises(ValueError, match=r"position_ids holds 32 at \[32\]"):
        model(torch.ones(35, dtype=torch.int64), attention_mask=layout)
    fitting = Layout.packed(torch.tensor([0, 30, 35]), 64, 35)  # a bucket may be longer than the documents
    assert model(torch.ones(35, dtype=torch.int64), attention_mask=fitting)[0].shape == (35, 16)


def test_masks_and_states_of_the_encoder(reader: GPT2Model) -> None:
    states = torch.zeros(2, 3, 16)
    with pytest.raises(ValueError, match=r"encoder_attention_mask has shape \(2, 4\)"):
        reader(IDS, encoder_hidden_states=states, encoder_attention_mask=torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"encoder_hidden_states have shape \(3, 3, 16\)"):
        reader(IDS, encoder_hidden_states=torch.zeros(3, 3, 16))


def test_something_else_as_a_cache(model: GPT2Model) -> None:
    with pytest.raises(TypeError, match="past_key_values"):
        model(IDS, past_key_values={"key": 1})


def test_a_cache_under_gradient_checkpointing() -> None:
    model = GPT2Model(tiny_config())
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
            GPT2LMHeadModel,
            {"labels": torch.full((2, 4), 64)},
            r"labels hold 64 at \[0, 0\]; expected .* 0 to 63",
        ),
        (GPT2LMHeadModel, {"labels": torch.full((2, 4), -1)}, "labels hold -1"),
        (GPT2LMHeadModel, {"labels": torch.zeros(2, 3, dtype=torch.int64)}, r"labels have shape \(2, 3\)"),
        (GPT2ForTokenClassification, {"labels": torch.full((2, 4), 2)}, "expected a class from 0 to 1"),
        (GPT2DoubleHeadsModel, {"mc_labels": torch.tensor([2])}, "expected a class from 0 to 1"),
    ],
)
def test_labels(head: type[Any], labels: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        head(tiny_config())(IDS, **labels)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_an_empty_batch_gives_empty_outputs(attention: str) -> None:
    model = GPT2LMHeadModel.from_config(tiny_config(), attn_implementation=attention).eval()
    assert model(IDS[:0]).logits.shape == (0, 4, 64)
    assert model(IDS[:0], attention_mask=torch.ones(0, 4)).logits.shape == (0, 4, 64)
    assert model(IDS[:, :0]).logits.shape == (2, 0, 64)
