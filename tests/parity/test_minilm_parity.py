"""The real all-MiniLM-L6-v2 checkpoint: the same tokens, hidden states and sentence embeddings as transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import formers_bert
from formers import AutoModel, AutoTokenizer

pytestmark = pytest.mark.parity

SENTENCES = [
    "The cat sits on the mat.",
    "A cat is resting on a rug!",
    "Interest rates rose by 0.25 percentage points in Zürich, to the surprise of many économistes.",
    "日本語の文 and some emoji 🙂, plus a verylongcompoundwordthatisnotinthevocabulary",
    "",
]


def embed(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The mean of the hidden states of the real tokens, normalised, as the checkpoint's authors use it."""
    with torch.no_grad():
        hidden_states = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None].to(hidden_states.dtype)
    return normalize((hidden_states * mask).sum(dim=1) / mask.sum(dim=1), dim=-1)


@pytest.fixture(scope="module")
def theirs(oracle: Any, minilm: Path) -> Any:
    return oracle.AutoModel.from_pretrained(minilm).eval()


@pytest.fixture(scope="module")
def inputs(oracle: Any, minilm: Path) -> dict[str, Tensor]:
    tokenizer = oracle.AutoTokenizer.from_pretrained(minilm)
    return dict(tokenizer(SENTENCES, padding=True, return_tensors="pt"))


def test_tokens(minilm: Path, inputs: dict[str, Tensor]) -> None:
    ours = AutoTokenizer.from_pretrained(minilm)(SENTENCES, padding=True, return_tensors="pt")
    assert sorted(ours) == sorted(inputs)
    for name, value in inputs.items():
        assert torch.equal(ours[name], value), name


@pytest.mark.parametrize("attention", [None, "eager", "sdpa"])
def test_embeddings(minilm: Path, theirs: Any, inputs: dict[str, Tensor], attention: str | None) -> None:
    ours = AutoModel.from_pretrained(minilm, attn_implementation=attention)
    assert type(ours) is formers_bert.BertModel
    torch.testing.assert_close(embed(ours, inputs), embed(theirs, inputs), rtol=0, atol=1e-5)


def test_nothing_is_missing_from_the_checkpoint(minilm: Path) -> None:
    _, report = AutoModel.from_pretrained(minilm, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]


def test_a_batch_gives_what_each_sentence_gives(minilm: Path, theirs: Any, inputs: dict[str, Tensor]) -> None:
    ours = AutoModel.from_pretrained(minilm)
    together = embed(ours, inputs)
    for row, mask in enumerate(inputs["attention_mask"]):
        alone = {name: value[row : row + 1, : int(mask.sum())] for name, value in inputs.items()}
        torch.testing.assert_close(together[row], embed(theirs, alone)[0], rtol=0, atol=1e-5)


def test_they_read_what_we_saved(
    oracle: Any, minilm: Path, theirs: Any, inputs: dict[str, Tensor], tmp_path: Path
) -> None:
    AutoModel.from_pretrained(minilm).save_pretrained(tmp_path, max_shard_size="20MB")
    reread = oracle.AutoModel.from_pretrained(tmp_path).eval()
    assert torch.equal(embed(reread, inputs), embed(theirs, inputs))
    assert reread.config.hidden_size == theirs.config.hidden_size
