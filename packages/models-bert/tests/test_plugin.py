from __future__ import annotations

import importlib

import pytest

import formers_bert
from formers import PreTrainedConfig, PreTrainedModel
from formers_bert.plugin import ARCHITECTURE


@pytest.mark.parametrize(
    "reference", [reference for references in ARCHITECTURE.auto.values() for reference in references]
)
def test_every_model_of_the_manifest_exists(reference: str) -> None:
    module, _, name = reference.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert issubclass(found, PreTrainedModel)
    assert found is getattr(formers_bert, name)
    assert found.config_class is formers_bert.BertConfig


def test_configuration_and_tiny_inputs() -> None:
    assert ARCHITECTURE.config == "formers_bert.configuration:BertConfig"
    assert issubclass(formers_bert.BertConfig, PreTrainedConfig)
    assert ARCHITECTURE.model_type == formers_bert.BertConfig.model_type
    module, _, name = (ARCHITECTURE.tiny or "").partition(":")
    assert isinstance(getattr(importlib.import_module(module), name)(), formers_bert.BertConfig)


def test_every_public_name_can_be_imported() -> None:
    for name in formers_bert.__all__:
        assert getattr(formers_bert, name) is not None
    assert set(formers_bert.__all__) <= set(dir(formers_bert))
    with pytest.raises(AttributeError, match="BertForEverything"):
        formers_bert.BertForEverything  # noqa: B018
