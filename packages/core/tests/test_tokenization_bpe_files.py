from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from byte_level import END, MERGES, VOCABULARY, write
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel

from formers.errors import CorruptFileError, LoadError, TokenizerWarning
from formers.tokenization.bpe_files import (
    ALPHABET,
    byte_level_bpe,
    missing_bytes,
    read_merges,
    read_vocabulary,
)


def test_the_alphabet_is_that_of_the_library() -> None:
    assert set(ALPHABET) == set(ByteLevel.alphabet())
    for byte, character in enumerate(ALPHABET[:0x80]):  # one byte is one character there
        ((piece, _),) = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(chr(byte))
        assert piece == character


def test_words_become_their_pieces(tmp_path: Path) -> None:
    folder = write(tmp_path)
    backend = byte_level_bpe(folder / "vocab.json", folder / "merges.txt")
    assert backend.encode("the cat thé").tokens == ["the", "Ġcat", "Ġ", "th", "Ã©"]
    assert backend.encode("the cat").offsets == [(0, 3), (3, 7)]
    assert byte_level_bpe(VOCABULARY, MERGES).to_str() == backend.to_str()
    pairs = [tuple(merge.split(" ")) for merge in MERGES]
    assert byte_level_bpe(VOCABULARY, pairs).to_str() == backend.to_str()


def test_the_options_change_what_they_say() -> None:
    spaced = byte_level_bpe(VOCABULARY, MERGES, add_prefix_space=True)
    assert spaced.encode("the cat").tokens == ["Ġthe", "Ġcat"]
    trimmed = byte_level_bpe(VOCABULARY, MERGES, trim_offsets=True)
    assert trimmed.encode("the cat").offsets == [(0, 3), (4, 7)]
    whole = byte_level_bpe({**VOCABULARY, "eĠcat": 300}, [*MERGES, "e Ġcat"], use_regex=False)
    assert whole.encode("e cat").tokens == ["eĠcat"]
    small = {"a": 0, "<unk>": 1}
    assert byte_level_bpe(small, [], unk_token="<unk>").encode("ab").ids == [0, 1]
    assert byte_level_bpe({}, []).encode("any text").ids == []


@given(st.text())
def test_every_text_comes_back(text: str) -> None:
    backend = byte_level_bpe(VOCABULARY, MERGES)
    assert backend.decode(backend.encode(text).ids) == text


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", ""])
@pytest.mark.parametrize("heading", ["#version: 0.2\n", "\ufeff#version: 0.2\n", "", "\n"])
def test_the_ways_in_which_merges_are_written(tmp_path: Path, heading: str, end: str) -> None:
    text = heading + (end or "\n").join(MERGES) + end
    found = read_merges(write(tmp_path, text) / "merges.txt")
    assert [" ".join(pair) for pair in found] == MERGES


def test_only_the_first_line_is_a_heading(tmp_path: Path) -> None:
    folder = write(tmp_path, "# #\n#version y\n", {"#": 0, "##": 1, "#version": 2, "y": 3, "#versiony": 4})
    assert read_merges(folder / "merges.txt") == [("#", "#"), ("#version", "y")]


@pytest.mark.parametrize(
    ("merges", "said"),
    [
        (
            "#version: 0.2\nt h\nthe\n",
            "merges.txt, line 3: 'the'; expected two tokens with one space between",
        ),
        ("t h\n\nt h e\n", "merges.txt, line 3: 't h e'; expected two tokens"),
        ("t h\n th\n", "merges.txt, line 2: ' th'; expected two tokens"),
        ("t  h\n", "merges.txt, line 1: 't  h'; expected two tokens"),
        ("#version: 0.2\nt h\nq z\n", "merges.txt, line 3: the merge 'q z' needs the token 'qz'"),
        ("t h\n\nzz e\n", "merges.txt, line 3: the merge 'zz e' needs the token 'zz'"),
        ("t h\nth e\nt h\n", "merges.txt, line 3: the merge 't h' repeats that of line 1"),
    ],
)
def test_a_bad_merge_is_named_with_its_line(tmp_path: Path, merges: str, said: str) -> None:
    folder = write(tmp_path, merges)
    with pytest.raises(CorruptFileError, match=re.escape(said)):
        byte_level_bpe(folder / "vocab.json", folder / "merges.txt")


@pytest.mark.parametrize(
    ("vocabulary", "said"),
    [
        ([1], r"vocab\.json: \[1\]; expected a JSON object from token to id"),
        ({"a": 0, "b": 0}, r"vocab\.json: the tokens 'a' and 'b' both have the id 0"),
        ({"a": "0"}, r"vocab\.json: the token 'a' has the id '0'; expected a whole number"),
        ({"a": True}, "has the id True"),
        ({"a": -1}, "has the id -1"),
        ({"a": 2**32}, r"has the id 4294967296; expected a whole number from 0 to 4,294,967,295"),
        ({"a": 0.0}, r"has the id 0\.0"),
    ],
)
def test_a_bad_vocabulary_is_named(tmp_path: Path, vocabulary: Any, said: str) -> None:
    with pytest.raises(CorruptFileError, match=said):
        read_vocabulary(write(tmp_path, vocabulary=vocabulary) / "vocab.json")
    if isinstance(vocabulary, dict):
        with pytest.raises(CorruptFileError, match="vocab: the token"):
            byte_level_bpe(vocabulary, [])


def test_bad_values_in_place_of_files_name_the_argument() -> None:
    with pytest.raises(CorruptFileError, match="merges, entry 1: 'the'; expected two tokens"):
        byte_level_bpe(VOCABULARY, ["t h", "the"])
    with pytest.raises(CorruptFileError, match=r"merges, entry 0: \['t', 1\]; expected two tokens"):
        byte_level_bpe(VOCABULARY, [["t", 1]])  # type: ignore[list-item]
    with pytest.raises(CorruptFileError, match="merges, entry 0: the merge 'x y' needs the token 'xy'"):
        byte_level_bpe(VOCABULARY, [("x", "y")])


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"merges\.txt' cannot be read .*one pair of tokens to a line"):
        read_merges(tmp_path / "merges.txt")
    with pytest.raises(LoadError, match=r"vocab\.json' cannot be read"):
        read_vocabulary(tmp_path / "vocab.json")
    (tmp_path / "merges.txt").write_bytes(b"t h\nc \xff\n")
    with pytest.raises(CorruptFileError, match=r"merges\.txt, line 2: b'\\xff' is not UTF-8"):
        read_merges(tmp_path / "merges.txt")


def test_a_vocabulary_file_that_would_lose_text_is_a_warning(tmp_path: Path) -> None:
    lacking = {token: index for token, index in VOCABULARY.items() if token not in ("é", "Ġ")}
    assert missing_bytes(lacking) == [0x20, 0xE9]
    folder = write(tmp_path, "", {**lacking, END: 5000})
    with pytest.warns(TokenizerWarning) as caught:
        byte_level_bpe(folder / "vocab.json", [])
    messages = [str(one.message) for one in caught]
    assert any("no token for 2 of the 256 bytes, such as 'Ġ' for 0x20" in message for message in messages)
    assert any("the id of '<|end|>' is 5,000" in message for message in messages)
