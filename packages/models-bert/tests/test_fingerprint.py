"""The ids of the shipped classes are kept by their fingerprints: a change here is a change of every answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from formers.tokenization.fingerprint import fingerprint
from formers_bert import BertTokenizer, BertTokenizerLegacy

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "quick",
    "brown",
    "caf",
    "naive",
    "##e",
    "##s",
    "##é",
]
WORDS += [
    *"abcdefghijklmnopqrstuvwxyz0123456789.,!?-'",
    *(f"##{char}" for char in "abcdefghijklmnopqrstuvwxyz"),
]
WORDS += [
    "café",
    "東",
    "京",
    "мир",
    "й",
    "##ц",
    "İ",
    "i",
    "ß",
    "ss",
    "한",
    "ᄒ",
    "##ᅡ",
    "##ᆫ",
    "😀",
    "The",
    "É",
]
WORDS = [*dict.fromkeys(WORDS)]

KEPT = [
    ({}, "v1:3f67461fb9694a14a643d8120d751a7b2663569a1c1c26f7c90fafa6970358f7"),
    ({"do_lower_case": False}, "v1:ffcdc88570513b54f498c9d4b27f12723ed2caebef172e649b8fbfaa8906a149"),
    ({"strip_accents": False}, "v1:2174ec137f2c4cedfd23566c070e9afaac3efbc259b23965a9315cfa6aba117c"),
    (
        {"tokenize_chinese_chars": False},
        "v1:d5b1ed82a0012c509bb78baaec6535a6b41b49a9f74429d33acaa62abc3a6a4b",
    ),
    ({"mask_token": "the"}, "v1:342f4a6d47e2467d8624885266482659f031d4d07b0558d32eb535799a2cc1a8"),
]


@pytest.mark.parametrize(("settings", "kept"), KEPT)
@pytest.mark.parametrize("cls", [BertTokenizer, BertTokenizerLegacy])
def test_both_classes_give_the_ids_they_always_gave(
    tmp_path: Path, cls: type[Any], settings: dict[str, Any], kept: str
) -> None:
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("".join(f"{word}\n" for word in WORDS), "utf-8")
    assert fingerprint(cls(vocabulary, **settings)) == kept
