from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from formers.errors import ConfigValidationError, ConfigWarning
from formers_gpt2 import GPT2Config, GPT2Model
from formers_gpt2.configuration import tiny_config

DEFAULTS = {
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_inner": None,
    "activation_function": "gelu_new",
    "resid_pdrop": 0.1,
    "embd_pdrop": 0.1,
    "attn_pdrop": 0.1,
    "layer_norm_epsilon": 1e-5,
    "initializer_range": 0.02,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "summary_activation": None,
    "summary_proj_to_labels": True,
    "summary_first_dropout": 0.1,
    "scale_attn_weights": True,
    "use_cache": True,
    "bos_token_id": 50256,
    "eos_token_id": 50256,
    "pad_token_id": None,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


def test_defaults() -> None:
    config = GPT2Config()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS
    assert config.model_type == "gpt2"


def test_the_names_of_other_architectures() -> None:
    config = GPT2Config(
        hidden_size=32, num_attention_heads=2, num_hidden_layers=3, max_position_embeddings=40
    )
    assert (config.n_embd, config.n_head, config.n_layer, config.n_positions) == (32, 2, 3, 40)
    config.hidden_size = 64
    assert config.n_embd == config.hidden_size == 64
    assert not {"hidden_size", "num_hidden_layers"} & json.loads(config.to_json_string()).keys()


def test_positional_arguments_are_in_the_order_of_declaration() -> None:
    config = GPT2Config(100, 30, 24, 3, 4)
    assert (config.vocab_size, config.n_positions, config.n_embd, config.n_layer, config.n_head) == (
        100, 30, 24, 3, 4,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vocab_size", 0),
        ("n_positions", -1),
        ("n_embd", 10**12),
        ("n_layer", 2.5),
        ("n_head", 0),
        ("n_inner", "big"),
        ("n_inner", 0),
        ("resid_pdrop", 1.5),
        ("attn_pdrop", float("nan")),
        ("embd_pdrop", -0.1),
        ("initializer_range", -0.1),
        ("layer_norm_epsilon", float("inf")),
        ("summary_type", "middle"),
        ("summary_first_dropout", 2.0),
        ("scale_attn_weights", "yes"),
        ("bos_token_id", -1),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ConfigValidationError, match=field):
        GPT2Config(**{field: value})


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigValidationError, match=r"n_embd=30 .* n_head=4"):
        GPT2Config(n_embd=30, n_head=4)


def test_a_misspelt_field_is_named() -> None:
    with pytest.warns(ConfigWarning, match="n_layer"):
        GPT2Config(n_layers=3)


def test_settings_from_a_string() -> None:
    """R-120."""
    config = GPT2Config(n_head=2)
    config.update_from_string("n_embd=10,resid_pdrop=0.2,scale_attn_weights=false,summary_type=cls_index")
    assert config.n_embd == 10
    assert config.resid_pdrop == 0.2
    assert config.scale_attn_weights is False
    assert config.summary_type == "cls_index"


def test_files_of_transformers_4_are_read(tmp_path: Path) -> None:
    """As ``gpt2`` was published: old names beside the fields, generation parameters among them."""
    written = {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_ctx": 1024,
        "n_embd": 768,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "vocab_size": 50257,
    }
    (tmp_path / "config.json").write_text(json.dumps(written), "utf-8")
    config = GPT2Config.from_pretrained(tmp_path)
    assert {key: getattr(config, key) for key in written} == written
    assert config.inner_size == 3072


def test_a_round_trip_keeps_everything(tmp_path: Path) -> None:
    config = tiny_config(num_labels=3, scale_attn_weights=False, activation_function="relu", colour="red")
    config.save_pretrained(tmp_path)
    reread = GPT2Config.from_pretrained(tmp_path)
    assert reread.to_dict() | {"_name_or_path": ""} == config.to_dict() | {"_name_or_path": ""}


def test_an_activation_may_be_a_function() -> None:
    ids = torch.arange(6)[None]
    torch.manual_seed(0)
    by_name = GPT2Model(tiny_config(activation_function="relu")).eval()
    torch.manual_seed(0)
    by_function = GPT2Model(tiny_config(activation_function=torch.relu)).eval()
    assert torch.equal(by_function(ids)[0], by_name(ids)[0])


def test_no_torch_is_imported() -> None:
    code = (
        "import sys, formers_gpt2, formers_gpt2.plugin\n"
        "formers_gpt2.GPT2Config()\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules, 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
