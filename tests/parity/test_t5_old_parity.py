"""What transformers 5.23 dropped and 4.53.3 has: head masks, head pruning, tuples as caches, old files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from padded_batches import close as close_to
from t5_models import CONFIGURATIONS, NAMES, SIZES, TASKS, make_batch
from torch import Tensor

import formers_t5
from formers.errors import FormersWarning
from formers_t5 import MT5Config, T5Config

pytestmark = pytest.mark.parity_old

HEAD_MASKS = {
    "for all layers": [1.0, 0.0, 0.5],
    "by layer": [[1.0, 0.0, 0.5], [0.0, 1.0, 2.0]],
}
DECODERS = ("T5Model", "T5ForConditionalGeneration")


def make_pair(oracle: Any, name: str, **options: Any) -> tuple[Any, Any]:
    """Our model and theirs, with eager attention, with the same random weights in float64.

    Theirs takes every softmax in float32, so tolerances are its.
    """
    settings = SIZES | options
    theirs = getattr(oracle, name)(oracle.T5Config(**settings)).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0.1, 0.4)
    ours = getattr(formers_t5, name)(T5Config(**settings)).double()
    if hasattr(ours, "lm_head") and not ours.config.tie_word_embeddings:
        ours.lm_head.weight = torch.nn.Parameter(ours.lm_head.weight.detach().clone())
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    close_to(ours, theirs, tolerance)


def same_gradients(ours: Any, theirs: Any, tolerance: float = 5e-5) -> None:
    parameters = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        found = parameters[name].grad
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        close(torch.zeros_like(parameter) if found is None else found, expected, tolerance)


def inputs_of(config: Any, name: str) -> dict[str, Tensor]:
    """Inputs without padding or labels."""
    tensors = make_batch(config, TASKS[name], "none").tensors
    return {key: value for key, value in tensors.items() if key.endswith("input_ids")}


@pytest.mark.parametrize("which", ["head_mask", "decoder_head_mask", "cross_attn_head_mask", "all"])
@pytest.mark.parametrize("shape", HEAD_MASKS)
@pytest.mark.parametrize("name", [name for name in NAMES if "Encoder" not in name and "Token" not in name])
def test_head_masks(oracle: Any, name: str, shape: str, which: str) -> None:
    """Of the encoder, of the decoder, of cross-attention: outputs, probabilities and gradients, the masks' own too."""
    ours, theirs = make_pair(oracle, name)
    batch = make_batch(ours.config, TASKS[name], "none").tensors
    names = ("head_mask", "decoder_head_mask", "cross_attn_head_mask") if which == "all" else (which,)
    results = []
    for model in (ours, theirs):
        masks = {key: torch.tensor(HEAD_MASKS[shape]).double().requires_grad_() for key in names}
        if model is theirs and "decoder_head_mask" not in masks:  # by default theirs is the encoder's
            masks["decoder_head_mask"] = torch.ones(3).double()
        output = model(**batch, **masks, output_attentions=True, output_hidden_states=True, use_cache=False)
        total = output.loss if "loss" in output else output.last_hidden_state.sin().sum()
        total.backward()
        results.append((output, masks))
    (found, our_masks), (expected, their_masks) = results
    for key, value in expected.items():
        for one, other in zip(
            *((v,) if isinstance(v, Tensor) else v for v in (found[key], value)), strict=True
        ):
            close(one, other)
    same_gradients(ours, theirs)
    for key in names:
        wanted = their_masks[key].grad
        close(our_masks[key].grad, torch.zeros_like(our_masks[key]) if wanted is None else wanted)


@pytest.mark.parametrize("name", ["T5EncoderModel", "T5ForTokenClassification"])
@pytest.mark.parametrize("shape", HEAD_MASKS)
def test_head_masks_of_an_encoder(oracle: Any, name: str, shape: str) -> None:
    ours, theirs = make_pair(oracle, name)
    mask = torch.tensor(HEAD_MASKS[shape]).double()
    ids = inputs_of(ours.config, name)["input_ids"]
    close(ours(ids, head_mask=mask)[0], theirs(ids, head_mask=mask)[0])


def test_pruned_heads_of_an_encoder(oracle: Any) -> None:
    """Theirs prunes the encoder by itself only, and to float32."""
    ours, theirs = (model.float() for model in make_pair(oracle, "T5EncoderModel"))
    ids = inputs_of(ours.config, "T5EncoderModel")["input_ids"]
    before = ours.num_parameters()
    for model in (ours, theirs):
        model.prune_heads({0: [1], 1: [0, 2]})
    assert ours.num_parameters() == theirs.num_parameters() < before
    assert {key: tuple(value.shape) for key, value in ours.state_dict().items()} == {
        key: tuple(value.shape) for key, value in theirs.state_dict().items()
    }
    found, expected = ours(ids)[0], theirs(ids)[0]
    close(found, expected)
    found.sin().sum().backward()
    expected.sin().sum().backward()
    same_gradients(ours, theirs)


