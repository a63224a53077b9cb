"""``formers tokenizer fingerprint``: a tokenizer's fingerprint, shown or compared."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from formers.errors import LoadError, shorten
from formers.files.strict_json import parse_json

__all__ = ["add_arguments", "run"]

_KEYS = ("fingerprint", "tokenizer_fingerprint")  # of this command's own JSON, and of tokenizer_config.json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the tokenizer is, and what to do with its fingerprint."""
    parser.add_argument("folder", help="a folder, a tokenizer.json, or the id of a repository on the hub")
    parser.add_argument("--revision", default="main", help="branch, tag or commit of the repository")
    parser.add_argument("--slow", action="store_true", help="take the tokenizer written in Python")
    parser.add_argument(
        "--check",
        metavar="HASH|FILE",
        help="exit with 1 unless the fingerprint is this one, or the one in a file: text, what --json prints, "
        "or a tokenizer_config.json",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print the fingerprint; with ``--check``, 1 if it is another than expected."""
    expected = None if options.check is None else _expected(options.check)

    import tokenizers

    from formers.auto.tokenizer import AutoTokenizer
    from formers.tokenization.corpus import SIZE
    from formers.tokenization.fingerprint import fingerprint

    tokenizer = AutoTokenizer.from_pretrained(
        options.folder, revision=options.revision, use_fast=not options.slow
    )
    found = fingerprint(tokenizer)
    report: dict[str, Any] = {
        "fingerprint": found,
        "name": options.folder,
        "tokenizer_class": type(tokenizer).__name__,
        "vocabulary": len(tokenizer),
        "texts": SIZE,
        "tokenizers": tokenizers.__version__,
    }
    if expected is not None:
        report |= {"expected": expected, "equal": found == expected}
    print(json.dumps(report, indent=2) if options.json else found)
    if expected in (None, found):
        return 0
    print(f"formers: {options.folder} gives other ids than expected: {expected}", file=sys.stderr)
    return 1


def _expected(given: str) -> str:
    """The fingerprint that ``--check`` names, itself or in a file."""
    from formers.tokenization.fingerprint import VERSION, is_fingerprint

    if is_fingerprint(given):
        found: object = given
    else:
        found = _in_file(Path(given))
    if not isinstance(found, str) or not is_fingerprint(found):
        raise LoadError(
            f"--check {given}: {shorten(found)} is no fingerprint; expected '{VERSION}:' and 64 hexadecimal digits, "
            f"alone or in a JSON object as {' or '.join(map(repr, _KEYS))}"
        )
    if not found.startswith(f"{VERSION}:"):
        raise LoadError(f"--check {given}: {found} is of another version than {VERSION}; take it anew")
    return found


def _in_file(path: Path) -> object:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise LoadError(
            f"--check {path}: neither a fingerprint nor a file that can be read ({error})"
        ) from error
    if not text.lstrip().startswith("{"):
        return text.strip()
    content: dict[str, object] = parse_json(text, path)
    return next((content[key] for key in _KEYS if key in content), None)
