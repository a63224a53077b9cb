"""Writes the table of ``docs/accumulation.md``: ``python tests/parity/accumulation_table.py``.

It needs the packages of this repository and transformers 5.23.0, as ``nox -s parity`` installs them.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import accumulation
from accumulation import SPLITS, Batch, Head

PAGE = Path(__file__).parents[2] / "docs" / "accumulation.md"
ROUNDING = 1e-9
BEGIN, END = "<!-- written by tests/parity/accumulation_table.py -->\n", "<!-- end -->\n"

Errors = tuple[float, float, float]
"""Of formers, of transformers as its Trainer calls it, and of transformers as a mean of means."""


def heads(oracle: Any) -> list[Head]:
    """Those that transformers has, too."""
    return [head for head in accumulation.heads() if hasattr(oracle, head.cls.__name__)]


def measure(oracle: Any, head: Head) -> dict[str, Errors]:
    """The errors of each split."""
    torch.manual_seed(0)
    ours = head.cls(head.config()).double().eval()
    settings = getattr(oracle, type(ours.config).__name__).from_dict(ours.config.to_dict())
    theirs = getattr(oracle, head.cls.__name__)(settings).double().eval()
    theirs.load_state_dict(ours.state_dict())
    batch = accumulation.labelled_batch(head, ours.config)
    expected, wanted = accumulation.whole(ours, batch), accumulation.whole(theirs, batch)
    errors = {}
    for name, sizes in SPLITS.items():
        parts = accumulation.parts_of(batch, sizes)
        losses = (accumulation.total_loss(theirs(**part)) / len(parts) for part in parts)
        errors[name] = (
            accumulation.relative_error(accumulation.accumulated(ours, parts), expected),
            accumulation.relative_error(as_its_trainer(theirs, parts), wanted),
            accumulation.relative_error(accumulation.gradients(theirs, losses), wanted),
        )
    return errors


def as_its_trainer(theirs: Any, parts: list[Batch]) -> dict[str, torch.Tensor]:
    """The gradients of transformers where its ``Trainer`` accumulates them."""
    parameters = inspect.signature(theirs.forward).parameters.values()
    said = {}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters) and "labels" in parts[0]:
        said["num_items_in_batch"] = torch.stack([(part["labels"] != -100).sum() for part in parts]).sum()
    steps = 1 if said else len(parts)
    losses = (accumulation.total_loss(theirs(**part, **said)) / steps for part in parts)
    return accumulation.gradients(theirs, losses)


def shown(error: float) -> str:
    """Two digits; what is rounding, as 0."""
    if error != error:
        return "NaN"
    return "0" if error < ROUNDING else f"{error:.1e}" if error < 1e-3 else f"{error:.2g}"


def line(head: Head, errors: dict[str, Errors]) -> str:
    """A row of the table."""
    cells = (" / ".join(shown(error) for error in errors[name]) for name in SPLITS)
    return f"| `{head.cls.__name__}`{', ' + head.problem if head.problem else ''} | {' | '.join(cells)} |\n"


def table(oracle: Any) -> str:
    """The whole table."""
    rows = [line(head, measure(oracle, head)) for head in heads(oracle)]
    return f"| head | {' | '.join(SPLITS)} |\n|{'---|' * (len(SPLITS) + 1)}\n{''.join(rows)}"


def main() -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    page = PAGE.read_text("utf-8")
    written = re.sub(
        f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{table(transformers)}\n{END}", page, flags=re.DOTALL
    )
    PAGE.write_text(written, "utf-8")


if __name__ == "__main__":
    main()
