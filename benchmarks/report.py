"""A measured figure beside its budget, and the table of all of them."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``formers`` and ``transformers`` are medians in ``unit``; ``ratio`` is how many times as much transformers
    takes: of the medians, or the median of the rounds' ratios where a round measures both.
    """

    name: str
    formers: float
    transformers: float | None
    ratio: float | None
    unit: str
    figure: str  # what the budget is about, in words and numbers: "+41 ms"
    budget: str
    met: bool


HEADER = ("what", "formers", "transformers", "ratio", "figure", "budget", "")


def table(rows: list[Row]) -> str:
    """The rows as text, columns aligned, each closed by whether the budget is met."""
    lines = [HEADER]
    for row in rows:
        other = "" if row.transformers is None else measured(row.transformers, row.unit)
        ratio = "" if row.ratio is None else f"{row.ratio:.2f} x"
        met = "met" if row.met else "MISSED"
        lines.append((row.name, measured(row.formers, row.unit), other, ratio, row.figure, row.budget, met))
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    text = []
    for line in lines:
        cells = [
            cell.ljust(width) if column in (0, 5) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join([text[0], "-" * max(map(len, text)), *text[1:]])


def measured(value: float, unit: str) -> str:
    """A value with its unit, to about three digits."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def environment() -> dict[str, object]:
    """What the figures depend on, without naming the machine."""
    packages = (
        "formers",
        "formers-bert",
        "formers-gpt2",
        "formers-t5",
        "torch",
        "transformers",
        "tokenizers",
        "safetensors",
    )
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in packages},
    }


def write(rows: list[Row], path: Path) -> None:
    """The rows as JSON, for comparison with later runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"environment": environment(), "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
