"""What fields accept beside their own type: tensors for lists of ids, and what JSON makes of tuples and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["bias", "bias_entries", "ids", "is_pair", "nested_ids", "pair", "plain"]


def ids(value: Any) -> Any:
    """A tensor or an array of ids as a list; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def nested_ids(value: Any) -> Any:
    """``ids`` for a list of such, or a matrix."""
    value = ids(value)
    return [ids(part) for part in value] if isinstance(value, list | tuple) else value


def pair(value: Any) -> Any:
    """``(start, factor)``, which JSON gives back as a list, as a tuple of int and float."""
    return (int(value[0]), float(value[1])) if is_pair(value) else value


def is_pair(value: Any) -> bool:
    """Whether a value is a list or tuple of an int and a number."""
    return isinstance(value, list | tuple) and len(value) == 2 and _is_int(value[0]) and _is_number(value[1])


def plain(value: Any) -> Any:
    """A configuration object of another library as a dict; anything else as it is."""
    convert = getattr(value, "to_dict", None)
    return convert() if callable(convert) and not isinstance(value, Mapping | type) else value


def bias(value: Any) -> Any:
    """A bias for sequences whose keys became text, as transformers writes ``{(1, 2): 0.5}``, with tuples again."""
    if not isinstance(value, Mapping):
        return value
    return {_as_ids(key) if isinstance(key, str) else key: number for key, number in value.items()}


def bias_entries(value: Any) -> list[tuple[tuple[int, ...], float]] | None:
    """``{(1, 2): 0.5}`` or ``[[[1, 2], 0.5]]`` as pairs of ids and bias; None for anything else."""
    if isinstance(value, Mapping):
        entries = list(value.items())
    elif isinstance(value, list | tuple):
        entries = [tuple(entry) for entry in value if isinstance(entry, list | tuple) and len(entry) == 2]
        if len(entries) < len(value):
            return None
    else:
        return None
    found = []
    for key, number in entries:
        sequence = nested_ids(key)
        if not isinstance(sequence, list | tuple) or not sequence or not _is_number(number):
            return None
        if not all(_is_int(token) and token >= 0 for token in sequence):
            return None
        found.append((tuple(int(token) for token in sequence), float(number)))
    return found


def _as_ids(text: str) -> Any:
    """``"(1, 2)"`` as ``(1, 2)``; other text as it is, to be refused by whoever reads it."""
    parts = [part.strip() for part in text.strip("()[] ").split(",")]
    numbers = [part for part in parts if part]
    return tuple(int(part) for part in numbers) if numbers and all(map(str.isdecimal, numbers)) else text


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
