"""JSON as a file format: read strictly, within limits, and written as transformers writes it.

The standard library's reader keeps the last of two equal keys, accepts ``NaN``, and fails on deep nesting with a
``RecursionError``. Here each of these is an error that names the file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

from formers.errors import CorruptFileError, LoadError, ResourceLimitError, shorten

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_DIGITS",
    "DuplicateKeyError",
    "dump_json",
    "parse_json",
    "read_json",
]

MAX_BYTES = 256 * 2**20
MAX_DEPTH = 100
MAX_DIGITS = 100

_LFS_POINTER = "version https://git-lfs.github.com/spec/"
# Possessive and with an optional end, so that hostile input costs one pass: an unclosed string is one match.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[{\]}]")


class DuplicateKeyError(CorruptFileError):
    """An object gives one key twice, with different values."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


def read_json(path: str | os.PathLike[str], *, allow_nan: bool = False) -> Any:
    """The value in the JSON file at ``path``: UTF-8, with or without a byte-order mark.

    Args:
        path: a file of at most ``MAX_BYTES`` bytes.
        allow_nan: accept ``NaN`` and ``Infinity``, which are not JSON but which Python programs write.

    Raises:
        CorruptFileError: the content is not JSON as ``parse_json`` defines it.
        ResourceLimitError: the file is too large, too deep, or holds an absurdly long number.
        LoadError: the file cannot be opened.
    """
    source = os.fspath(path)
    try:
        with open(source, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise ResourceLimitError(
                    f"{source}: {size:,} bytes; a JSON file of at most {MAX_BYTES:,} bytes is expected"
                )
            raw = file.read()
    except LoadError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise LoadError(f"{shorten(source)} cannot be read: {error}") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorruptFileError(
            f"{source}: byte {error.start} is {shorten(raw[error.start : error.start + 1])}, which is not UTF-8; "
            "JSON files are UTF-8: convert the file or download it again"
        ) from error
    return parse_json(text, source, allow_nan=allow_nan)


def parse_json(text: str, source: str | os.PathLike[str], *, allow_nan: bool = False) -> Any:
    """The value of a JSON text. ``source`` is what error messages call it, usually a path.

    Raises:
        CorruptFileError: empty, a git-lfs pointer, a syntax error (with line and column), ``NaN`` or an
            infinite number without ``allow_nan``.
        DuplicateKeyError: one key of an object has two different values.
        ResourceLimitError: more than ``MAX_DEPTH`` levels of nesting or ``MAX_DIGITS`` digits in an integer.
    """
    name = os.fspath(source)
    if not text.strip():
        raise CorruptFileError(f"{name}: the file is empty; JSON is expected. Download or save it again")
    if text.startswith(_LFS_POINTER):
        raise CorruptFileError(
            f"{name} is a git-lfs pointer, not the file itself; run 'git lfs pull' to get it"
        )
    _check_depth(text, name)
    try:
        return json.loads(
            text,
            object_pairs_hook=lambda pairs: _unique(pairs, name),
            parse_int=lambda digits: _integer(digits, name),
            parse_float=float if allow_nan else lambda digits: _finite(digits, name),
            parse_constant=float if allow_nan else _refuse_constant(name),
        )
    except json.JSONDecodeError as error:
        raise CorruptFileError(
            f"{name}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}. "
            "Correct the file, or download or save it again"
        ) from error


def dump_json(value: Any) -> str:
    """``value`` as JSON text: sorted keys, indented by two, ASCII, with a line end at the end of the text.

    Raises ``ValueError`` for NaN and infinite numbers, ``TypeError`` for what JSON cannot hold.
    """
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _check_depth(text: str, name: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if match[0] in "[{" else -1
        if depth > MAX_DEPTH:
            raise ResourceLimitError(
                f"{name}: nested more than {MAX_DEPTH} levels deep; no file of a model is"
            )


def _unique(pairs: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) == len(pairs):
        return unique
    first: dict[str, Any] = {}
    for key, value in pairs:
        earlier = first.setdefault(key, value)
        if earlier != value or type(earlier) is not type(value):
            raise DuplicateKeyError(
                f"{name}: the key {shorten(key)} is given twice, as {shorten(earlier, 60)} and as "
                f"{shorten(value, 60)}; remove one of them",
                key,
            )
    return unique


def _integer(digits: str, name: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ResourceLimitError(
            f"{name}: an integer of {len(digits)} digits, {digits[:20]}...; at most {MAX_DIGITS} are read"
        )
    return int(digits)


def _finite(digits: str, name: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise CorruptFileError(
            f"{name}: the number {shorten(digits, 40)} is too large; a finite one is expected"
        )
    return number


def _refuse_constant(name: str) -> Callable[[str], float]:
    def refuse(constant: str) -> float:
        raise CorruptFileError(f"{name}: {constant} is not JSON; a finite number is expected")

    return refuse
