"""What transformers 5.23 dropped and 4.53.3 has: head masks, head pruning, tuples as caches, old files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from padded_batches import close
from torch import Tensor

import formers_gpt2
from formers.errors import FormersWarning

pytestmark = pytest.mark.parity_old

SIZES = {
    "vocab_size": 61,
    "n_embd": 24,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 20,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "summary_first_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
NAMES = [
    "GPT2Model",
    "GPT2LMHeadModel",
    "GPT2DoubleHeadsModel",
    "GPT2ForSequenceClassification",
    "GPT2ForTokenClassification",
    "GPT2ForQuestionAnswering",
]
HEAD_MASKS = {
    "for all layers": torch.tensor([1.0, 0.0, 0.5, 1.0]),
    "by layer": torch.tensor([[1.0, 0.0, 0.5, 1.0], [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 2.0]]),
}
PRUNED = {0: [1], 1: [0, 2], 2: [0, 1, 3]}


def make_pair(oracle: Any, name: str, **options: Any) -> tuple[Any, Any]:
    """Our model and theirs, with eager attention, with the same random weights in float64."""
    config = oracle.GPT2Config(**SIZES | options, attn_implementation="eager")
    theirs = getattr(oracle, name)(config).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0.1, 0.3)
    ours = getattr(formers_gpt2, name)(formers_gpt2.GPT2Config(**SIZES | options)).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


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


@pytest.mark.parametrize("shape", HEAD_MASKS)
def test_head_mask(oracle: Any, ids: Tensor, shape: str) -> None:
    ours, theirs = make_pair(oracle, "GPT2LMHeadModel", scale_attn_by_inverse_layer_idx=True)
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    labels = ids.where(mask > 0, -100)
    ours_mask, theirs_mask = (HEAD_MASKS[shape].double().requires_grad_() for _ in range(2))
    found = ours(ids, None, mask, labels=labels, head_mask=ours_mask, output_attentions=True)
    expected = theirs(ids, attention_mask=mask, labels=labels, head_mask=theirs_mask, output_attentions=True)
    close(found.loss, expected.loss, 1e-6)  # theirs is computed in float32
    close(found.logits[mask > 0], expected.logits[mask > 0])
    for ours_layer, theirs_layer in zip(found.attentions, expected.attentions, strict=True):
        close(ours_layer[1:], theirs_layer[1:])
    found.loss.backward()
    expected.loss.backward()
    same_gradients(ours, theirs, 1e-6)
    close(ours_mask.grad, theirs_mask.grad, 1e-6)


def test_head_mask_on_cross_attention(oracle: Any, ids: Tensor) -> None:
    ours, theirs = make_pair(oracle, "GPT2LMHeadModel", add_cross_attention=True)
    source = torch.randn(3, 5, SIZES["n_embd"], dtype=torch.float64)
    head_mask = HEAD_MASKS["by layer"].double()
    found = ours(ids, encoder_hidden_states=source, head_mask=head_mask)
    close(found.logits, theirs(ids, encoder_hidden_states=source, head_mask=head_mask).logits)


def test_pruned_heads(oracle: Any, ids: Tensor) -> None:
    ours, theirs = (model.float() for model in make_pair(oracle, "GPT2LMHeadModel"))
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
    ours, theirs = (model.float() for model in make_pair(oracle, "GPT2Model"))
    ours.prune_heads(PRUNED)
    theirs.prune_heads(PRUNED)
    expected = theirs.eval()(ids)[0]
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    close(oracle.GPT2Model.from_pretrained(tmp_path / "ours")(ids)[0], expected, 1e-5)
    close(formers_gpt2.GPT2Model.from_pretrained(tmp_path / "theirs")(ids)[0], expected, 1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
def test_each_reads_what_the_other_saved(
    oracle: Any, ids: Tensor, name: str, safe: bool, tmp_path: Path
) -> None:
    """Theirs stores the causal mask of each layer in pickled files."""
    ours, theirs = make_pair(oracle, name)
    expected = theirs.eval()(ids)[0]
    ours.save_pretrained(tmp_path / "ours", safe_serialization=safe)
    theirs.save_pretrained(tmp_path / "theirs", safe_serialization=safe)
    read_by_them, info = getattr(oracle, name).from_pretrained(
        tmp_path / "ours", output_loading_info=True, torch_dtype=torch.float64, attn_implementation="eager"
    )
    assert not any(info.values()), info
    close(read_by_them(ids)[0], expected)
    if safe:
        read_by_us = getattr(formers_gpt2, name).from_pretrained(tmp_path / "theirs", dtype=torch.float64)
    else:
        with pytest.warns(FormersWarning, match="pickle"):
            read_by_us = getattr(formers_gpt2, name).from_pretrained(tmp_path / "theirs", dtype=torch.float64)
    close(read_by_us(ids)[0], expected)


def test_a_configuration_of_version_4(oracle: Any, tmp_path: Path) -> None:
    oracle.GPT2Config(**SIZES).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text("utf-8"))
    ours = formers_gpt2.GPT2Config.from_pretrained(tmp_path)
    for key, value in written.items():
        if key != "transformers_version":
            assert getattr(ours, key) == value, key


def test_the_settings_of_a_string(oracle: Any) -> None:
    """R-120."""
    text = "n_embd=10,resid_pdrop=0.2,scale_attn_weights=false,summary_type=cls_index"
    ours, theirs = formers_gpt2.GPT2Config(n_head=2), oracle.GPT2Config(n_head=2)
    for config in (ours, theirs):
        config.update_from_string(text)
    for name in ("n_embd", "resid_pdrop", "scale_attn_weights", "summary_type"):
        assert getattr(ours, name) == getattr(theirs, name)
        assert type(getattr(ours, name)) is type(getattr(theirs, name))


@pytest.mark.parametrize("cross", [False, True])
def test_nested_tuples_as_a_cache(oracle: Any, ids: Tensor, cross: bool) -> None:
    ours, theirs = make_pair(oracle, "GPT2LMHeadModel", add_cross_attention=cross)
    source = torch.randn(3, 5, SIZES["n_embd"], dtype=torch.float64)
    asked = {"encoder_hidden_states": source} if cross else {}
    past = theirs(ids[:, :4], **asked).past_key_values
    past = past if isinstance(past, tuple) else past.to_legacy_cache()
    found, expected = (model(ids[:, 4:], past_key_values=past, **asked) for model in (ours, theirs))
    close(found.logits, expected.logits)
    returned = expected.past_key_values
    returned = returned if isinstance(returned, tuple) else returned.to_legacy_cache()
    for ours_layer, theirs_layer in zip(found.past_key_values.to_legacy_cache(), returned, strict=True):
        assert len(ours_layer) == (4 if cross else 2)  # theirs forgets the encoder's part
        for ours_part, theirs_part in zip(ours_layer[:2], theirs_layer[:2], strict=True):
            close(ours_part, theirs_part)


def test_columns_of_the_tokens(oracle: Any, ids: Tensor) -> None:
    """``cache_position``, which 5.23 no longer takes."""
    ours, theirs = make_pair(oracle, "GPT2LMHeadModel")
    columns = torch.arange(7)
    close(ours(ids, cache_position=columns).logits, theirs(ids, cache_position=columns).logits)
    prompt = ours(ids[:, :4]).past_key_values
    rest = ours(ids[:, 4:], past_key_values=prompt, cache_position=columns[4:])
    close(rest.logits, theirs(ids).logits[:, 4:])


def test_double_heads(oracle: Any) -> None:
    ours, theirs = make_pair(oracle, "GPT2DoubleHeadsModel", summary_type="cls_index")
    ids = torch.randint(1, 61, (2, 3, 7))
    places, labels = torch.randint(0, 7, (2, 3)), torch.tensor([2, 0])
    found, expected = (
        model(ids, mc_token_ids=places, labels=ids, mc_labels=labels) for model in (ours, theirs)
    )
    for name in ("loss", "mc_loss", "logits", "mc_logits"):
        close(found[name], expected[name])
