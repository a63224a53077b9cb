"""``formers golden record`` and ``check``: keep what an architecture answers, and see whether it still does."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, with which architecture, and where the files are."""
    parser.add_argument("action", choices=("record", "check"), help="write the files, or compare with them")
    parser.add_argument("name", metavar="NAME", help="a model_type whose manifest has a tiny")
    parser.add_argument("--folder", type=Path, help="tests/golden/NAME by default")


def run(options: argparse.Namespace) -> int:
    """Record, or print what differs and return 1."""
    from .golden import differences, record

    folder: Path = options.folder or Path("tests", "golden", options.name)
    if options.action == "record":
        print(f"Wrote {', '.join(record(options.name, folder))} to {folder}.")
        return 0
    found = differences(options.name, folder)
    print("\n".join(found) or f"{options.name} answers as recorded in {folder}.")
    return 1 if found else 0
