from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tokenizer import small
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from formers.generation.criteria import StopStringCriteria
from formers.generation.stop_strings import StopStringTable
from formers.generation.token_bytes import token_bytes
from formers.tokenization import PreTrainedTokenizer, TokenizersBackend

# Every token stands for itself; one adds nothing.
TEXTS = [
    text.encode()
    for text in ("", "s", "t", "o", "p", "st", "op", "stop", "las", "topper", "pper", " stop stop")
]
TEXTS += ["é".encode()[:1], "é".encode()[1:], b"aa", b"aaa"]


def completes(texts: list[bytes], ids: list[int], strings: list[str]) -> bool:
    """The plain reference: a string ends inside the last token, or with it."""
    before = b"".join(texts[index] for index in ids[:-1])
    whole = before + texts[ids[-1]]
    return any(
        whole[:end].endswith(string.encode())
        for string in strings
        for end in range(len(before) + 1, len(whole) + 1)
    )


words = st.lists(
    st.sampled_from(["stop", "s", "tops", "aaa", "aa", "é", "pst", "op o"]), min_size=1, max_size=3
)


@given(
    strings=words,
    rows=st.lists(st.lists(st.integers(1, len(TEXTS) - 1), min_size=6, max_size=6), min_size=1, max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_rows_end_where_their_text_completes_a_string(strings: list[str], rows: list[list[int]]) -> None:
    table = StopStringTable(TEXTS, tuple(strings))
    ids = torch.tensor(rows)
    for length in range(1, 7):
        expected = [completes(TEXTS, row[:length], strings) for row in rows]
        assert table.completed_by_last(ids[:, :length]).tolist() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (["st", "op"], True),
        (["stop"], True),
        (["las", "topper"], True),
        (["s", "t", "o", "pper"], True),
        (["s", "", "t", "", "o", "", "p"], True),
        (["stop", "s"], False),
        (["st", "t", "op"], False),
        (["stop", ""], False),
        ([" stop stop"], True),
    ],
)
def test_strings_may_begin_and_end_inside_tokens(text: list[str], expected: bool) -> None:
    ids = torch.tensor([[TEXTS.index(token.encode()) for token in text]])
    assert StopStringTable(TEXTS, ("stop",)).completed_by_last(ids).tolist() == [expected]


def test_ids_beyond_the_tokenizer_add_nothing() -> None:
    """A model may have more ids than its tokenizer."""
    table = StopStringTable(TEXTS, ("stop",))
    ids = torch.tensor([[TEXTS.index(b"st"), 999, TEXTS.index(b"op")], [1, 2, 10**9]])
    assert table.completed_by_last(ids).tolist() == [True, False]


def test_nothing_is_read_from_the_device() -> None:
    table = StopStringTable(TEXTS, ("stop", "aa"))
    assert table.completed_by_last(torch.zeros(3, 5, dtype=torch.int64, device="meta")).shape == (3,)


def byte_level() -> TokenizersBackend:
    alphabet = {token: index for index, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(alphabet | {"Ġst": 256, "op": 257}, []))
    backend.decoder = decoders.ByteLevel()
    tokenizer = TokenizersBackend(tokenizer_object=backend)
    tokenizer.add_tokens(["<é>"], special_tokens=True)
    return tokenizer


