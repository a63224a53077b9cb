"""Tokenizers against transformers 4.53.3: each reads what the other saved, and gives the same tokens."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from formers_bert import BertTokenizer, BertTokenizerLegacy

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity_old

TEXTS = ["a newtoken <a> One one</s>", "Héllo, wörld! 中国 isn't [MASK] fine.", "", "word " * 30]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def added(tokenizer: Any) -> Any:
    tokenizer.add_tokens(["newtoken", transformers.AddedToken("One", single_word=True, normalized=False)])
    tokenizer.add_special_tokens({"eos_token": "</s>", "additional_special_tokens": ["<a>"]})
    return tokenizer


def test_they_read_what_formers_saved(minilm: Path, tmp_path: Path) -> None:
    ours = added(BertTokenizer.from_pretrained(minilm))
    ours.save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(theirs).__name__ == "BertTokenizerFast"
    assert dict(theirs(TEXTS)) == ours(TEXTS).data
    assert theirs.additional_special_tokens == ours.additional_special_tokens
    assert theirs.model_max_length == ours.model_max_length


def test_formers_reads_what_they_saved(minilm: Path, tmp_path: Path) -> None:
    theirs = added(transformers.AutoTokenizer.from_pretrained(minilm))
    theirs.save_pretrained(tmp_path)
    ours = BertTokenizer.from_pretrained(tmp_path)
    assert ours(TEXTS).data == dict(theirs(TEXTS))
    assert ours.additional_special_tokens == theirs.additional_special_tokens


def test_the_slow_tokenizer_of_version_4(minilm: Path, tmp_path: Path) -> None:
    theirs = transformers.BertTokenizer.from_pretrained(minilm)
    theirs.add_tokens(["newtoken"])
    theirs.save_pretrained(tmp_path)
    for tokenizer in (BertTokenizerLegacy.from_pretrained(tmp_path), BertTokenizer.from_pretrained(tmp_path)):
        assert tokenizer(TEXTS[1:]).data == dict(theirs(TEXTS[1:]))
        assert tokenizer.get_added_vocab() == theirs.get_added_vocab()
        assert tokenizer("a newtoken").input_ids == theirs("a newtoken").input_ids
    legacy = BertTokenizerLegacy.from_pretrained(tmp_path)
    for text in TEXTS[1:]:
        assert legacy.decode(theirs(text)["input_ids"]) == theirs.decode(theirs(text)["input_ids"])
        assert legacy.get_special_tokens_mask([5], [6]) == theirs.get_special_tokens_mask([5], [6])
