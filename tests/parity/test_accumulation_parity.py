"""The table of docs/accumulation.md says what is measured: gradients over steps, of formers and of transformers."""

from __future__ import annotations

import re
from typing import Any

import accumulation_table
import pytest
from accumulation import SPLITS, Head, heads

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore:BertLMHeadModel predicts")]

QUICK = ("BertForMaskedLM", "GPT2LMHeadModel", "T5ForConditionalGeneration")
HEADS = [
    pytest.param(head, marks=[] if head.name in QUICK else pytest.mark.slow, id=head.name)
    for head in heads()
    if head.cls.__name__.startswith(("Bert", "GPT2", "T5"))
]


def written() -> dict[str, list[list[float]]]:
    """For each head the three figures of each split."""
    rows = re.findall(
        r"^\| `(\w+)`(.*?) \| (.*) \|$", accumulation_table.PAGE.read_text("utf-8"), re.MULTILINE
    )
    return {
        name + problem: [[float(figure) for figure in cell.split(" / ")] for cell in cells.split(" | ")]
        for name, problem, cells in rows
    }


@pytest.mark.parametrize("head", HEADS)
def test_a_row_is_what_is_measured(oracle: Any, head: Head) -> None:
    row = written()[head.name]
    measured = accumulation_table.measure(oracle, head)
    assert list(measured) == list(SPLITS)
    for figures, errors in zip(row, measured.values(), strict=True):
        assert errors[0] < accumulation_table.ROUNDING
        for figure, error in zip(figures, errors, strict=True):
            assert figure == pytest.approx(error, rel=0.06, abs=1e-5)


def test_every_head_has_a_row(oracle: Any) -> None:
    assert list(written()) == [head.name for head in accumulation_table.heads(oracle)]
