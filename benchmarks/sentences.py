"""Real English sentences that every Python carries: its language reference and its docstrings."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

SKIPPED = frozenset({"test", "tests", "idlelib", "lib2to3", "site-packages", "__pycache__"})
SENTENCE_END = re.compile(r"(?<=[.!?]) +(?=[A-Z\"'(])")


def sentences(number: int) -> list[str]:
    """The first ``number`` sentences, no two of them equal, and the same at every call."""
    found: dict[str, None] = {}
    for block in _blocks():
        for paragraph in re.split(r"\n\s*\n", block):
            pieces = SENTENCE_END.split(" ".join(paragraph.split()))
            found.update((text, None) for text in pieces if 20 <= len(text) <= 400 and text[-1] in ".!?:")
        if len(found) >= number:
            return list(found)[:number]
    raise SystemExit(f"This Python's documentation has {len(found):,} sentences; {number:,} are needed.")


def _blocks() -> Iterator[str]:
    for name in sorted(topics):
        yield topics[name]
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        if SKIPPED.isdisjoint(path.relative_to(library).parts):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                    yield ast.get_docstring(node) or ""
