from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import formers_gpt2
from formers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from formers.errors import LoadError
from formers_gpt2.plugin import ARCHITECTURE


@pytest.mark.parametrize(
    "reference", [reference for references in ARCHITECTURE.auto.values() for reference in references]
)
def test_every_model_of_the_manifest_exists(reference: str) -> None:
    module, _, name = reference.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert issubclass(found, PreTrainedModel)
    assert found is getattr(formers_gpt2, name)
    assert found.config_class is formers_gpt2.GPT2Config


def test_configuration_and_tiny_inputs() -> None:
    assert ARCHITECTURE.config == "formers_gpt2.configuration:GPT2Config"
    assert issubclass(formers_gpt2.GPT2Config, PreTrainedConfig)
    assert ARCHITECTURE.model_type == formers_gpt2.GPT2Config.model_type
    module, _, name = (ARCHITECTURE.tiny or "").partition(":")
    assert isinstance(getattr(importlib.import_module(module), name)(), formers_gpt2.GPT2Config)


def test_every_public_name_can_be_imported() -> None:
    for name in formers_gpt2.__all__:
        assert getattr(formers_gpt2, name) is not None
    assert set(formers_gpt2.__all__) <= set(dir(formers_gpt2))
    with pytest.raises(AttributeError, match="GPT2ForEverything"):
        formers_gpt2.GPT2ForEverything  # noqa: B018


def test_a_type_that_shares_the_configuration(tmp_path: Path) -> None:
    """R-091: once it is a configuration, nothing tells GPT-Sw3 from GPT-2; its tokenizer is another."""
    (tmp_path / "config.json").write_text(
        '{"model_type": "gpt-sw3", "n_embd": 16, "n_head": 2, "n_layer": 1}', "utf-8"
    )
    config = AutoConfig.from_pretrained(tmp_path)
    assert type(config) is formers_gpt2.GPT2Config
    assert config.model_type == "gpt2"
    for auto in (AutoModel, AutoModelForCausalLM):
        assert type(auto.from_config(config)).__module__.startswith("formers_gpt2.")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "GPTSw3Tokenizer"}', "utf-8")
    (tmp_path / "spiece.model").write_bytes(b"of another kind")
    with pytest.raises(LoadError, match="GPTSw3Tokenizer"):
        AutoTokenizer.from_pretrained(tmp_path)
