"""The masking collator beside that of transformers, with the real vocabulary: the same arguments, form and shares."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from formers import AutoTokenizer
from formers_bert import DataCollatorForLanguageModeling

pytestmark = pytest.mark.parity

WORDS = [
    "unbelievably",
    "small",
    "cats",
    "are",
    "sitting",
    "on",
    "antidisestablishmentarian",
    "mats",
    "in",
    "Zürich",
]
ROUNDS = 40


@pytest.fixture(scope="module")
def tokenizers(oracle: Any, minilm: Path) -> tuple[Any, Any]:
    return AutoTokenizer.from_pretrained(minilm), oracle.AutoTokenizer.from_pretrained(minilm)


def features(tokenizer: Any, **options: Any) -> list[dict[str, Any]]:
    rows = tokenizer([" ".join(WORDS * times) for times in range(1, 12)], **options)
    return [{name: column[index] for name, column in rows.items()} for index in range(11)]


def shares(collate: Any, rows: list[dict[str, Any]], mask: int) -> tuple[int, int, int, int]:
    """Tokens that could be selected, that are, that become the mask, that stay."""
    counts = torch.zeros(4, dtype=torch.int64)
    ordinary = sum(len(row["input_ids"]) - 2 for row in rows)
    for _ in range(ROUNDS):
        batch = collate([dict(row) for row in rows])
        chosen: Tensor = batch["labels"] != -100
        masked = chosen & (batch["input_ids"] == mask)
        kept = chosen & (batch["input_ids"] == batch["labels"])
        counts += torch.tensor([ordinary, chosen.sum(), masked.sum(), kept.sum()])
    return tuple(counts.tolist())


def close(one: int, total: int, other: int, other_total: int) -> bool:
    """Whether two shares lie within five standard deviations of their difference."""
    pooled = (one + other) / (total + other_total)
    deviation = (pooled * (1 - pooled) * (1 / total + 1 / other_total)) ** 0.5
    return abs(one / total - other / other_total) <= 5 * deviation


def test_arguments(oracle: Any) -> None:
    ours, theirs = (
        inspect.signature(collator).parameters
        for collator in (DataCollatorForLanguageModeling, oracle.DataCollatorForLanguageModeling)
    )
    assert [(name, one.default) for name, one in ours.items()] == [
        (name, one.default) for name, one in theirs.items()
    ]


@pytest.mark.parametrize(
    "options", [{}, {"mlm_probability": 0.4, "mask_replace_prob": 0.5, "random_replace_prob": 0.3}]
)
@pytest.mark.parametrize("marked", [False, True])
def test_shares(oracle: Any, tokenizers: tuple[Any, Any], options: dict[str, float], marked: bool) -> None:
    ours, theirs = (
        shares(
            collator(tokenizer, seed=0, **options),
            features(tokenizer, return_special_tokens_mask=marked),
            tokenizer.mask_token_id,
        )
        for collator, tokenizer in zip(
            (DataCollatorForLanguageModeling, oracle.DataCollatorForLanguageModeling),
            tokenizers,
            strict=True,
        )
    )
    assert ours[0] == theirs[0]
    assert close(ours[1], ours[0], theirs[1], theirs[0])
    assert close(ours[2], ours[1], theirs[2], theirs[1])
    assert close(ours[3], ours[1], theirs[3], theirs[1])


@pytest.mark.parametrize("options", [{}, {"pad_to_multiple_of": 8}, {"return_tensors": "np"}])
def test_form(oracle: Any, tokenizers: tuple[Any, Any], options: dict[str, Any]) -> None:
    ours, theirs = (
        collator(tokenizer, **options)(features(tokenizer, return_special_tokens_mask=True))
        for collator, tokenizer in zip(
            (DataCollatorForLanguageModeling, oracle.DataCollatorForLanguageModeling),
            tokenizers,
            strict=True,
        )
    )
    assert set(ours) == set(theirs)
    for name in ours:
        assert type(ours[name]) is type(theirs[name])
        assert (ours[name].shape, ours[name].dtype) == (theirs[name].shape, theirs[name].dtype), name
    assert (ours["attention_mask"] == theirs["attention_mask"]).all()


def test_labels_of_a_decoder(oracle: Any, tokenizers: tuple[Any, Any]) -> None:
    ours, theirs = (
        collator(tokenizer, mlm=False)(features(tokenizer))
        for collator, tokenizer in zip(
            (DataCollatorForLanguageModeling, oracle.DataCollatorForLanguageModeling),
            tokenizers,
            strict=True,
        )
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
