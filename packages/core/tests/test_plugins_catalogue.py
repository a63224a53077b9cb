"""The data file itself."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

import formers.plugins
from formers.plugins import catalogue

DATA = json.loads((Path(formers.plugins.__file__).parent / "catalogue.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("name", "model_type"),
    [
        ("my-distilbert-x", "distilbert"),
        ("xlm-roberta-base", "xlm-roberta"),
        ("xlm-mlm-en", "xlm"),
        ("roberta-large", "roberta"),
        ("google/mt5-small", "t5"),
        ("byt5-base", "t5"),
        ("openai-gpt", "openai-gpt"),
        ("gpt2-medium", "gpt2"),
        ("camembert-base", "camembert"),
    ],
)
def test_the_first_pattern_wins(name: str, model_type: str) -> None:
    with pytest.warns(UserWarning, match="has no model_type"):
        assert catalogue.name_pattern(name) == model_type


def test_the_order_of_the_patterns() -> None:
    assert [pattern for pattern, _ in DATA["name_patterns"]] == [
        "t5",
        "distilbert",
        "albert",
        "camembert",
        "xlm-roberta",
        "roberta",
        "bert-base-japanese",
        "bert",
        "openai-gpt",
        "gpt2",
        "transfo-xl",
        "xlnet",
        "xlm",
        "ctrl",
        "electra",
    ]


def test_japanese_checkpoints_differ_in_their_tokenizer_only() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert catalogue.name_pattern("bert-base-japanese-v2", tokenizer=True) == "bert-japanese"
        assert catalogue.name_pattern("bert-base-japanese-v2") == "bert"


def test_every_prefix_belongs_to_a_package() -> None:
    packages = DATA["packages"]
    assert {packages[model_type] for model_type in DATA["class_prefixes"].values()} == set(packages.values())
