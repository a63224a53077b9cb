"""``formers plugins list``: from package metadata alone."""

from __future__ import annotations

import argparse
import json

from formers.plugins import discovery, environment
from formers.plugins.discovery import HOOKS, MODELS, Found

__all__ = ["add_arguments", "rows", "run", "status", "table"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print what is installed; always succeeds."""
    found = rows()
    if options.json:
        print(json.dumps(found, indent=2))
    elif found:
        columns = ("name", "kind", "package", "version", "status")
        print(table([columns, *(tuple(row[column] for column in columns) for row in found)]))
    else:
        print("No plugins are installed. An architecture comes with: pip install formers-<architecture>")
    return 0


def rows() -> list[dict[str, str]]:
    """One row for each entry point, those that are switched off or hidden included."""
    index = discovery.index()
    seen = [(found, status(found)) for found in index.found]
    hidden = [(found, "hidden by another copy of the package") for found in index.shadowed]
    return [_row(found, state) for found, state in seen + hidden]


def status(found: Found) -> str:
    """Whether an entry point is in use, as far as metadata can tell."""
    variable = environment.switched_off_by(found.dist)
    if variable is not None:
        return f"off ({variable})"
    if found.group == HOOKS:
        return "ok"
    claims = discovery.index().providers(MODELS, found.name)
    rivals = {one.dist for one in claims if environment.switched_off_by(one.dist) is None}
    if len(rivals) == 1:
        return "ok"
    try:
        preferred = environment.preferred(found.name)
    except ValueError as error:
        return str(error)
    if preferred not in rivals:
        return f"ambiguous: {', '.join(sorted(rivals))}"
    return "ok (preferred)" if preferred == found.dist else f"passed over for {preferred}"


def table(lines: list[tuple[str, ...]]) -> str:
    """Lines of cells as aligned text."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _row(found: Found, state: str) -> dict[str, str]:
    return {
        "name": found.name,
        "kind": "architecture" if found.group == MODELS else "hooks",
        "package": found.dist,
        "version": found.version,
        "status": state,
        "entry_point": found.value,
        "location": found.location,
    }
