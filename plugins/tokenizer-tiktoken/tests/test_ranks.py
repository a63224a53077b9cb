from __future__ import annotations

import base64
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formers import AutoTokenizer, CorruptFileError
from formers.errors import LoadError
from formers_tokenizer_tiktoken import CL100K, QWEN, byte_pairs, pipeline, read_ranks
from formers_tokenizer_tiktoken.hooks import QWEN_SPECIAL

BYTES = {bytes([byte]): byte for byte in range(256)}
TEXT = "the thing that thinks — it's thinner than 1234 things, théâtre naïve 你好 你们 \n\n  the end " * 3


def learned(text: str, size: int) -> dict[bytes, int]:
    """Ranks learned from a text by joining the most frequent neighbours, so that all can be reached."""
    ranks, words = dict(BYTES), [[bytes([byte]) for byte in word.encode()] for word in text.split(" ")]
    while len(ranks) < size:
        pairs = Counter(pair for word in words for pair in pairwise(word))
        if not pairs:
            break
        (left, right), _ = pairs.most_common(1)[0]
        ranks.setdefault(left + right, len(ranks))
        for word in words:
            for place in range(len(word) - 2, -1, -1):
                if word[place : place + 2] == [left, right]:
                    word[place : place + 2] = [left + right]
    return ranks


LEARNED = learned(TEXT, 330)


@given(text=st.one_of(st.text(alphabet="abc then ing12é你\n'", max_size=40), st.text(max_size=20)))
@settings(max_examples=150, deadline=None)
def test_words_are_joined_by_rank(text: str) -> None:
    ranks, backend = LEARNED, pipeline(LEARNED, QWEN)
    pieces = [text[start:end] for _, (start, end) in backend.pre_tokenizer.pre_tokenize_str(text)]
    assert "".join(pieces) == text
    expected = [
        rank
        for piece in pieces
        for rank in (
            [ranks[piece.encode()]]
            if piece.encode() in ranks
            else [ranks[part] for part in byte_pairs(ranks, piece.encode())]
        )
    ]
    assert backend.encode(text).ids == expected
    assert backend.decode(expected) == text


def test_a_token_may_be_put_together_in_several_ways() -> None:
    ranks = BYTES | {b"bc": 256, b"xa": 257, b"ab": 258, b"abc": 259, b"xabc": 260, b"c!": 261}
    for text in ("abc", "xabc!", "xab", "abc!", "aabcc!"):
        expected = [ranks[part] for part in byte_pairs(ranks, text.encode())]
        whole = ranks.get(text.encode())
        assert pipeline(ranks, r"\w+!?").encode(text).ids == ([whole] if whole else expected)


def test_numbers_are_split_as_each_vocabulary_wants() -> None:
    for pattern, parts in ((QWEN, ["1", "2", "3", "4", " the"]), (CL100K, ["123", "4", " the"])):
        found = pipeline(LEARNED, pattern).pre_tokenizer.pre_tokenize_str("1234 the")
        assert ["1234 the"[start:end] for _, (start, end) in found] == parts


def write(path: Path, ranks: dict[bytes, int]) -> Path:
    path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items()))
    return path


def test_a_folder_of_qwen_is_read_and_needs_no_converter_once_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "qwen.tiktoken", LEARNED)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "QWenTokenizer"}')
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("the thing<|im_end|>")["input_ids"]
    assert ids[-1] == len(LEARNED) + 2
    assert tokenizer.decode(ids) == "the thing<|im_end|>"
    assert len(tokenizer) == len(LEARNED) + len(QWEN_SPECIAL)
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == len(LEARNED)
    tokenizer.save_pretrained(tmp_path / "saved")
    monkeypatch.setenv("FORMERS_PLUGINS", "")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")("the thing<|im_end|>")["input_ids"] == ids


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "256 of the 256 bytes"),
        (b"IQ== 0\n!!!! 1\n", "line 2: b'!!!! 1'; expected a token in base64"),
        (b"IQ==\n", "line 1"),
        (b"IQ== zero\n", "line 1"),
        (b"IQ== 0 0\n", "line 1"),
        (b"IQ== -1\n", "line 1"),
        (b" 7\n", "line 1"),
        (b"IQ== 0\nIg== 0\n", "line 2: .* repeats"),
        (b"IQ== 0\n\nIQ== 1\n", "line 3: .* repeats"),
        (base64.b64encode(b"a" * 2000) + b" 0\n", "1 to 1024 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "line 1"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "qwen.tiktoken"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=problem) as caught:
        read_ranks(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"missing\.tiktoken"):
        read_ranks(tmp_path / "missing.tiktoken")
