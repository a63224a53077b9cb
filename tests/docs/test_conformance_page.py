"""The page on the conformance kit lists the checks that there are.

``python tests/docs/test_conformance_page.py`` writes the table anew.
"""

from __future__ import annotations

from pathlib import Path

from formers.testing import standard_checks
from formers.testing.capabilities import CAPABILITIES

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
BEGIN = "<!-- checks: written by tests/docs/test_conformance_page.py -->\n"
END = "<!-- end of checks -->"


def table() -> str:
    lines = ["| check | law | what it says |", "|---|---|---|"]
    for one in standard_checks().values():
        lines.append(f"| `{one.id}` | {one.law or ''} | {one.doc} |")
    return "\n".join(lines) + "\n"


def test_the_table_of_checks() -> None:
    text = PAGE.read_text("utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0] == table()


def test_the_table_of_capabilities() -> None:
    text = PAGE.read_text("utf-8").replace("`", "")
    missing = [name for name, said in CAPABILITIES.items() if f"| {name} | {said} |" not in text]
    assert not missing


if __name__ == "__main__":
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], "utf-8")
