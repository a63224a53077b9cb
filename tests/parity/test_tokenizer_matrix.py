"""Every call form with every option of padding, truncation and overflow, against transformers 5.23.0.

Each combination is tried on the next strings of the adversarial corpus. What transformers refuses, formers must refuse
with a ``ValueError``; all else must be equal: names and order of the fields, values and types.
"""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from adversarial import corpus

from formers_bert import BertTokenizer

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

TEXTS = corpus()
SHORT = [
    text for text in TEXTS if len(text) <= 120
]  # a pair of long texts has thousands of overlapping pieces
WORDS = [text.split() for text in SHORT if text.split()]
Feed = Iterator[Any]
Record = Callable[[str, object], None]

SHAPES: dict[str, Callable[[Feed], tuple[Any, ...]]] = {
    "text": lambda feed: (next(feed),),
    "batch": lambda feed: (take(feed, 3),),
    "pair": lambda feed: (next(feed), next(filter(None, feed))),
    "two lists": lambda feed: (take(feed, 3), take(feed, 3)),
    "list of pairs": lambda feed: ([(next(feed), next(feed)) for _ in range(3)],),
}
AXES: list[list[dict[str, Any]]] = [
    [{"padding": value} for value in (False, True, "longest", "max_length", "do_not_pad")],
    [
        {"truncation": value}
        for value in (None, False, True, "longest_first", "only_first", "only_second", "do_not_truncate")
    ],
    [
        {},
        {"max_length": 16},
        {"max_length": 16, "pad_to_multiple_of": 8},
        {"max_length": 3},
        {"pad_to_multiple_of": 5},
        {"max_length": 16, "return_overflowing_tokens": True},
        {"max_length": 16, "stride": 3, "return_overflowing_tokens": True},
        {"max_length": 7, "stride": 1, "return_overflowing_tokens": True, "pad_to_multiple_of": 7},
        {"stride": 2, "return_overflowing_tokens": True},
    ],
    [{"padding_side": "left"}, {}],
    [{"add_special_tokens": False}, {}],
]
FIELDS: list[dict[str, Any]] = [
    {},
    {
        "return_offsets_mapping": True,
        "return_special_tokens_mask": True,
        "return_length": True,
        "return_token_type_ids": True,
        "return_attention_mask": True,
    },
    {"return_special_tokens_mask": True, "return_length": True, "return_tensors": "np"},
    {"return_offsets_mapping": True, "return_tensors": "pt"},
    {"return_token_type_ids": False, "return_attention_mask": False, "return_tensors": "pt"},
    {"split_special_tokens": True},
]


def take(feed: Feed, number: int) -> list[Any]:
    return list(itertools.islice(feed, number))


