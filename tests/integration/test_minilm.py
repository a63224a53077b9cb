"""A real checkpoint through the Auto classes, from tokenizer to saved copy."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from formers import AutoConfig, AutoModel, AutoTokenizer

SENTENCES = [
    "The cat sleeps on the warm windowsill.",
    "A kitten is napping in the sun.",
    "The central bank raised interest rates again, to the surprise of nearly everyone who follows it.",
]


def embed(model: torch.nn.Module, batch: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    real = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    return torch.nn.functional.normalize((hidden * real).sum(1) / real.sum(1), dim=-1)


@pytest.fixture(scope="module")
def model(minilm: str) -> torch.nn.Module:
    return AutoModel.from_pretrained(minilm)


@pytest.fixture(scope="module")
def batch(minilm: str) -> dict[str, Tensor]:
    encoded = AutoTokenizer.from_pretrained(minilm)(SENTENCES, padding=True, return_tensors="pt")
    return dict(encoded)


def test_the_classes_come_from_the_installed_plugin(minilm: str, model: torch.nn.Module) -> None:
    assert type(AutoConfig.from_pretrained(minilm)).__module__ == "formers_bert.configuration"
    assert type(model).__module__ == "formers_bert.modeling"
    assert not model.training


def test_every_weight_comes_from_the_file(minilm: str) -> None:
    _, report = AutoModel.from_pretrained(minilm, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["mismatched_keys"]
    assert not report["error_msgs"]


def test_alike_sentences_are_close(model: torch.nn.Module, batch: dict[str, Tensor]) -> None:
    similarity = embed(model, batch) @ embed(model, batch).T
    assert similarity[0, 1] > 0.4
    assert similarity[0, 2] < 0.2
    assert similarity[1, 2] < 0.2


def test_padding_changes_nothing(minilm: str, model: torch.nn.Module, batch: dict[str, Tensor]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    together = embed(model, batch)
    for row, sentence in enumerate(SENTENCES):
        alone = embed(model, dict(tokenizer([sentence], return_tensors="pt")))
        torch.testing.assert_close(together[row], alone[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("max_shard_size", ["1GB", "20MB"])
def test_a_saved_copy_is_the_same_model(
    model: torch.nn.Module, batch: dict[str, Tensor], tmp_path: Path, max_shard_size: str
) -> None:
    model.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (max_shard_size == "20MB")
    assert torch.equal(embed(AutoModel.from_pretrained(tmp_path), batch), embed(model, batch))


def test_a_saved_tokenizer_reads_alike(minilm: str, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokenizer.save_pretrained(tmp_path)
    assert (
        AutoTokenizer.from_pretrained(tmp_path)(SENTENCES)["input_ids"] == tokenizer(SENTENCES)["input_ids"]
    )
