"""Pairs of segments: half of them follow each other, and none is made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formers import ConfigValidationError, TextInputError
from formers_bert import BertTokenizer, sentence_pairs

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{number}" for number in range(2000)]
TOKENIZER = BertTokenizer({word: index for index, word in enumerate([*SPECIAL, *WORDS])})


def documents(lengths: list[list[int]]) -> list[list[str]]:
    """Sentences of so many words, of which none occurs twice."""
    words = iter(WORDS)
    return [[" ".join(next(words) for _ in range(length)) for length in document] for document in lengths]


def pieces(pair: dict[str, Any]) -> tuple[list[int], list[int]]:
    rows = zip(pair["input_ids"], pair["token_type_ids"], pair["special_tokens_mask"], strict=True)
    first: list[int] = []
    second: list[int] = []
    for token, kind, special in rows:
        if not special:
            (second if kind else first).append(token - len(SPECIAL))
    return first, second


LENGTHS = st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=2, max_size=6).filter(
    lambda texts: sum(any(text) for text in texts) > 1
)


@settings(deadline=None)
@given(LENGTHS, st.integers(5, 40), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 2**32))
def test_segments_are_stretches_of_text(
    lengths: list[list[int]], longest: int, short: float, seed: int
) -> None:
    texts = documents(lengths)
    home = [index for index, document in enumerate(lengths) for _ in range(sum(document))]
    for pair in sentence_pairs(TOKENIZER, texts, longest, short, seed):
        first, second = pieces(pair)
        assert first
        assert second
        assert len(pair["input_ids"]) <= longest
        assert len(pair["attention_mask"]) == len(pair["input_ids"])
        for segment in (first, second):  # one word behind the other, of one document
            assert segment == list(range(segment[0], segment[0] + len(segment)))
            assert len({home[word] for word in segment}) == 1
        if pair["next_sentence_label"] == 0:
            assert home[first[0]] == home[second[0]]
            assert second[0] > first[-1]
        else:
            assert home[first[0]] != home[second[0]]


def test_half_of_the_pairs_are_consecutive() -> None:
    random = np.random.default_rng(0)
    texts = [
        [f"w{random.integers(2000)} w{random.integers(2000)}" for _ in range(random.integers(2, 60))]
        for _ in range(120)
    ]
    labels = [pair["next_sentence_label"] for pair in sentence_pairs(TOKENIZER, texts, 32, seed=0)]
    count = len(labels)
    assert count > 400
    assert abs(sum(labels) - count / 2) < 5 * (count / 4) ** 0.5


def test_all_text_is_used_where_pairs_are_consecutive() -> None:
    texts = documents([[3] * 20, [3] * 20])
    used: set[int] = set()
    for seed in range(30):
        for pair in sentence_pairs(TOKENIZER, texts, 27, 0.0, seed):
            first, second = pieces(pair)
            used |= {*first, *second}
    assert used == set(range(120))


def test_pairs_are_long_unless_short_ones_are_wanted() -> None:
    texts = documents([[4] * 100, [4] * 100])
    pairs = list(sentence_pairs(TOKENIZER, texts, 43, 0.0, seed=0))
    consecutive = [len(pair["input_ids"]) for pair in pairs if pair["next_sentence_label"] == 0]
    assert sum(length < 43 for length in consecutive) <= 2  # the last of each document
    assert len(list(sentence_pairs(TOKENIZER, texts, 43, 1.0, seed=0))) > 1.3 * len(pairs)


def test_a_seed_repeats_itself() -> None:
    texts = documents([[3] * 20, [3] * 20])
    first, again, other = (list(sentence_pairs(TOKENIZER, texts, 24, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 4}, "max_length=4: expected at least 5"),
        ({"max_length": 4.5}, "max_length=4.5"),
        ({"short_probability": 2}, "short_probability=2"),
        ({"seed": "a"}, "seed='a'"),
    ],
)
def test_wrong_settings_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigValidationError, match=message):
        sentence_pairs(TOKENIZER, documents([[1], [1]]), **options)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "0 of 0 documents"),
        ([["w1"], [], [""]], "1 of 3 documents have a token"),
        (["w1", "w2"], r"documents\[0\]='w1': expected a list of sentences"),
        ([["w1"], ["w2", 3]], r"documents\[1\]="),
    ],
)
def test_wrong_documents_are_named(texts: Any, message: str) -> None:
    with pytest.raises(TextInputError, match=message):
        sentence_pairs(TOKENIZER, texts)
