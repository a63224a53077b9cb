"""Which tiles are fastest: the search behind ``tools/tune_attention.py``, for a machine with a GPU.

A package says what to try in ``kernels/tuning.py``, as a function ``problems`` that gives :class:`Problem`. Without a
GPU :func:`occupancy` at least tells which candidates fit into the registers of one.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .offline import Compiled, compiling_only
from .tables import Tiles, conditions_of

__all__ = ["Measured", "Problem", "candidates", "measure", "merged", "occupancy", "rows_of"]

_DISTANT = 2e-2  # of results of two tilings in half precision, which only a broken one exceeds


@dataclass(frozen=True)
class Problem:
    """One row to find.

    Attributes:
        op: whose tiles are looked for.
        conditions: under which the row shall serve, as :mod:`formers.kernels.tables` describes them.
        choices: the tiles to try; the first is what the table says now.
        run: launches the kernel with these tiles and returns its results.
        flops: of one run, for the report.
    """

    op: str
    conditions: Mapping[str, Any]
    choices: Sequence[Tiles]
    run: Callable[[Tiles], Sequence[Tensor]]
    flops: float = 0.0


@dataclass(frozen=True)
class Measured:
    """What a search found.

    Attributes:
        problem: whose.
        best: the fastest tiles.
        milliseconds: the median of each choice that ran, rightly.
        refused: choices that did not, each with the reason.
    """

    problem: Problem
    best: Tiles
    milliseconds: Mapping[Tiles, float]
    refused: Mapping[Tiles, str] = field(default_factory=dict)

    def __str__(self) -> str:
        conditions = " ".join(f"{name}={value}" for name, value in self.problem.conditions.items())
        lines = [f"{self.problem.op} {conditions}"]
        for tiles, time in sorted(self.milliseconds.items(), key=lambda item: item[1]):
            rate = f", {self.problem.flops / time / 1e9:.0f} TFLOP/s" if self.problem.flops else ""
            lines.append(f"    {time:8.4f} ms{rate}  {tiles.options()}")
        lines.extend(f"    refused: {reason}  {tiles.options()}" for tiles, reason in self.refused.items())
        return "\n".join(lines)


def candidates(
    blocks: Iterable[Mapping[str, int]], warps: Iterable[int], stages: Iterable[int]
) -> Iterator[Tiles]:
    """Every combination."""
    for sizes, warp, stage in itertools.product(blocks, warps, stages):
        yield Tiles(tuple(sizes.items()), warp, stage)


def occupancy(problem: Problem, capability: int = 90) -> dict[Tiles, list[Compiled] | str]:
    """What each choice becomes when it is compiled for that GPU, which need not be there; or why it cannot be."""
    found: dict[Tiles, list[Compiled] | str] = {}
    for tiles in problem.choices:
        try:
            with compiling_only(capability) as compiled:
                problem.run(tiles)
            found[tiles] = [one for one in compiled if one.name == problem.op]
        except Exception as error:  # noqa: BLE001  the compiler's own, of many kinds
            found[tiles] = f"{type(error).__name__}: {str(error)[:200]}"
    return found


def measure(problem: Problem, rounds: int = 15) -> Measured:
    """Time every choice on this machine's GPU: in turns, so that a clock that slows down slows all.

    A choice whose results differ from those of the first is refused, as is one that does not fit the GPU.

    Raises:
        RuntimeError: not even the first choice runs.
    """
    refused: dict[Tiles, str] = {}
    expected: Sequence[Tensor] | None = None
    for tiles in problem.choices:
        try:
            results = problem.run(tiles)
            torch.cuda.synchronize()
        except Exception as error:  # noqa: BLE001  too large for the GPU, or for its compiler
            refused[tiles] = f"{type(error).__name__}: {str(error)[:200]}"
            continue
        if expected is None:
            expected = results
        elif (distance := _distance(results, expected)) > _DISTANT:
            refused[tiles] = f"its results differ by {distance:.1e}"
    times: dict[Tiles, list[float]] = {tiles: [] for tiles in problem.choices if tiles not in refused}
    if not times:
        raise RuntimeError(f"No choice of tiles for {problem.op} runs here: {refused}")
    for _ in range(rounds):
        for tiles, seen in times.items():
            seen.append(_milliseconds(lambda tiles=tiles: problem.run(tiles)))  # type: ignore[misc]
    medians = {tiles: statistics.median(seen) for tiles, seen in times.items()}
    return Measured(problem, min(medians, key=lambda tiles: medians[tiles]), medians, refused)


def merged(known: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A table's rows with measured ones, which take the places of those with the same conditions.

    Rows for the interpreter stay first, the measured ones follow, the others serve what was not measured.
    """
    replaced = [conditions_of(row) for row in new]
    interpreter = [row for row in known if row.get("backend") == "interpreter"]
    others = [row for row in known if row not in interpreter and conditions_of(row) not in replaced]
    return [*interpreter, *new, *others]


def rows_of(measured: Iterable[Measured]) -> list[dict[str, Any]]:
    """Rows for a table, those with the most conditions first, then by size, so that the first that fits is right."""
    found = [
        {"op": one.problem.op, **one.problem.conditions, "blocks": dict(one.best.blocks)}
        | {"warps": one.best.warps, "stages": one.best.stages}
        for one in measured
    ]
    return sorted(
        found, key=lambda row: (row["op"], -len(row), row.get("head_dim", 0), row.get("max_length", 0))
    )


def _distance(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    errors = (
        (one.double() - other.double()).norm() / other.double().norm().clamp_min(1e-30)
        for one, other in zip(found, expected, strict=True)
    )
    return max(float(error) for error in errors)


def _milliseconds(run: Callable[[], object], repeats: int = 5) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / repeats
