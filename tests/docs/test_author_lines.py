"""How many lines an author writes, counted: docs/tutorial.md publishes the figures, to two digits, and is held to them.

Counted are lines with code on them; docstrings, comments and blank lines are not.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
PACKAGES = {
    "the small decoder of this page": ROOT / "plugins" / "example-architecture",
    "BERT: nine classes, relative positions, pruning, cross-attention": ROOT / "packages" / "models-bert",
    "GPT-2: six classes": ROOT / "packages" / "models-gpt2",
    "T5: six classes, encoder and decoder": ROOT / "packages" / "models-t5",
}
# What belongs to an architecture's models: no tokenizers, collators or kernels.
MODELS = ("plugin", "configuration", "modeling", "blocks", "layers", "attention", "heads", "seq2seq",
          "classification", "checkpoint")  # fmt: skip
LAYOUT = (
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.COMMENT,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
)


def code_lines(source: str) -> int:
    """How many lines have code on them."""
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and body and ast.get_docstring(node):
            docstrings |= set(range(body[0].lineno, body[0].end_lineno + 1))
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in (*LAYOUT, tokenize.ENDMARKER):
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def test_counting() -> None:
    source = '"""Text."""\n\n# comment\nx = 1  # comment\n\n\ndef f():\n    """One.\n\n    Two."""\n'
    source += '    return """a\nb"""\n'
    assert code_lines(source) == 4


def test_the_page_says_how_many() -> None:
    rows = [
        f"| {name} | {two_digits(sum(code_lines(path.read_text('utf-8')) for path in found(folder))):,} |"
        for name, folder in PACKAGES.items()
    ]
    published = re.findall(r"^\| .* \| [\d,]+ \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert published == rows, "\n".join(["docs/tutorial.md should say:", *rows])


def two_digits(number: int) -> int:
    """The number, rounded, so that a line more is no news."""
    return round(number, 2 - len(str(number)))


def found(folder: Path) -> list[Path]:
    """The modules of a package that make its models."""
    (package,) = (path.parent for path in folder.glob("src/*/py.typed"))
    return [path for name in MODELS if (path := package / f"{name}.py").is_file()]