def byte_fallback() -> TokenizersBackend:
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁st", "op", "Ünder", "▁"]
    backend = Tokenizer(
        models.BPE({token: index for index, token in enumerate(tokens)}, [], byte_fallback=True)
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return TokenizersBackend(tokenizer_object=backend, unk_token="<unk>")


class Letters(PreTrainedTokenizer):
    """Written in Python: a token is a letter, and ``_`` a space."""

    vocab_size = 27

    def get_vocab(self) -> dict[str, int]:
        return {letter: index for index, letter in enumerate("abcdefghijklmnopqrstuvwxyz_")}

    def _tokenize(self, text: str) -> list[str]:
        return list(text.replace(" ", "_"))

    def _convert_token_to_id(self, token: str) -> int | None:
        return self.get_vocab().get(token)

    def _convert_id_to_token(self, index: int) -> str | None:
        return "abcdefghijklmnopqrstuvwxyz_"[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens).replace("_", " ")


@pytest.mark.parametrize("make", [byte_level, byte_fallback, small, Letters])
def test_tokens_behind_others_add_what_decoding_adds(make: Any) -> None:
    tokenizer = make()
    texts = token_bytes(tokenizer)
    assert len(texts) >= len(tokenizer)
    torch.manual_seed(0)
    anchor = next(index for index, text in enumerate(texts) if text in (b"op", b"a", b" cat"))
    for _ in range(50):
        ids = [anchor, *torch.randint(0, len(tokenizer), (6,)).tolist()]
        decoded = tokenizer.decode(ids)
        joined = b"".join(texts[index] for index in ids[1:])
        assert (
            decoded == tokenizer.decode([anchor]) + joined.decode("utf-8", "replace") or "\ufffd" in decoded
        )


def test_bytes_of_byte_level_tokens() -> None:
    tokenizer = byte_level()
    texts = token_bytes(tokenizer)
    assert texts[256:] == [b" st", b"op", "<é>".encode()]
    assert sorted(texts[:256]) == [bytes([byte]) for byte in range(256)]


def test_bytes_of_tokens_with_byte_fallback() -> None:
    texts = token_bytes(byte_fallback())
    assert texts[1:257] == [bytes([byte]) for byte in range(256)]
    assert texts[257:] == [b" st", b"op", "Ünder".encode(), b" "]


def test_words_that_all_begin_with_a_mark() -> None:
    backend = Tokenizer(models.WordLevel({"▁a": 0, "▁the": 1, "▁é": 2}, unk_token="▁a"))
    backend.decoder = decoders.Metaspace()
    assert token_bytes(TokenizersBackend(tokenizer_object=backend)) == [b" a", b" the", " é".encode()]


def test_words_and_their_pieces() -> None:
    tokenizer = small()
    texts = dict(
        zip(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))), token_bytes(tokenizer), strict=True)
    )
    assert (texts["cat"], texts["##s"], texts["."], texts["<s>"]) == (b" cat", b"s", b".", b" <s>")


@pytest.mark.parametrize(
    ("make", "text", "string"),
    [
        (byte_level, [" st", "op"], "stop"),
        (byte_level, ["Ã", "©"], "é"),
        (byte_level, ["<é>"], "é>"),
        (byte_fallback, ["▁st", "op"], " sto"),
        (byte_fallback, ["<0xC3>", "<0xA9>"], "é"),
        (small, ["cat", "##s", "."], "s."),
        (Letters, ["a", "_", "b"], "a b"),
    ],
)
def test_any_tokenizer(make: Any, text: list[str], string: str) -> None:
    tokenizer = make()
    ids = torch.tensor([tokenizer.convert_tokens_to_ids([token.replace(" ", "Ġ") for token in text])])
    criterion = StopStringCriteria(tokenizer, string)
    assert criterion(ids, None).tolist() == [True]
    assert criterion(ids[:, :-1], None).tolist() == [False]


def test_a_table_is_made_once_for_a_tokenizer_and_its_strings() -> None:
    tokenizer = small()
    table = StopStringTable.of(tokenizer, ["cat"])
    assert StopStringTable.of(tokenizer, "cat") is table
    assert StopStringTable.of(tokenizer, ["cat", "mat"]) is not table
    assert StopStringTable.of(tokenizer, ("cat",)) is table
    tokenizer.add_tokens(["catapult"])
    fresh = StopStringTable.of(tokenizer, ["cat"])
    assert fresh is not table
    assert fresh.completed_by_last(
        torch.tensor([[tokenizer.convert_tokens_to_ids("catapult")]])
    ).tolist() == [True]


@pytest.mark.parametrize("strings", ["", [], [""], ["a", ""], [1]])
def test_strings_that_every_text_ends_with_are_refused(strings: Any) -> None:
    with pytest.raises(
        ValueError, match=r"`stop_strings` is .*; expected a string or several, none of them empty"
    ):
        StopStringCriteria(small(), strings)


def test_special_tokens_count_by_what_they_are_written_like() -> None:
    tokenizer = small()
    end = tokenizer.convert_tokens_to_ids("</s>")
    assert StopStringCriteria(tokenizer, "</s>")(torch.tensor([[4, end]]), None).tolist() == [True]
