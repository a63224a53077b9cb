"""The ids of the tokenizer are kept by its fingerprint: a change here is a change of every answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from formers.tokenization.bpe_files import ALPHABET
from formers.tokenization.fingerprint import fingerprint
from formers_gpt2 import GPT2Tokenizer

MERGES = ["t h", "th e", "Ġ the", "i n", "e r", "Ã ©", "Ġ Ġ", "Ċ Ċ", "Ġ a", "0 0"]
VOCABULARY = {
    token: index
    for index, token in enumerate([*ALPHABET, *(pair.replace(" ", "") for pair in MERGES), "<|endoftext|>"])
}
EXPECTED = {  # with and without add_prefix_space
    False: "v1:317c497484f1943a239670cb0b1721aee2430560529e18ff0b5411489fb02374",
    True: "v1:6d274d7701db17b96ab788b9637d2b7d1a7b846aac324d65ffa474177839f8c9",
}


@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_ids_are_what_they_were(add_prefix_space: bool, tmp_path: Path) -> None:
    tokenizer: Any = GPT2Tokenizer(VOCABULARY, MERGES, add_prefix_space=add_prefix_space)
    assert fingerprint(tokenizer) == EXPECTED[add_prefix_space]
    tokenizer.save_pretrained(tmp_path)
    assert fingerprint(GPT2Tokenizer.from_pretrained(tmp_path)) == EXPECTED[add_prefix_space]
