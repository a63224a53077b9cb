"""Tokenizers against transformers 4.53.3: each reads what the other saved, and gives the same tokens."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from adversarial import corpus

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


def common(text: str) -> str:
    """A text in which the library and the tokenizer in Python of version 4 see the same; formers follows the library.

    The latter composes characters, drops unassigned ones, knows 256 Chinese ones more, and takes for special tokens
    also those that appear when control characters are dropped.
    """
    dropped = {"Cn", "Cc", "Cf", "Co"} if "[" in text else {"Cn"}
    return "".join(
        char
        for char in unicodedata.normalize("NFC", text)
        if unicodedata.category(char) not in dropped and not 0x2B820 <= ord(char) < 0x2B920
    )


OPTIONS: list[dict[str, Any]] = [
    {},
    {"do_lower_case": False},
    {"strip_accents": False},
    {"strip_accents": True, "do_lower_case": False},
    {"tokenize_chinese_chars": False},
    {"do_basic_tokenize": False},
    {"never_split": ["the", "café", "x²"]},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_tokenizers_in_python_agree_on_every_string(options: dict[str, Any], minilm: Path) -> None:
    theirs = transformers.BertTokenizer.from_pretrained(minilm, **options)
    ours = BertTokenizerLegacy.from_pretrained(minilm, **options)
    texts = list(map(common, corpus()))
    for first, second in zip(texts, reversed(texts), strict=True):
        row = ours(first, second, return_special_tokens_mask=True)
        assert row.data == dict(theirs(first, second, return_special_tokens_mask=True)), (first, second)
        assert ours.tokenize(first) == theirs.tokenize(first), first
        for skip in (False, True):
            assert ours.decode(row.input_ids, skip) == theirs.decode(row.input_ids, skip), (first, second)


def test_the_tokenizers_in_rust_agree_on_every_string(minilm: Path) -> None:
    theirs = transformers.BertTokenizerFast.from_pretrained(minilm)
    ours = BertTokenizer.from_pretrained(minilm)
    for form in (
        {},
        {"return_offsets_mapping": True},
        {"padding": True, "truncation": True, "max_length": 20},
    ):
        assert ours(corpus(), corpus()[::-1], **form).data == dict(theirs(corpus(), corpus()[::-1], **form))
