"""What transformers 5.23 dropped and 4.53.3 has: relative positions, head masks, head pruning, tuples as caches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import formers_bert

pytestmark = [pytest.mark.parity_old, pytest.mark.filterwarnings("ignore:BertLMHeadModel predicts")]

SIZES = {
    "vocab_size": 61,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.3,
}
RELATIVE = ["relative_key", "relative_key_query"]
HEAD_MASKS = {
    "for all layers": torch.tensor([1.0, 0.0, 0.5, 1.0]),
    "by layer": torch.tensor([[1.0, 0.0, 0.5, 1.0], [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 2.0]]),
}


def make_pair(oracle: Any, name: str, **options: Any) -> tuple[Any, Any]:
    """Our model and theirs, with eager attention, with the same random weights in float64."""
    config = oracle.BertConfig(**SIZES | options, attn_implementation="eager")
    theirs = getattr(oracle, name)(config).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0.1, 0.3)
    ours = getattr(formers_bert, name)(formers_bert.BertConfig(**SIZES | options)).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(ours, theirs, rtol=10 * tolerance, atol=tolerance)


def same_gradients(ours: Any, theirs: Any, tolerance: float = 1e-10) -> None:
    parameters = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        found = parameters[name].grad
        if parameter.grad is None:
            assert found is None, name
        else:
            close(found, parameter.grad, tolerance)


@pytest.fixture
def ids() -> Tensor:
    return torch.randint(1, SIZES["vocab_size"], (3, 7))


@pytest.mark.parametrize("is_decoder", [False, True], ids=["encoder", "decoder"])
@pytest.mark.parametrize("kind", RELATIVE)
def test_relative_positions(oracle: Any, ids: Tensor, kind: str, is_decoder: bool) -> None:
    ours, theirs = make_pair(oracle, "BertForMaskedLM", position_embedding_type=kind, is_decoder=is_decoder)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    found = ours(ids, labels=ids, output_hidden_states=True, output_attentions=True)
    expected = theirs(ids, labels=ids, output_hidden_states=True, output_attentions=True)
    for name in ("loss", "logits"):
        close(found[name], expected[name])
    for name in ("hidden_states", "attentions"):
        for ours_layer, theirs_layer in zip(found[name], expected[name], strict=True):
            close(ours_layer, theirs_layer)
    found.loss.backward()
    expected.loss.backward()
    same_gradients(ours, theirs)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("kind", RELATIVE)
def test_relative_positions_beside_padding(
    oracle: Any, ids: Tensor, kind: str, padding: str, attention: str
) -> None:
    ours, theirs = make_pair(oracle, "BertModel", position_embedding_type=kind)
    ours.set_attn_implementation(attention)
    real = slice(3, None) if padding == "left" else slice(0, 4)
    mask = torch.zeros_like(ids)
    mask[:, real] = 1
    found, expected = ours(ids, attention_mask=mask), theirs(ids[:, real])
    close(found.last_hidden_state[:, real], expected.last_hidden_state)
    close(found.pooler_output, expected.pooler_output)


@pytest.mark.parametrize("kind", RELATIVE)
def test_relative_positions_beside_a_cache(oracle: Any, ids: Tensor, kind: str) -> None:
    ours, theirs = make_pair(oracle, "BertLMHeadModel", position_embedding_type=kind, is_decoder=True)
    expected = theirs(ids).logits
    prompt = ours(ids[:, :3])
    step = ours(ids[:, 3:4], past_key_values=prompt.past_key_values)
    rest = ours(ids[:, 4:], past_key_values=step.past_key_values)
    close(torch.cat([prompt.logits, step.logits, rest.logits], dim=1), expected)


@pytest.mark.parametrize("kind", RELATIVE)
def test_relative_cross_attention_has_no_distances(oracle: Any, ids: Tensor, kind: str) -> None:
    ours, theirs = make_pair(
        oracle, "BertModel", position_embedding_type=kind, is_decoder=True, add_cross_attention=True
    )
    source = torch.randn(3, 5, SIZES["hidden_size"], dtype=torch.float64)
    close(ours(ids, encoder_hidden_states=source)[0], theirs(ids, encoder_hidden_states=source)[0])


@pytest.mark.parametrize("shape", HEAD_MASKS)
def test_head_mask(oracle: Any, ids: Tensor, shape: str) -> None:
    ours, theirs = make_pair(oracle, "BertForMaskedLM")
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    ours_mask, theirs_mask = (HEAD_MASKS[shape].double().requires_grad_() for _ in range(2))
    found = ours(ids, mask, labels=ids.where(mask > 0, -100), head_mask=ours_mask, output_attentions=True)
    expected = theirs(
        ids, mask, labels=ids.where(mask > 0, -100), head_mask=theirs_mask, output_attentions=True
    )
    close(found.loss, expected.loss)
    close(found.logits[mask > 0], expected.logits[mask > 0])
    for ours_layer, theirs_layer in zip(found.attentions, expected.attentions, strict=True):
        close(ours_layer[1:], theirs_layer[1:])
    found.loss.backward()
    expected.loss.backward()
    same_gradients(ours, theirs)
    close(ours_mask.grad, theirs_mask.grad)


def test_head_mask_on_cross_attention(oracle: Any, ids: Tensor) -> None:
    ours, theirs = make_pair(oracle, "BertLMHeadModel", is_decoder=True, add_cross_attention=True)
    source = torch.randn(3, 5, SIZES["hidden_size"], dtype=torch.float64)
    head_mask = HEAD_MASKS["by layer"].double()
    found = ours(ids, encoder_hidden_states=source, head_mask=head_mask)
    close(found.logits, theirs(ids, encoder_hidden_states=source, head_mask=head_mask).logits)


PRUNED = {0: [1], 1: [0, 2], 2: [0, 1, 3]}


def test_pruned_heads(oracle: Any, ids: Tensor) -> None:
    ours, theirs = (
        model.float() for model in make_pair(oracle, "BertForMaskedLM")
    )  # theirs prunes to float32
    before = ours.num_parameters()
    for model in (ours, theirs):
        model.prune_heads(PRUNED)
        model.prune_heads({0: [1, 3]})  # numbered as before pruning; a head that is gone stays gone
    assert ours.num_parameters() == theirs.num_parameters() < before
    assert {key: tuple(value.shape) for key, value in ours.state_dict().items()} == {
        key: tuple(value.shape) for key, value in theirs.state_dict().items()
    }
    found, expected = ours(ids, labels=ids), theirs(ids, labels=ids)
    close(found.logits, expected.logits, 1e-5)
    found.loss.backward()
    expected.loss.backward()
    same_gradients(ours, theirs, 1e-5)


def test_each_reads_the_pruned_model_of_the_other(oracle: Any, ids: Tensor, tmp_path: Path) -> None:
    ours, theirs = (model.float() for model in make_pair(oracle, "BertModel"))
    ours.prune_heads(PRUNED)
    theirs.prune_heads(PRUNED)
    expected = theirs.eval()(ids)[0]
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    close(oracle.BertModel.from_pretrained(tmp_path / "ours")(ids)[0], expected, 1e-5)
    close(formers_bert.BertModel.from_pretrained(tmp_path / "theirs")(ids)[0], expected, 1e-5)


@pytest.mark.parametrize("name", ["BertForPreTraining", "BertLMHeadModel", "BertForSequenceClassification"])
@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
def test_each_reads_what_the_other_saved(
    oracle: Any, ids: Tensor, name: str, safe: bool, tmp_path: Path
) -> None:
    ours, theirs = make_pair(oracle, name, position_embedding_type="relative_key")
    expected = theirs.eval()(ids)[0]
    ours.save_pretrained(tmp_path / "ours", safe_serialization=safe)
    theirs.save_pretrained(tmp_path / "theirs", safe_serialization=safe)
    read_by_them, info = getattr(oracle, name).from_pretrained(
        tmp_path / "ours", output_loading_info=True, torch_dtype=torch.float64, attn_implementation="eager"
    )
    assert not any(info.values()), info
    close(read_by_them(ids)[0], expected)
    if safe:
        read_by_us = getattr(formers_bert, name).from_pretrained(tmp_path / "theirs", dtype=torch.float64)
    else:
        with pytest.warns(UserWarning, match="pickle"):
            read_by_us = getattr(formers_bert, name).from_pretrained(tmp_path / "theirs", dtype=torch.float64)
    close(read_by_us(ids)[0], expected)


def test_a_configuration_of_version_4(oracle: Any, tmp_path: Path) -> None:
    oracle.BertConfig(**SIZES).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert written["position_embedding_type"] == "absolute"
    ours = formers_bert.BertConfig.from_pretrained(tmp_path)
    for key, value in written.items():
        if key != "transformers_version":
            assert getattr(ours, key) == value, key


@pytest.mark.parametrize("cross", [False, True])
def test_nested_tuples_as_a_cache(oracle: Any, ids: Tensor, cross: bool) -> None:
    ours, theirs = make_pair(oracle, "BertLMHeadModel", is_decoder=True, add_cross_attention=cross)
    source = torch.randn(3, 5, SIZES["hidden_size"], dtype=torch.float64)
    asked = {"encoder_hidden_states": source} if cross else {}
    past = theirs(ids[:, :4], **asked).past_key_values
    assert isinstance(past, tuple)
    found, expected = (model(ids[:, 4:], past_key_values=past, **asked) for model in (ours, theirs))
    close(found.logits, expected.logits)
    for ours_layer, theirs_layer in zip(
        found.past_key_values.to_legacy_cache(), expected.past_key_values, strict=True
    ):
        assert len(ours_layer) == len(theirs_layer) == (4 if cross else 2)
        for ours_part, theirs_part in zip(ours_layer, theirs_layer, strict=True):
            close(ours_part, theirs_part)


def test_a_mask_of_three_dimensions(oracle: Any, ids: Tensor) -> None:
    ours, theirs = make_pair(oracle, "BertModel")
    mask = (torch.rand(3, 7, 7) < 0.6).long() | torch.eye(7, dtype=torch.int64)
    close(ours(ids, attention_mask=mask)[0], theirs(ids, attention_mask=mask)[0])
