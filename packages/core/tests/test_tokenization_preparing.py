from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_tokenizer import IDS, small

from formers.errors import TextInputError, TokenizerWarning

TOKENIZER = small()
LEFT = small(truncation_side="left")
BEGIN, END, PAD = IDS["<s>"], IDS["</s>"], IDS["<pad>"]
FIRST, SECOND = [4, 5, 6, 7, 8, 9], [10, 11, 12]
STRATEGIES = ["longest_first", "only_first", "only_second", "do_not_truncate"]
IDS_OF_TEXT = st.lists(st.integers(4, 16), max_size=8)


def test_one_row() -> None:
    assert TOKENIZER.prepare_for_model(FIRST) == {
        "input_ids": [BEGIN, *FIRST, END],
        "token_type_ids": [0] * 8,
        "attention_mask": [1] * 8,
    }


def test_a_pair_with_everything() -> None:
    row = TOKENIZER.prepare_for_model(
        FIRST,
        tuple(SECOND),
        truncation="only_first",
        max_length=10,
        stride=1,
        padding="max_length",
        pad_to_multiple_of=5,
        padding_side="left",
        return_overflowing_tokens=True,
        return_special_tokens_mask=True,
        return_length=True,
    )
    assert row == {
        "input_ids": [BEGIN, *FIRST[:4], END, *SECOND, END],
        "token_type_ids": [0] * 6 + [1] * 4,
        "special_tokens_mask": [1, 0, 0, 0, 0, 1, 0, 0, 0, 1],
        "attention_mask": [1] * 10,
        "overflowing_tokens": FIRST[3:],
        "num_truncated_tokens": 2,
        "length": 10,
    }


def test_it_does_what_a_call_does() -> None:
    texts = ("the cat sat on a mat .", "word words")
    for pair in ((texts[0], None), texts):
        ids = [None if text is None else TOKENIZER(text, add_special_tokens=False).input_ids for text in pair]
        assert ids[0] is not None
        for options in (
            {},
            {"padding": "max_length", "max_length": 20},
            {"truncation": True, "max_length": 5},
            {"add_special_tokens": False},
            {
                "return_special_tokens_mask": True,
                "return_attention_mask": False,
                "return_token_type_ids": False,
            },
        ):
            arguments: dict[str, Any] = options
            assert TOKENIZER.prepare_for_model(*ids, **arguments).data == TOKENIZER(*pair, **arguments).data  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "library"), [("pt", torch), ("np", numpy)])
def test_tensors(kind: str, library: Any) -> None:
    flat = TOKENIZER.prepare_for_model(FIRST, return_tensors=kind)
    assert flat.input_ids.tolist() == [BEGIN, *FIRST, END]
    batch = TOKENIZER.prepare_for_model(
        FIRST, return_tensors=kind, prepend_batch_axis=True, return_length=True
    )
    assert batch.input_ids.tolist() == [[BEGIN, *FIRST, END]]
    assert batch.length.tolist() == [8]
    assert batch.input_ids.dtype == library.int64


def test_ids_of_arrays() -> None:
    expected = TOKENIZER.prepare_for_model(FIRST)
    assert TOKENIZER.prepare_for_model(numpy.array(FIRST)) == expected  # type: ignore[arg-type]
    assert TOKENIZER.prepare_for_model(torch.tensor(FIRST)) == expected  # type: ignore[arg-type]
    assert TOKENIZER.prepare_for_model([]) == TOKENIZER("")


