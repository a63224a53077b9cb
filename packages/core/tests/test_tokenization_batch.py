from __future__ import annotations

import copy
import pickle

import numpy
import pytest
import torch
from small_tokenizer import small

from formers.errors import TextInputError
from formers.tokenization import BatchEncoding, CharSpan, TokenSpan

TOKENIZER = small()


@pytest.fixture
def pair() -> BatchEncoding:
    return TOKENIZER("the words", "a mat")


def test_a_mapping_with_attributes(pair: BatchEncoding) -> None:
    assert list(pair) == ["input_ids", "token_type_ids", "attention_mask"]
    assert pair["input_ids"] is pair.input_ids
    assert dict(pair) == {**pair} == pair.data
    assert "labels" not in pair
    pair["labels"] = [1]
    assert pair.pop("labels") == [1]
    with pytest.raises(KeyError, match="labels"):
        pair["labels"]
    with pytest.raises(AttributeError, match=r"no attribute 'labels'; its fields are \['input_ids'"):
        _ = pair.labels


def test_the_data_given_is_not_changed() -> None:
    data = {"input_ids": [[1, 2]]}
    BatchEncoding(data, tensor_type="pt")
    assert data == {"input_ids": [[1, 2]]}


def test_rows_by_index() -> None:
    batch = TOKENIZER(["the", "a mat"])
    assert batch[1].tokens == ["<s>", "a", "mat", "</s>"]
    assert [row.tokens for row in batch[0:2]] == [batch.tokens(0), batch.tokens(1)]
    with pytest.raises(IndexError):
        batch[2]
    with pytest.raises(KeyError, match="expected the name of a field"):
        BatchEncoding({"input_ids": [1]})[0]
    with pytest.raises(KeyError, match="expected the name of a field"):
        batch[1.5]


def test_a_slice_without_encodings_gives_rows_of_every_field() -> None:
    batch = BatchEncoding({"input_ids": torch.tensor([[1, 2], [3, 4]]), "labels": [5, 6]})
    rows = batch[1:]
    assert list(rows) == ["input_ids", "labels"]
    assert rows["input_ids"].tolist() == [[3, 4]]
    assert rows["labels"] == [6]


def test_words_and_characters(pair: BatchEncoding) -> None:
    assert pair.tokens() == ["<s>", "the", "word", "##s", "</s>", "a", "mat", "</s>"]
    assert pair.word_ids() == [None, 0, 1, 1, None, 0, 1, None]
    assert pair.sequence_ids() == [None, 0, 0, 0, None, 1, 1, None]
    assert pair.n_sequences == 2
    assert pair.char_to_token(4) == pair.char_to_token(0, 4) == 2
    assert pair.char_to_token(3) is None
    assert pair.char_to_token(2, sequence_index=1) == pair.char_to_token(0, 2, 1) == 6
    assert pair.char_to_word(8) == pair.char_to_word(0, 8) == 1
    assert pair.token_to_chars(3) == pair.token_to_chars(0, 3) == CharSpan(8, 9)
    assert pair.token_to_chars(0) is None
    assert pair.token_to_word(-2) == pair.token_to_word(0, 6) == 1
    assert pair.token_to_sequence(5) == 1
    assert pair.token_to_sequence(0) is None
    assert pair.word_to_tokens(1) == pair.word_to_tokens(0, 1) == TokenSpan(2, 4)
    assert pair.word_to_tokens(1, sequence_index=1) == TokenSpan(6, 7)
    assert pair.word_to_tokens(9) is None
    assert pair.word_to_chars(1) == CharSpan(4, 9)


def test_without_encodings() -> None:
    batch = BatchEncoding({"input_ids": [1]})
    assert not batch.is_fast
    assert batch.encodings is None
    with pytest.raises(ValueError, match=r"word_ids\(\) needs the encodings"):
        batch.word_ids()


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b)), dict.copy]
)
def test_copies(duplicate: object, pair: BatchEncoding) -> None:
    other = pair.copy() if duplicate is dict.copy else duplicate(pair)  # type: ignore[operator]
    assert other == pair
    assert other.tokens() == pair.tokens()
    other["labels"] = 1
    assert "labels" not in pair


def test_tensors() -> None:
    assert BatchEncoding({"x": [1, 2]}, tensor_type="pt", prepend_batch_axis=True).x.tolist() == [[1, 2]]
    assert BatchEncoding({"x": [0.5]}, tensor_type="np").x.dtype == numpy.float64
    tensor = torch.ones(2)
    assert BatchEncoding({"x": tensor}, tensor_type="pt").x is tensor
    with pytest.raises(TextInputError, match="x: 'a' cannot be part of a tensor"):
        BatchEncoding({"x": ["a"]}, tensor_type="pt")


def test_moving() -> None:
    batch = TOKENIZER("the", return_tensors="pt")
    batch["text"] = "the"
    assert batch.to("meta") is batch
    assert batch.input_ids.device.type == "meta"
    assert batch.to(torch.device("meta")).text == "the"
    with pytest.raises(TextInputError, match=r"device=torch\.float16"):
        batch.to(torch.float16)  # type: ignore[arg-type]


def test_an_empty_first_row_loses_no_tokens() -> None:
    with pytest.raises(TextInputError, match=r"input_ids: rows of 0 to 1 items do not make one tensor"):
        TOKENIZER(["", "the"], add_special_tokens=False, return_tensors="pt")
    with pytest.raises(TextInputError, match=r"labels: rows of 0 to 2 items"):
        BatchEncoding({"labels": [[], [1, 2]]}, tensor_type="pt")
    empty = TOKENIZER(["", ""], add_special_tokens=False, return_tensors="pt")["input_ids"]
    assert (empty.dtype, empty.shape) == (torch.int64, (2, 0))


def test_places_out_of_range(pair: BatchEncoding) -> None:
    for method in ("word_to_tokens", "word_to_chars", "char_to_token", "char_to_word"):
        with pytest.raises(TextInputError, match=rf"{method}\(\): index -1; expected at least 0"):
            getattr(pair, method)(0, -1)
        assert getattr(pair, method)(0, 99) is None
    for method in ("token_to_sequence", "token_to_word", "token_to_chars"):
        with pytest.raises(TextInputError, match=rf"{method}\(\): index -9; the row has 8 tokens"):
            getattr(pair, method)(-9)