def test_a_pruned_encoder_is_read_again(oracle: Any, tmp_path: Path) -> None:
    """Here: theirs cannot read a pruned T5, its own no more than ours."""
    ours, theirs = (model.float() for model in make_pair(oracle, "T5EncoderModel"))
    ids = inputs_of(ours.config, "T5EncoderModel")["input_ids"]
    for model in (ours, theirs):
        model.prune_heads({0: [1], 1: [0, 2]})
    expected = theirs.eval()(ids)[0]
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    close(formers_t5.T5EncoderModel.from_pretrained(tmp_path / "ours")(ids)[0], expected)
    close(formers_t5.T5EncoderModel.from_pretrained(tmp_path / "theirs")(ids)[0], expected)


@pytest.mark.parametrize("configuration", ["v1.0", "v1.1", "deeper decoder"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
def test_each_reads_what_the_other_saved(
    oracle: Any, name: str, configuration: str, safe: bool, tmp_path: Path
) -> None:
    ours, theirs = make_pair(oracle, name, **CONFIGURATIONS[configuration])
    inputs = inputs_of(ours.config, name)
    expected = theirs.eval()(**inputs)[0]
    ours.save_pretrained(tmp_path / "ours", safe_serialization=safe)
    theirs.save_pretrained(tmp_path / "theirs", safe_serialization=safe)
    read_by_them, info = getattr(oracle, name).from_pretrained(
        tmp_path / "ours", output_loading_info=True, torch_dtype=torch.float64
    )
    assert not any(info.values()), info
    close(read_by_them(**inputs)[0], expected)
    if safe:
        read_by_us = getattr(formers_t5, name).from_pretrained(tmp_path / "theirs", dtype=torch.float64)
    else:
        with pytest.warns(FormersWarning, match="pickle"):
            read_by_us = getattr(formers_t5, name).from_pretrained(tmp_path / "theirs", dtype=torch.float64)
    close(read_by_us(**inputs)[0], expected)


@pytest.mark.parametrize("options", [{}, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}])
@pytest.mark.parametrize("kind", ["T5Config", "MT5Config"])
def test_a_configuration_of_version_4(
    oracle: Any, kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    getattr(oracle, kind)(**options).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text("utf-8"))
    ours = {"T5Config": T5Config, "MT5Config": MT5Config}[kind].from_pretrained(tmp_path)
    for key, value in written.items():
        if key not in ("transformers_version", "classifier_dropout"):
            assert getattr(ours, key) == value, key
    assert ours.scale_decoder_outputs == (kind == "T5Config" and not options)


@pytest.mark.parametrize("name", DECODERS)
def test_nested_tuples_as_a_cache(oracle: Any, name: str) -> None:
    ours, theirs = make_pair(oracle, name)
    inputs = inputs_of(ours.config, name)
    ids = inputs.pop("decoder_input_ids")
    past = theirs(**inputs, decoder_input_ids=ids[:, :2], use_cache=True).past_key_values
    past = past if isinstance(past, tuple) else past.to_legacy_cache()
    found, expected = (
        model(**inputs, decoder_input_ids=ids[:, 2:], past_key_values=past, use_cache=True)
        for model in (ours, theirs)
    )
    close(found[0], expected[0])
    returned = expected.past_key_values
    returned = returned if isinstance(returned, tuple) else returned.to_legacy_cache()
    for ours_layer, theirs_layer in zip(found.past_key_values.to_legacy_cache(), returned, strict=True):
        assert len(ours_layer) == len(theirs_layer) == 4
        for ours_part, theirs_part in zip(ours_layer, theirs_layer, strict=True):
            close(ours_part, theirs_part)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_numbers_as_version_4(oracle: Any, name: str, configuration: str) -> None:
    """Tied heads are scaled there, others are not."""
    options = CONFIGURATIONS[configuration]
    if options.get("scale_decoder_outputs") is False:
        options = options | {"tie_word_embeddings": False}
    ours, theirs = make_pair(oracle, name, **options)
    batch = make_batch(ours.config, TASKS[name], "none").tensors
    if name not in ("T5EncoderModel", "T5ForTokenClassification"):
        batch["use_cache"] = False
    found, expected = ours(**batch), theirs(**batch)
    for key, value in expected.items():
        if isinstance(value, Tensor):
            close(found[key], value)


def test_the_settings_of_a_string(oracle: Any) -> None:
    """R-120."""
    text = "d_model=10,dropout_rate=0.2,use_cache=false,feed_forward_proj=gated-silu"
    ours, theirs = T5Config(), oracle.T5Config()
    for config in (ours, theirs):
        config.update_from_string(text)
    for name in ("d_model", "dropout_rate", "use_cache", "feed_forward_proj"):
        assert getattr(ours, name) == getattr(theirs, name)
        assert type(getattr(ours, name)) is type(getattr(theirs, name))
