from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from fake_dists import python
from hypothesis import given
from hypothesis import strategies as st
from small_tokenizer import IDS, small

from formers.errors import TextInputError, TokenizerWarning
from formers.tokenization import PaddingStrategy, TensorType, TruncationStrategy

TOKENIZER = small()
LONG = "the cat sat on a mat . the cat sat"
TEXTS = st.text(alphabet="the cat sat on a mat.,words é\n", max_size=60)


def ids(text: str) -> list[int]:
    return [IDS[word] for word in text.split()]


def test_one_text() -> None:
    encoded = TOKENIZER("The cat")
    assert encoded == {
        "input_ids": ids("<s> the cat </s>"),
        "token_type_ids": [0] * 4,
        "attention_mask": [1] * 4,
    }


def test_one_pair() -> None:
    encoded = TOKENIZER("the cat", "a mat")
    assert encoded.input_ids == ids("<s> the cat </s> a mat </s>")
    assert encoded.token_type_ids == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((["the cat", "a"], ["mat", "on ."]), {}),
        (([("the cat", "mat"), ("a", "on .")],), {}),
        (([["the cat", "mat"], ["a", "on ."]],), {}),
        ((("the cat", "a"), ("mat", "on .")), {}),
        (([["the", "cat"], ["a"]], [["mat"], ["on", "."]]), {"is_split_into_words": True}),
        (([(["the", "cat"], ["mat"]), (["a"], ["on", "."])],), {"is_split_into_words": True}),
    ],
)
def test_the_forms_of_a_batch_of_pairs(arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    encoded = TOKENIZER(*arguments, **options)
    assert encoded.input_ids == [ids("<s> the cat </s> mat </s>"), ids("<s> a </s> on . </s>")]


def test_words() -> None:
    encoded = TOKENIZER(["the", "words"], is_split_into_words=True)
    assert encoded.input_ids == ids("<s> the word ##s </s>")
    assert encoded.word_ids() == [None, 0, 1, 1, None]


def test_older_names() -> None:
    assert TOKENIZER.encode("the cat", "a") == TOKENIZER("the cat", "a").input_ids
    assert TOKENIZER.encode_plus("the", "a", False, max_length=9, truncation=True) == TOKENIZER(
        "the", "a", add_special_tokens=False
    )
    assert TOKENIZER.batch_encode_plus(["the", "a mat"], padding=True) == TOKENIZER(
        ["the", "a mat"], padding=True
    )
    tokens = TOKENIZER.tokenize("the words", "a", add_special_tokens=True)
    assert tokens == ["<s>", "the", "word", "##s", "</s>", "a", "</s>"]


def test_targets() -> None:
    assert TOKENIZER("the", text_target="a mat").labels == ids("<s> a mat </s>")
    assert TOKENIZER(text_target="a mat") == TOKENIZER("a mat")


def test_every_field() -> None:
    encoded = TOKENIZER(
        "the words",
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
        return_length=True,
        return_token_type_ids=False,
        return_attention_mask=False,
    )
    assert encoded == {
        "input_ids": ids("<s> the word ##s </s>"),
        "special_tokens_mask": [1, 0, 0, 0, 1],
        "offset_mapping": [(0, 0), (0, 3), (4, 8), (8, 9), (0, 0)],
        "length": [5],
    }


@pytest.mark.parametrize("padding", [True, "longest", PaddingStrategy.LONGEST])
def test_padding_to_the_longest(padding: bool | str) -> None:
    encoded = TOKENIZER(["the", "the cat"], padding=padding)
    assert encoded.input_ids == [ids("<s> the </s> <pad>"), ids("<s> the cat </s>")]
    assert encoded.attention_mask == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_padding_to_a_length_and_to_a_multiple() -> None:
    assert TOKENIZER("the", padding="max_length", max_length=5).input_ids == ids("<s> the </s> <pad> <pad>")
    assert len(TOKENIZER("the", padding=True, pad_to_multiple_of=8).input_ids) == 8
    assert small(model_max_length=6)("the", padding="max_length").attention_mask == [1, 1, 1, 0, 0, 0]


def test_padding_side() -> None:
    expected = ids("<pad> <s> the </s>")
    assert TOKENIZER(["the", "the cat"], padding=True, padding_side="left").input_ids[0] == expected
    assert small(padding_side="left")(["the", "the cat"], padding=True).input_ids[0] == expected


@pytest.mark.parametrize("truncation", [True, "longest_first", TruncationStrategy.ONLY_FIRST])
def test_truncation(truncation: bool | str) -> None:
    assert TOKENIZER(LONG, truncation=truncation, max_length=5).input_ids == ids("<s> the cat sat </s>")


def test_truncation_to_the_models_length_and_from_the_left() -> None:
    assert small(model_max_length=4)(LONG, truncation=True).input_ids == ids("<s> the cat </s>")
    left = small(truncation_side="left")
    assert left(LONG, truncation=True, max_length=4).input_ids == ids("<s> cat sat </s>")


def test_truncation_of_one_text_of_a_pair() -> None:
    kept = TOKENIZER("the cat", LONG, truncation="only_second", max_length=7)
    assert kept.input_ids == ids("<s> the cat </s> the cat </s>")


def test_pieces_of_a_long_text() -> None:
    encoded = TOKENIZER(
        ["a", "the cat sat on"], truncation=True, max_length=5, stride=1, return_overflowing_tokens=True
    )
    assert encoded.input_ids == [ids("<s> a </s>"), ids("<s> the cat sat </s>"), ids("<s> sat on </s>")]
    assert encoded.overflow_to_sample_mapping == [0, 1, 1]
    assert encoded.tokens(2) == ["<s>", "sat", "on", "</s>"]


def test_special_tokens_in_text() -> None:
    assert TOKENIZER("the </s>").input_ids == ids("<s> the </s> </s>")
    assert TOKENIZER("the </s>", split_special_tokens=True).input_ids[1:-1] != ids("the </s>")
    assert small(split_special_tokens=True)("the </s>").input_ids[1:-1] != ids("the </s>")
    assert TOKENIZER("the </s>").input_ids == ids("<s> the </s> </s>")  # a call leaves no trace


@pytest.mark.parametrize(("kind", "library"), [("pt", torch), ("np", numpy), (TensorType.NUMPY, numpy)])
def test_tensors(kind: str, library: Any) -> None:
    single = TOKENIZER("the cat", return_tensors=kind)
    assert single.input_ids.tolist() == [ids("<s> the cat </s>")]
    batch = TOKENIZER(["the", "the cat"], padding=True, return_tensors=kind, return_length=True)
    assert batch.input_ids.shape == (2, 4)
    assert batch.length.tolist() == [4, 4]
    assert all(value.dtype == library.int64 for value in batch.values())


@pytest.mark.parametrize(("kind", "library"), [("pt", torch), ("np", numpy)])
def test_an_empty_batch(kind: str, library: Any) -> None:
    assert TOKENIZER([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    encoded = TOKENIZER([], padding=True, truncation=True, max_length=4, return_tensors=kind)
    assert all(value.dtype == library.int64 for value in encoded.values())
    assert all(tuple(value.shape) == (0, 0) for value in encoded.values())


def test_rows_of_different_lengths_are_no_tensor() -> None:
    with pytest.raises(ValueError, match=r"input_ids: rows of 3 to 4 items .* padding=True"):
        TOKENIZER(["the", "the cat"], return_tensors="pt")
    ragged = TOKENIZER(["the", "the cat"], return_tensors="np").input_ids
    assert [row.tolist() for row in ragged] == [ids("<s> the </s>"), ids("<s> the cat </s>")]


@pytest.mark.parametrize(("kind", "module"), [("pt", "torch"), ("np", "numpy")])
def test_a_missing_library_is_named(kind: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"""
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == {module!r} else find(name, *rest)
from tokenizers import Tokenizer, models
from formers import TokenizersBackend
tokenizer = TokenizersBackend(tokenizer_object=Tokenizer(models.WordLevel({{"a": 0}})))
try:
    tokenizer("a", return_tensors={kind!r})
except ImportError as error:
    print(error)
"""
    assert f"pip install 'formers[{module}]'" in python(code).stdout


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((None,), {}, "text=None"),
        ((3,), {}, "text of type int, 3"),
        ((b"the",), {}, "text of type bytes"),
        (([3],), {}, r"text\[0\]: int 3; expected a string"),
        ((["the", None],), {}, r"text\[1\]: NoneType None"),
        (([("a", "b"), ("a", "b", "c")],), {}, r"text\[1\]: 3 texts"),
        (([("a", 5)],), {}, r"text\[0\]: item 1 of the pair: int 5"),
        (("the", ["a"]), {}, "text_pair: list"),
        ((["the"], "a"), {}, "text_pair of type str"),
        ((["the"], ["a", "b"]), {}, "text has 1 items, but text_pair has 2"),
        (("the",), {"is_split_into_words": True}, "text of type str"),
        (([["the", 1]],), {"is_split_into_words": True}, r"text\[0\]: word 1: int 1"),
        (("x\ud800y",), {}, r"text: lone surrogate '\\ud800' at index 1"),
        ((["the", "x\udfff"],), {}, r"text\[1\]: lone surrogate '\\udfff' at index 1"),
        (("the",), {"padding": "longer"}, "padding='longer': expected one of 'longest', 'max_length'"),
        (("the",), {"padding": None}, "padding=None"),
        (("the",), {"padding": True, "padding_side": "up"}, "padding_side='up': expected 'left' or 'right'"),
        (("the",), {"truncation": "middle"}, "truncation='middle'"),
        (
            ("the",),
            {"truncation": True, "max_length": -1},
            "max_length=-1: expected a whole number of at least 0",
        ),
        (("the",), {"truncation": True, "max_length": 4.0}, r"max_length=4\.0: expected a whole number"),
        (
            ("the",),
            {"truncation": True, "max_length": 1},
            "max_length=1 has no room for the 2 special tokens",
        ),
        (
            ("a", "b"),
            {"truncation": True, "max_length": 2},
            "max_length=2 has no room for the 3 special tokens",
        ),
        (("the",), {"truncation": True, "max_length": 9, "stride": -1}, "stride=-1"),
        (("the",), {"truncation": True, "max_length": 5, "stride": 3}, "stride=3 is too large"),
        (("the",), {"padding": True, "pad_to_multiple_of": -2}, "pad_to_multiple_of=-2"),
        (
            ("the",),
            {"padding": True, "pad_to_multiple_of": 8, "truncation": True, "max_length": 6},
            "pad_to_multiple_of=8: rows are also cut to max_length=6",
        ),
        ((LONG,), {"truncation": "only_second", "max_length": 5}, "Second sequence not provided"),
        (("the",), {"return_tensors": "tf"}, "return_tensors='tf': expected one of 'pt', 'np'"),
    ],
)
def test_bad_input(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        TOKENIZER(*arguments, **options)
    assert isinstance(caught.value, TextInputError)
    assert TOKENIZER("the").input_ids == ids("<s> the </s>")


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(TypeError, match="truncate"):
        TOKENIZER("the", truncate=True)  # type: ignore[call-arg]


def test_padding_without_a_padding_token() -> None:
    tokenizer = small(pad_token=None)
    with pytest.raises(ValueError, match="no padding token"):
        tokenizer("the", padding=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 4}, "without truncation"),
        ({"truncation": True}, "nothing is cut"),
        ({"padding": "max_length"}, "nothing is padded"),
        ({"padding": True, "max_length": 4}, "has no effect"),
    ],
)
def test_notices_come_once(options: dict[str, Any], message: str) -> None:
    tokenizer = small()
    with pytest.warns(TokenizerWarning, match=message):
        tokenizer("the cat sat", **options)
    tokenizer("the cat sat", **options)


