from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_tokenizer import IDS, WORDS, small

from formers.errors import TextInputError

TOKENIZER = small()
ROW = [IDS["<s>"], IDS["the"], IDS["word"], IDS["##s"], IDS["."], IDS["</s>"]]


@pytest.mark.parametrize(
    "ids",
    [
        ROW,
        tuple(ROW),
        torch.tensor(ROW),
        numpy.array(ROW),
        {"input_ids": ROW},
        [torch.tensor(i) for i in ROW],
    ],
)
def test_a_row(ids: Any) -> None:
    assert TOKENIZER.decode(ids) == "<s> the words. </s>"
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == "the words."


@pytest.mark.parametrize(
    "rows", [[ROW, ROW], torch.tensor([ROW, ROW]), [numpy.array(ROW)] * 2, {"input_ids": [ROW, ROW]}]
)
def test_rows(rows: Any) -> None:
    assert TOKENIZER.decode(rows, True) == TOKENIZER.batch_decode(rows, True) == ["the words.", "the words."]


def test_odd_forms() -> None:
    assert TOKENIZER.decode(IDS["the"]) == TOKENIZER.decode(torch.tensor(IDS["the"])) == "the"
    assert TOKENIZER.decode([]) == ""
    assert TOKENIZER.batch_decode([]) == []
    assert TOKENIZER.batch_decode([[], ROW], skip_special_tokens=True) == ["", "the words."]
    assert TOKENIZER.batch_decode([IDS["the"], IDS["cat"]]) == ["the cat"]
    assert TOKENIZER.decode([10**6]) == ""


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([4, -1], "token id -1 at index 1: expected a whole number of at least 0$"),
        ([4, -100], "-100 marks ignored labels"),
        ([2**40], "token id 1099511627776 at index 0"),
        ([4, 1.5], r"token id 1\.5 at index 1"),
        ([4, None], "token id None at index 1"),
        ("the", "token ids of type str, 'the'"),
        (None, "token ids of type NoneType"),
    ],
)
def test_bad_ids(ids: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        TOKENIZER.decode(ids)
    assert isinstance(caught.value, TextInputError)


def test_spaces_are_cleaned_up_on_request() -> None:
    text = "do n't stop , it ' s fine , I 've said ; he 's , we 're , I 'm ! ?"
    clean = "don't stop, it's fine, I've said ; he's, we're, I'm!?"
    assert TOKENIZER.clean_up_tokenization(text) == clean
    with_dot = [IDS["the"], IDS["."]]
    plain = small()
    plain.backend_tokenizer.decoder = None
    assert plain.decode(with_dot) == "the ."
    assert plain.decode(with_dot, clean_up_tokenization_spaces=True) == "the."
    plain.clean_up_tokenization_spaces = True
    assert plain.decode(with_dot) == "the."


@given(st.lists(st.sampled_from([w for w in WORDS if not w.startswith(("##", "<"))]), max_size=20))
def test_decoding_undoes_encoding(words: list[str]) -> None:
    ids = TOKENIZER(" ".join(words)).input_ids
    assert TOKENIZER(TOKENIZER.decode(ids, skip_special_tokens=True)).input_ids == ids


def test_padding_encoded_rows() -> None:
    rows = [{"input_ids": [5, 6], "labels": [1]}, {"input_ids": [5], "labels": [2]}]
    padded = TOKENIZER.pad(rows)
    assert padded == {"input_ids": [[5, 6], [5, 0]], "labels": [[1], [2]], "attention_mask": [[1, 1], [1, 0]]}
    left = TOKENIZER.pad(rows, padding_side="left", pad_to_multiple_of=4, return_tensors="pt")
    assert left.input_ids.tolist() == [[0, 0, 5, 6], [0, 0, 0, 5]]
    assert left.attention_mask.tolist() == [[0, 0, 1, 1], [0, 0, 0, 1]]
    assert TOKENIZER.pad({"input_ids": [5]}, padding="max_length", max_length=2).input_ids == [5, 0]
    assert TOKENIZER.pad({"input_ids": [[5], []]}, return_attention_mask=False) == {"input_ids": [[5], [0]]}
    assert TOKENIZER.pad(rows, padding=False).input_ids == [[5, 6], [5]]
    mask = {"input_ids": [5], "special_tokens_mask": [0], "token_type_ids": [1], "attention_mask": [1]}
    assert TOKENIZER.pad(mask, padding="max_length", max_length=3) == {
        "input_ids": [5, 0, 0],
        "special_tokens_mask": [0, 1, 1],
        "token_type_ids": [1, 0, 0],
        "attention_mask": [1, 0, 0],
    }


def test_padding_keeps_the_kind_of_array() -> None:
    assert isinstance(TOKENIZER.pad([{"input_ids": torch.tensor([5])}]).input_ids, torch.Tensor)
    assert isinstance(TOKENIZER.pad([{"input_ids": numpy.array([5])}]).input_ids, numpy.ndarray)
    assert TOKENIZER.pad([]) == {"input_ids": [], "attention_mask": []}


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        ([[5, 6]], "item 0 is a list"),
        ({"labels": [1]}, r"pad\(\) needs 'input_ids'; it was given \['labels'\]"),
        (
            [{"input_ids": [5]}, {"input_ids": [5], "labels": [1]}],
            r"item 1: \['labels'\] is not in every item",
        ),
        ({"input_ids": [[5], [6]], "labels": [[1]]}, "labels has 1 rows, but input_ids has 2"),
    ],
)
def test_padding_what_is_no_encoding(encoded: Any, message: str) -> None:
    with pytest.raises(TextInputError, match=message):
        TOKENIZER.pad(encoded)


def test_rows_name_what_is_odd_in_them() -> None:
    with pytest.raises(TextInputError, match=r"row 1: token id -100 at index 1: .*marks ignored labels"):
        TOKENIZER.batch_decode([ROW, [5, -100]])
    with pytest.raises(TextInputError, match=r"row 1: None is not a list of ids"):
        TOKENIZER.batch_decode([ROW, None])
    with pytest.raises(TextInputError, match=r"row 0: \[\[5\]\] is not a list of ids"):
        TOKENIZER.batch_decode([[[5]]])


def test_rows_in_other_forms() -> None:
    texts = TOKENIZER.batch_decode([ROW, [5]])
    for rows in (
        (ROW, [5]),
        [tuple(ROW), (5,)],
        [ROW, 5],
        [torch.tensor(ROW), [5]],
        [ROW, [torch.tensor(5)]],
    ):
        assert TOKENIZER.batch_decode(rows) == TOKENIZER.decode(rows) == texts
