"""``plugins/example-architecture`` is what ``formers plugins new example`` writes, to the byte."""

from __future__ import annotations

from pathlib import Path

from formers.cli.new import render

FOLDER = Path(__file__).resolve().parents[2] / "plugins" / "example-architecture"


def test_the_example_is_what_the_command_writes() -> None:
    written = {
        str(path.relative_to(FOLDER)): path.read_text("utf-8")
        for path in FOLDER.rglob("*")
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in path.parts)
    }
    assert written == render("example"), (
        "run: rm -r plugins/example-architecture; formers plugins new example --folder plugins/example-architecture"
    )