def comparable(value: Any) -> Any:
    """A value with its kind; of arrays also that of their numbers."""
    if not hasattr(value, "tolist"):
        return value
    items = value.tolist() if str(value.dtype) != "object" else [comparable(item) for item in value]
    return type(value).__name__, str(value.dtype), tuple(value.shape), items


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, or the exception."""
    try:
        found = call()
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return error
    return [(name, comparable(value)) for name, value in found.items()] if hasattr(found, "items") else found


def loses_tokens(expected: Any) -> bool:
    """Whether torch, asked by transformers, made a tensor without columns of rows whose first is empty."""
    kind, dtype, shape, _ = expected[0][1] if isinstance(expected[0][1], tuple) else (None, None, (), None)
    return (kind, dtype, shape[1:]) == ("Tensor", "torch.float32", (0,))


@pytest.fixture(scope="module")
def theirs(minilm: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(minilm)


@pytest.fixture(scope="module")
def ours(minilm: Path) -> BertTokenizer:
    return BertTokenizer.from_pretrained(minilm)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    transformers.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("words", [False, True], ids=["texts", "words"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_combination(shape: str, words: bool, side: str, minilm: Path, record_property: Record) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(minilm, truncation_side=side)
    ours = BertTokenizer.from_pretrained(minilm, truncation_side=side)
    chance = random.Random(f"{shape} {words} {side}")
    feed = itertools.cycle(chance.sample(WORDS if words else SHORT, 1500))
    combinations = [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*AXES)]
    equal = refused = 0
    for combination in combinations:
        form = {**combination, **chance.choice(FIELDS), "is_split_into_words": words}
        texts = SHAPES[shape](feed)
        expected, actual = (outcome(partial(t, *texts, **form)) for t in (theirs, ours))
        if isinstance(expected, BaseException) or loses_tokens(expected):
            assert isinstance(actual, ValueError), (texts, form, expected, actual)
            refused += 1
        else:
            assert actual == expected, (texts, form)
            equal += 1
    record_property("comparisons", equal)
    print(f"{equal} equal, {refused} refused by both")
    assert equal + refused == len(combinations) == 1260
    assert equal > 800


CALLS: dict[str, Callable[[Any, str, str], Any]] = {
    "call": lambda t, a, b: t(
        a, return_offsets_mapping=True, return_special_tokens_mask=True, return_length=True
    ),
    "pair": lambda t, a, b: t(a, b, return_offsets_mapping=True, return_special_tokens_mask=True),
    "tensors": lambda t, a, b: t(
        a, padding="max_length", truncation=True, max_length=16, return_tensors="pt"
    ),
    "encode": lambda t, a, b: t.encode(a),
    "encode a pair": lambda t, a, b: t.encode(a, b, add_special_tokens=False, truncation=True, max_length=9),
    "encode tensors": lambda t, a, b: t.encode(a, return_tensors="np").tolist(),
    "tokenize": lambda t, a, b: t.tokenize(a),
    "tokenize a pair": lambda t, a, b: t.tokenize(a, b, add_special_tokens=True),
    "tokens to ids": lambda t, a, b: t.convert_tokens_to_ids([*t.tokenize(a), a, b]),
    "a token to its id": lambda t, a, b: t.convert_tokens_to_ids(a),
    "ids to tokens": lambda t, a, b: t.convert_ids_to_tokens(t.encode(a)),
    "ids to tokens, skipping": lambda t, a, b: t.convert_ids_to_tokens(t.encode(a), skip_special_tokens=True),
    "tokens to text": lambda t, a, b: t.convert_tokens_to_string(t.tokenize(a)) if t.tokenize(a) else "",
    "decode": lambda t, a, b: t.decode(t.encode(a, b)),
    "decode, skipping": lambda t, a, b: t.decode(t.encode(a), skip_special_tokens=True),
    "decode, clean": lambda t, a, b: t.decode(t.encode(a), clean_up_tokenization_spaces=True),
    "special mask": lambda t, a, b: t.get_special_tokens_mask(t.encode(a), already_has_special_tokens=True),
    "pad": lambda t, a, b: t.pad(
        [t(a), t(b)], pad_to_multiple_of=4, padding_side="left", return_tensors="pt"
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_string(name: str, theirs: Any, ours: Any, record_property: Record) -> None:
    call = CALLS[name]
    for first, second in zip(TEXTS, [*TEXTS[7:], *TEXTS[:7]], strict=True):
        expected, actual = (outcome(partial(call, t, first, second or "x")) for t in (theirs, ours))
        assert not isinstance(expected, BaseException)
        assert actual == expected, (first, second)
    record_property("comparisons", len(TEXTS))
    assert len(TEXTS) >= 2000


def test_a_pair_with_an_empty_text(theirs: Any, ours: Any) -> None:
    """A difference on purpose: alone, transformers takes it for one text; in a batch, for a pair."""
    assert theirs("a", "")["input_ids"] == theirs("a")["input_ids"]
    assert [ours("a", "")["input_ids"]] == ours(["a"], [""])["input_ids"] == theirs(["a"], [""])["input_ids"]


def test_every_character_of_unicode(theirs: Any, ours: Any) -> None:
    codes = [code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    rows = [
        " ".join(f"a{chr(code)}b" for code in codes[start : start + 256])
        for start in range(0, len(codes), 256)
    ]
    for start in range(0, len(rows), 512):
        part = rows[start : start + 512]
        expected, actual = (t(part, return_offsets_mapping=True, verbose=False) for t in (theirs, ours))
        assert actual["input_ids"] == expected["input_ids"]
        assert actual["offset_mapping"] == expected["offset_mapping"]
        assert ours(part, verbose=False)["input_ids"] == expected["input_ids"]  # the library's other way
        assert ours.batch_decode(actual["input_ids"]) == theirs.batch_decode(expected["input_ids"])


def places(method: str, one: Any) -> Iterator[tuple[Any, ...]]:
    """The arguments with which a method is asked, some of them out of range."""
    if method in ("tokens", "word_ids", "sequence_ids"):
        yield from ((), (0,), (1,), (2,))
    elif method.startswith("token_"):
        yield from ((row, token) for row in (0, 1) for token in range(-2, len(one["input_ids"][row]) + 1))
        yield from ((token,) for token in range(6))
    else:
        span = range(-1, 12 if method.startswith("word_") else 30)
        yield from ((row, place, sequence) for row in (0, 1) for place in span for sequence in (0, 1))
        yield from ((place,) for place in range(6))


@pytest.mark.parametrize(
    "method",
    [
        *("tokens", "word_ids", "sequence_ids", "token_to_sequence", "token_to_word", "token_to_chars"),
        *("word_to_tokens", "word_to_chars", "char_to_token", "char_to_word"),
    ],
)
def test_words_and_characters_of_tokens(method: str, theirs: Any, ours: Any, record_property: Record) -> None:
    compared = 0
    for index in range(0, len(SHORT) - 3, 12):
        pairs = [tuple(SHORT[index : index + 2]), tuple(SHORT[index + 2 : index + 4])]
        expected, actual = theirs(pairs, padding=True), ours(pairs, padding=True)
        assert (actual.is_fast, actual.n_sequences) == (expected.is_fast, expected.n_sequences)
        for arguments in places(method, expected):
            wanted, found = (outcome(partial(getattr(b, method), *arguments)) for b in (expected, actual))
            if not isinstance(wanted, BaseException):
                assert found == wanted, (pairs, arguments)
                compared += 1
            elif isinstance(found, BaseException):  # formers may know the answer where transformers fails
                assert isinstance(found, (ValueError, IndexError)), (pairs, arguments, wanted, found)
    record_property("comparisons", compared)
    assert compared >= 500


def test_decoding_in_every_form(theirs: Any, ours: Any) -> None:
    import numpy
    import torch

    chance = random.Random(3)
    rows = [[chance.randrange(len(theirs)) for _ in range(chance.randrange(1, 40))] for _ in range(500)]
    rows += theirs(TEXTS, verbose=False)["input_ids"]
    flags = [{}, {"skip_special_tokens": True}, {"clean_up_tokenization_spaces": True}]
    flags += [{"skip_special_tokens": True, "clean_up_tokenization_spaces": True}]
    for options in flags:
        expected = theirs.batch_decode(rows, **options)
        assert ours.batch_decode(rows, **options) == expected
        assert ours.decode(rows, **options) == theirs.decode(rows, **options) == expected
        for row, text in zip(rows[:600], expected, strict=False):
            for form in (
                row,
                tuple(row),
                torch.tensor(row),
                numpy.array(row),
                [torch.tensor(i) for i in row],
            ):
                assert ours.decode(form, **options) == text
    square = theirs(TEXTS[:64], padding=True, truncation=True, max_length=32, return_tensors="np")[
        "input_ids"
    ]
    for form in (square, torch.tensor(square), square.tolist(), list(square), list(torch.tensor(square))):
        assert ours.batch_decode(form) == theirs.batch_decode(form) == ours.decode(form)
    for token_id in range(0, len(theirs), 97):
        assert ours.decode(token_id) == theirs.decode(token_id)
        assert ours.convert_ids_to_tokens(token_id) == theirs.convert_ids_to_tokens(token_id)