def test_a_row_that_is_too_long_for_the_model() -> None:
    with pytest.warns(TokenizerWarning, match="a row of 12 tokens is longer than the 5"):
        small(model_max_length=5)(["a", LONG])
    small(model_max_length=5)(LONG, verbose=False)


@given(st.lists(TEXTS, min_size=1, max_size=5), st.sampled_from(["left", "right"]))
def test_batch_mates_and_padding_never_change_a_row(texts: list[str], side: str) -> None:
    encoded = TOKENIZER(texts, padding=True, padding_side=side)
    for text, row, mask in zip(texts, encoded.input_ids, encoded.attention_mask, strict=True):
        assert [token for token, real in zip(row, mask, strict=True) if real] == TOKENIZER(text).input_ids


@given(TEXTS, st.integers(3, 12), st.integers(0, 3))
def test_pieces_cover_a_text(text: str, length: int, stride: int) -> None:
    if stride >= length - 2:
        return
    whole = TOKENIZER(text, add_special_tokens=False).input_ids
    pieces = TOKENIZER(
        text, truncation=True, max_length=length, stride=stride, return_overflowing_tokens=True
    ).input_ids
    joined = pieces[0][1:-1]
    for piece in pieces[1:]:
        joined += piece[1 + stride : -1]
    assert joined == whole
    assert all(len(piece) <= length for piece in pieces)


def test_arguments_in_a_mapping_win() -> None:
    wanted: dict[str, Any] = {"padding": "max_length", "max_length": 5, "add_special_tokens": False}
    assert TOKENIZER("the cat", max_length=3, tokenizer_kwargs=wanted) == TOKENIZER("the cat", **wanted)
    assert TOKENIZER("the", "a", tokenizer_kwargs={"split_special_tokens": True}).input_ids == ids(
        "<s> the </s> a </s>"
    )
    assert TOKENIZER("the", tokenizer_kwargs={}) == TOKENIZER("the")
    with pytest.raises(TypeError, match="truncate"):
        TOKENIZER("the", tokenizer_kwargs={"truncate": True})
    with pytest.raises(TextInputError, match="padding='up'"):
        TOKENIZER("the", tokenizer_kwargs={"padding": "up"})
