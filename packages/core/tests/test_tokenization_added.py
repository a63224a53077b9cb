"""Added tokens in Python are found where the ``tokenizers`` library finds them, whatever their flags."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase

from formers.tokenization.added import AddedTokens

CONTENTS = ["<n>", "<n><n>", "One", "one", "a", "ab", " b", "x ", "中", "é", "\u0301", "_", "²", "Ⓐ", "İ"]
ODD = [
    "\u200d",
    "\u200c",
    "\x1c",
    "\x85",
    "\u2003",
    "\u3000",
    "\t",
    "\n",
    "1",
    "²",
    "ª",
    "ー",
    "\u0903",
    "\u20dd",
    "🄰",
    "Ⅷ",
]
TOKENS = st.builds(
    AddedToken,
    st.sampled_from(CONTENTS),
    single_word=st.booleans(),
    lstrip=st.booleans(),
    rstrip=st.booleans(),
    normalized=st.booleans(),
    special=st.booleans(),
)
TEXTS = st.lists(st.sampled_from([*CONTENTS, *ODD, " ", "  ", "<", ".", "ONE"]), max_size=12).map("".join)


def found_by_the_library(tokens: list[AddedToken], text: str, split_special: bool) -> list[str]:
    """The texts of the tokens, and what lies between them as the model gets it."""
    backend = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    backend.normalizer = Lowercase()
    for token in tokens:
        if token.special:
            backend.add_special_tokens([token])
        else:
            backend.add_tokens([token])
    backend.encode_special_tokens = split_special
    added = backend.get_added_tokens_decoder()
    return [added[i].content if i else "?" for i in backend.encode(text).ids]


@given(st.lists(TOKENS, max_size=4, unique_by=lambda token: token.content.lower()), TEXTS, st.booleans())
def test_the_pieces_of_a_text(tokens: list[AddedToken], text: str, split_special: bool) -> None:
    pieces = AddedTokens(tokens).split(text, str.lower, split_special)
    actual = ["?" if token is None else piece for piece, token in pieces]
    assert actual == found_by_the_library(tokens, text, split_special)


@given(st.characters(exclude_categories=["Cs", "Cn", "Co"]))
def test_what_counts_as_part_of_a_word(char: str) -> None:
    token = AddedToken("<n>", single_word=True, normalized=False)
    assert (len(list(AddedTokens([token]).split(f"<n>{char}", str, False))) == 1) == (
        found_by_the_library([token], f"<n>{char}", False) == ["?"]
    ), unicodedata.name(char, "?")


@pytest.mark.parametrize("side", ["lstrip", "rstrip"])
def test_white_space_beside_a_token_is_swallowed_on_request(side: str) -> None:
    kept = list(AddedTokens([AddedToken("<n>")]).split("a <n> b", str, False))
    assert [piece for piece, _ in kept] == ["a ", "<n>", " b"]
    swallowed = list(AddedTokens([AddedToken("<n>", **{side: True})]).split("a <n> b", str, False))
    assert [piece for piece, _ in swallowed] == (
        ["a", "<n>", " b"] if side == "lstrip" else ["a ", "<n>", "b"]
    )


def test_normalised_tokens_are_found_in_normalised_text() -> None:
    tokens = AddedTokens([AddedToken("One"), AddedToken("Two", normalized=False)])
    assert [piece for piece, token in tokens.split("ONE Two TWO x", str.lower, False) if token] == [
        "One",
        "Two",
    ]
    assert [piece for piece, token in tokens.split("ONE Two TWO x", str.lower, False) if not token] == [
        " ",
        " TWO x",
    ]


def test_no_tokens() -> None:
    assert list(AddedTokens(()).split("a b", str.lower, False)) == [("a b", None)]
    assert list(AddedTokens([AddedToken("")]).split("", str.lower, False)) == []
