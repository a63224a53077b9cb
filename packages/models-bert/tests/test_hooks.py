from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from formers import AutoTokenizer, LoadError, TokenizersBackend
from formers_bert.hooks import formers_tokenizer_converters
from formers_bert.tokenization import BertTokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "café", "cafe", "a", "b"]


def old_folder(path: Path, model_type: str | None = None, **settings: Any) -> Path:
    path.mkdir(exist_ok=True)
    (path / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS), "utf-8")
    (path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    if model_type is not None:
        (path / "config.json").write_text(json.dumps({"model_type": model_type}), "utf-8")
    return path


@pytest.mark.parametrize(
    ("says", "types"),
    [
        ({"tokenizer_class": "ElectraTokenizer"}, True),
        ({"tokenizer_class": "ElectraTokenizerFast", "model_type": "bert"}, True),
        ({"model_type": "mobilebert"}, True),
        ({"tokenizer_class": "DistilBertTokenizer", "model_type": "distilbert"}, False),
        ({"model_type": "distilbert"}, False),
    ],
)
@pytest.mark.parametrize(
    "settings", [{}, {"do_lower_case": False}, {"unk_token": "a", "tokenize_chinese_chars": False}]
)
def test_the_tokenizers_of_relatives(
    tmp_path: Path, says: dict[str, str], types: bool, settings: dict[str, Any]
) -> None:
    folder = old_folder(tmp_path, **{**says, **settings})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    own = BertTokenizer(folder / "vocab.txt", **settings)
    assert type(tokenizer) is TokenizersBackend
    assert tokenizer.backend_tokenizer.to_str() == own.backend_tokenizer.to_str()
    assert tokenizer.special_tokens_map == own.special_tokens_map
    row = tokenizer("Unaffable", "CAFÉ b")
    assert row["input_ids"] == own("Unaffable", "CAFÉ b")["input_ids"]
    assert ("token_type_ids" in row) is types


def test_its_own_class_reads_the_file_itself(tmp_path: Path) -> None:
    folder = old_folder(tmp_path, model_type="bert")
    assert type(AutoTokenizer.from_pretrained(folder)) is BertTokenizer
    generic = TokenizersBackend.from_pretrained(folder)
    assert generic("unaffable")["input_ids"] == [2, 5, 6, 7, 3]


def test_a_class_that_splits_text_differently_is_not_taken_for_it(tmp_path: Path) -> None:
    folder = old_folder(tmp_path, model_type="bert", tokenizer_class="BertJapaneseTokenizer")
    for load in (AutoTokenizer.from_pretrained, TokenizersBackend.from_pretrained):
        with pytest.raises((LoadError, ValueError), match="asks for BertJapaneseTokenizer"):
            load(folder)


def test_no_folder_is_claimed_twice() -> None:
    first, second = formers_tokenizer_converters()
    assert not first.tokenizer_classes & second.tokenizer_classes
    assert not first.model_types & second.model_types
