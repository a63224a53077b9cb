"""From measurements to the rows of a table."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from formers.kernels import tuning
from formers.kernels.tables import Tiles, TunedTable
from formers.kernels.tuning import Measured, Problem, candidates, measure, merged, rows_of

SMALL, LARGE = Tiles((("BLOCK_Q", 32),), 4, 2), Tiles((("BLOCK_Q", 128),), 8, 3)
HALF = ["float16", "bfloat16"]


def problem(length: int = 512, **conditions: Any) -> Problem:
    conditions = {"dtype": HALF, "head_dim": 64, "max_length": length, **conditions}
    return Problem("forward", conditions, (SMALL, LARGE), lambda tiles: (torch.ones(2),), flops=1e9)


def measured(best: Tiles, length: int) -> Measured:
    return Measured(problem(length), best, {SMALL: 0.5, LARGE: 0.25}, {})


def test_every_combination() -> None:
    found = list(candidates([{"BLOCK_Q": 32}, {"BLOCK_Q": 64}], (4, 8), (2, 3)))
    assert len(found) == 8
    assert found[0] == Tiles((("BLOCK_Q", 32),), 4, 2)


def test_measured_rows_serve_what_they_were_measured_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    known = [
        {"op": "forward", "backend": "interpreter", "blocks": {"BLOCK_Q": 16}},
        {"op": "forward", "dtype": "float32", "blocks": {"BLOCK_Q": 64}},
        {"op": "forward", "blocks": {"BLOCK_Q": 256}},
    ]
    rows = merged(known, rows_of([measured(SMALL, 2048), measured(LARGE, 512)]))
    table = TunedTable(rows)
    call: dict[str, Any] = {"dtype": torch.bfloat16, "head_dim": 64, "max_length": 512}
    assert table.tiles("forward", **call) == LARGE
    assert table.tiles("forward", **{**call, "max_length": 513}) == SMALL
    assert table.tiles("forward", **{**call, "max_length": 4096})["BLOCK_Q"] == 256
    assert table.tiles("forward", **{**call, "dtype": torch.float32})["BLOCK_Q"] == 64
    again = merged(rows, rows_of([measured(SMALL, 512)]))
    assert len(again) == len(rows)
    assert TunedTable(again).tiles("forward", **call) == SMALL


def test_the_report_is_in_order_of_time() -> None:
    text = str(Measured(problem(), LARGE, {SMALL: 0.5, LARGE: 0.25}, {Tiles(()): "too large"}))
    assert text.index("0.2500 ms, 4 TFLOP/s") < text.index("0.5000 ms, 2 TFLOP/s") < text.index("too large")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that takes as many milliseconds as the result says."""
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(tuning, "_milliseconds", lambda run: float(run()[0]))


def timed(results: dict[Tiles, Any]) -> Problem:
    def run(tiles: Tiles) -> tuple[torch.Tensor]:
        if isinstance(results[tiles], Exception):
            raise results[tiles]
        return (torch.tensor(results[tiles]),)

    return Problem("forward", {}, tuple(results), run)


@pytest.mark.usefixtures("clock")
def test_the_fastest_of_the_right_ones_wins() -> None:
    wrong, broken = Tiles((("BLOCK_Q", 16),)), Tiles((("BLOCK_Q", 64),))
    found = measure(
        timed({SMALL: 1.001, LARGE: 1.0, wrong: 0.1, broken: RuntimeError("shared memory")}), rounds=3
    )
    assert found.best == LARGE
    assert set(found.milliseconds) == {SMALL, LARGE}
    assert "differ by" in found.refused[wrong]
    assert found.refused[broken] == "RuntimeError: shared memory"


@pytest.mark.usefixtures("clock")
def test_nothing_runs() -> None:
    with pytest.raises(RuntimeError, match="No choice of tiles for forward runs here"):
        measure(timed({SMALL: ValueError("no")}))
