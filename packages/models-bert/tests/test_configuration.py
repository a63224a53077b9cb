from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from formers.errors import ConfigValidationError, ConfigWarning
from formers_bert import BertConfig, BertModel
from formers_bert.configuration import tiny_config

DEFAULTS = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
    "use_cache": True,
    "classifier_dropout": None,
    "is_decoder": False,
    "add_cross_attention": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "tie_word_embeddings": True,
    "position_embedding_type": "absolute",
}


def test_defaults() -> None:
    config = BertConfig()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS
    assert config.model_type == "bert"


def test_positional_arguments_are_in_the_order_of_declaration() -> None:
    assert (
        BertConfig(100, 24, 3, 4).to_dict().items()
        >= {
            "vocab_size": 100,
            "hidden_size": 24,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
        }.items()
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vocab_size", 0),
        ("vocab_size", -1),
        ("hidden_size", 10**12),
        ("num_hidden_layers", 2.5),
        ("num_attention_heads", 0),
        ("intermediate_size", "big"),
        ("hidden_dropout_prob", 1.5),
        ("attention_probs_dropout_prob", float("nan")),
        ("max_position_embeddings", 0),
        ("initializer_range", -0.1),
        ("layer_norm_eps", float("inf")),
        ("is_decoder", "yes"),
        ("position_embedding_type", "rotary"),
        ("classifier_dropout", -0.5),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ConfigValidationError, match=field):
        BertConfig(**{field: value})


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigValidationError, match=r"hidden_size=30 .* num_attention_heads=4"):
        BertConfig(hidden_size=30, num_attention_heads=4)


def test_the_padding_token_must_be_in_the_vocabulary() -> None:
    with pytest.raises(ConfigValidationError, match=r"pad_token_id=10 .* vocab_size=10"):
        BertConfig(vocab_size=10, pad_token_id=10)
    assert BertConfig(vocab_size=10, pad_token_id=None).pad_token_id is None


def test_a_misspelt_field_is_named() -> None:
    with pytest.warns(ConfigWarning, match="num_hidden_layers"):
        BertConfig(num_hiden_layers=3)


@pytest.mark.parametrize("kind", ["absolute", "relative_key", "relative_key_query"])
def test_files_of_transformers_4_are_read(kind: str, tmp_path: Path) -> None:
    written = {"model_type": "bert", "position_embedding_type": kind, "gradient_checkpointing": False}
    (tmp_path / "config.json").write_text(json.dumps(written), "utf-8")
    config = BertConfig.from_pretrained(tmp_path)
    assert config.position_embedding_type == kind
    assert config.gradient_checkpointing is False


def test_a_round_trip_keeps_everything(tmp_path: Path) -> None:
    config = tiny_config(
        num_labels=3, position_embedding_type="relative_key", hidden_act="relu", colour="red"
    )
    config.save_pretrained(tmp_path)
    reread = BertConfig.from_pretrained(tmp_path)
    assert reread.to_dict() | {"_name_or_path": ""} == config.to_dict() | {"_name_or_path": ""}


def test_an_activation_may_be_a_function() -> None:
    ids = torch.arange(6)[None]
    torch.manual_seed(0)
    by_name = BertModel(tiny_config(hidden_act="relu")).eval()
    torch.manual_seed(0)
    by_function = BertModel(tiny_config(hidden_act=torch.relu)).eval()
    assert torch.equal(by_function(ids)[0], by_name(ids)[0])


def test_no_torch_is_imported() -> None:
    code = (
        "import sys, formers_bert, formers_bert.plugin\n"
        "formers_bert.BertConfig()\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules, 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
