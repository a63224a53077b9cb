"""``prepare_for_model`` and ``truncate_sequences`` against transformers 5.23.0 and 4.53.3.

5.23.0 has them for tokenizers in Python only, and 4.53.3 for both kinds. Where either cuts less than it was asked
to, and says so in a log at most, formers raises; those cases are left out here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from formers_bert import BertTokenizer, BertTokenizerLegacy

transformers = pytest.importorskip("transformers")

FIRST, SECOND = list(range(2000, 2010)), list(range(3000, 3006))
PAIRS: list[tuple[list[int], list[int] | None]] = [
    (FIRST, None),
    (FIRST, SECOND),
    (SECOND, FIRST),
    ([], None),
    ([], []),
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"add_special_tokens": False},
    {"truncation": True, "max_length": 9},
    {"truncation": "longest_first", "max_length": 10, "truncation_side": "left"},
    {"padding": "max_length", "max_length": 24},
    {"padding": "max_length", "max_length": 24, "padding_side": "left"},
    {"padding": True, "pad_to_multiple_of": 8},
    {"padding": "max_length", "max_length": 5},
    {"padding": "max_length", "max_length": 12, "truncation": True, "return_length": True},
    {"return_tensors": "np", "prepend_batch_axis": True},
    {"return_tensors": "pt"},
    {"return_length": True, "return_token_type_ids": False, "return_attention_mask": False},
    {"return_special_tokens_mask": True},
    {"return_special_tokens_mask": True, "add_special_tokens": False},
]
OVERFLOW: list[dict[str, Any]] = [
    {"truncation": "only_first", "max_length": 12},
    {"truncation": "only_first", "max_length": 12, "stride": 2},
    {"truncation": "only_second", "max_length": 15, "stride": 3},
    {"truncation": "only_first", "max_length": 12, "stride": 9, "truncation_side": "left"},
    {"truncation": "only_second", "max_length": 15, "truncation_side": "left"},
]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def plain(encoded: Any) -> dict[str, Any]:
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in encoded.items()}


def assert_prepared_alike(ours: Any, theirs: Any) -> None:
    cases: list[tuple[Any, dict[str, Any]]] = list(product(PAIRS, OPTIONS))
    cases += [((FIRST, SECOND), {**one, "return_overflowing_tokens": True}) for one in OVERFLOW]
    cases.append(
        ((FIRST, None), {"truncation": True, "max_length": 5, "stride": 2, "return_overflowing_tokens": True})
    )
    for pair, case in cases:
        # without special tokens their types are all 0, or an error
        options = {"return_token_type_ids": case.get("add_special_tokens", True), **case}
        side = options.pop("truncation_side", "right")
        ours.truncation_side = theirs.truncation_side = side
        expected, actual = (
            theirs.prepare_for_model(*pair, **options),
            ours.prepare_for_model(*pair, **options),
        )
        assert plain(actual) == plain(expected), (pair, options)


def assert_truncated_alike(ours: Any, theirs: Any, counts: range) -> None:
    strategies = ("longest_first", "only_first", "only_second", "do_not_truncate")
    for side, pair, count, strategy, stride in product(
        ("right", "left"), PAIRS[:3], counts, strategies, (0, 2)
    ):
        ours.truncation_side = theirs.truncation_side = side
        arguments = (*pair, count, strategy, stride)
        assert ours.truncate_sequences(*arguments) == theirs.truncate_sequences(*arguments), arguments


@pytest.mark.parity
def test_version_5(minilm: Path) -> None:
    theirs = transformers.models.bert.tokenization_bert_legacy.BertTokenizerLegacy.from_pretrained(minilm)
    for ours in (BertTokenizerLegacy.from_pretrained(minilm), BertTokenizer.from_pretrained(minilm)):
        assert_prepared_alike(ours, theirs)
        assert_truncated_alike(ours, theirs, range(-2, 20))


@pytest.mark.parity_old
@pytest.mark.parametrize("kind", ["BertTokenizer", "BertTokenizerFast"])
def test_version_4(kind: str, minilm: Path) -> None:
    theirs = getattr(transformers, kind).from_pretrained(minilm)
    if kind == "BertTokenizerFast":  # which refuses to make this mask for rows without special tokens
        theirs.get_special_tokens_mask = transformers.BertTokenizer.from_pretrained(
            minilm
        ).get_special_tokens_mask
    ours = BertTokenizer.from_pretrained(minilm)
    assert_prepared_alike(ours, theirs)
    assert_truncated_alike(ours, theirs, range(-2, 6))