def test_notices() -> None:
    tokenizer = small(model_max_length=5)
    tokenizer.prepare_for_model(FIRST, verbose=False)
    with pytest.warns(TokenizerWarning, match="a row of 8 tokens is longer than the 5"):
        tokenizer.prepare_for_model(FIRST)
    assert tokenizer.prepare_for_model(FIRST, truncation=True).input_ids == [BEGIN, *FIRST[:3], END]
    with pytest.warns(TokenizerWarning, match="without truncation"):
        assert len(small().prepare_for_model(FIRST, truncation=None, max_length=4).input_ids) == 4


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("the",), {}, "ids of type str, 'the': expected a list of ids"),
        ((None,), {}, "ids of type NoneType"),
        (([4, "5"],), {}, r"ids\[1\]='5': expected a whole number"),
        (([4, True],), {}, r"ids\[1\]=True"),
        (([4, -1],), {}, r"ids\[1\]=-1: expected an id of at least 0"),
        (([4], [4, 1.5]), {}, r"pair_ids\[1\]=1\.5"),
        (
            (FIRST,),
            {"truncation": True, "max_length": 1},
            "max_length=1 has no room for the 2 special tokens",
        ),
        ((FIRST,), {"truncation": True, "max_length": -1}, "max_length=-1"),
        ((FIRST,), {"truncation": "only_second", "max_length": 4}, "only_second' needs pair_ids"),
        (
            (FIRST, SECOND),
            {"truncation": "only_second", "max_length": 6},
            "6 tokens are to be removed, but .* has 3",
        ),
        (
            (FIRST, SECOND),
            {"truncation": True, "max_length": 6, "return_overflowing_tokens": True},
            "use 'only_first' or 'only_second'",
        ),
        ((FIRST,), {"return_tensors": "tf"}, "return_tensors='tf': expected one of 'pt', 'np'"),
        ((FIRST,), {"padding": "max_length", "max_length": 9, "padding_side": "up"}, "padding_side='up'"),
    ],
)
def test_bad_input(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(TextInputError, match=message):
        TOKENIZER.prepare_for_model(*arguments, **options)


def test_truncating() -> None:
    assert TOKENIZER.truncate_sequences(FIRST, None, 2) == (FIRST[:4], None, FIRST[4:])
    assert TOKENIZER.truncate_sequences(FIRST, None, 2, stride=1) == (FIRST[:4], None, FIRST[3:])
    assert LEFT.truncate_sequences(FIRST, None, 2, stride=1) == (FIRST[2:], None, FIRST[:3])
    assert TOKENIZER.truncate_sequences(FIRST, SECOND, 2, "only_second") == (FIRST, SECOND[:1], SECOND[1:])
    assert TOKENIZER.truncate_sequences(FIRST, SECOND, 5) == (FIRST[:2], SECOND[:2], [])
    assert TOKENIZER.truncate_sequences(FIRST, SECOND, 4) == (FIRST[:3], SECOND[:2], [])
    assert LEFT.truncate_sequences(FIRST, SECOND, 4) == (FIRST[3:], SECOND[1:], [])
    assert TOKENIZER.truncate_sequences(FIRST, SECOND, -3) == (FIRST, SECOND, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_tokens_to_remove": 1.5}, r"num_tokens_to_remove=1\.5"),
        ({"truncation_strategy": "middle"}, "truncation_strategy='middle': expected one of 'only_first'"),
        ({"stride": -1}, "stride=-1"),
    ],
)
def test_truncating_badly(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TextInputError, match=message):
        TOKENIZER.truncate_sequences(FIRST, **options)


@given(IDS_OF_TEXT, st.none() | IDS_OF_TEXT, st.integers(0, 20), st.sampled_from(STRATEGIES), st.booleans())
def test_laws_of_truncation(
    first: list[int], second: list[int] | None, count: int, strategy: str, left: bool
) -> None:
    kept, kept_second, removed = (LEFT if left else TOKENIZER).truncate_sequences(
        first, second, count, strategy
    )
    for before, after in ((first, kept), (second or [], kept_second or [])):
        assert before[len(before) - len(after) :] == after if left else before[: len(after)] == after
    lost = len(first) - len(kept) + len(second or ()) - len(kept_second or ())
    assert lost <= count
    if strategy == "longest_first":
        assert lost == min(count, len(first) + len(second or ()))
    if removed:
        assert len(removed) == lost
