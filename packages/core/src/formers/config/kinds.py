"""What the annotation of a field says about its values, read without evaluating it.

``int | list[int] | None`` becomes a ``Kind`` that tells whether a value fits and gives it the declared form: what
JSON cannot say (a tuple, an integer of numpy) is converted, what would change the value (a string for a number, a
bool for an integer) is not. A part that is not one of the plain types below accepts everything.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

__all__ = ["MISMATCH", "Kind", "kind_of"]


class _Mismatch:
    """The answer of a converter for a value of another type."""

    def __repr__(self) -> str:
        return "MISMATCH"


MISMATCH = _Mismatch()
Converter = Callable[[Any], Any]


class Kind:
    """The accepted types of one field.

    ``text`` is the annotation as written; ``convert(value)`` is the value in its declared form, or ``MISMATCH``.
    ``scalar`` is the first of ``bool``, ``float``, ``int``, ``str`` among the types, or None.
    """

    __slots__ = ("_converters", "scalar", "text")

    def __init__(self, text: str, converters: tuple[Converter, ...] | None, scalar: str | None) -> None:
        self.text = text
        self.scalar = scalar
        self._converters = converters  # None: anything goes

    def convert(self, value: Any) -> Any:
        """``value`` in its declared form, or ``MISMATCH``."""
        if self._converters is None:
            return value
        for converter in self._converters:
            converted = converter(value)
            if converted is not MISMATCH:
                return converted
        return MISMATCH


_known: dict[str, Kind] = {}


def kind_of(annotation: object) -> Kind:
    """The kind that an annotation, normally a string, declares."""
    text = annotation if isinstance(annotation, str) else _spelling(annotation)
    kind = _known.get(text)
    if kind is None:
        kind = _known[text] = _parse(text)
    return kind


def _spelling(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) else repr(annotation)


def _parse(text: str) -> Kind:
    converters: list[Converter] = []
    names = [name for part in _split(text, "|") for name in _flatten(part)]
    scalar = next((name for name in ("bool", "float", "int", "str") if name in names), None)
    for name in names:
        converter = _converter(name)
        if converter is None:
            return Kind(text, None, scalar)
        converters.append(converter)
    return Kind(text, tuple(converters), scalar)


def _flatten(part: str) -> list[str]:
    """The alternatives of ``Optional[...]`` and ``Union[...]``; any other type by itself."""
    outer, inner = _subscript(part)
    if outer == "Optional":
        return [*_alternatives(inner), "None"]
    if outer == "Union":
        return [name for piece in _split(inner, ",") for name in _alternatives(piece)]
    return [part]


def _alternatives(text: str) -> list[str]:
    return [name for part in _split(text, "|") for name in _flatten(part)]


def _converter(name: str) -> Converter | None:
    outer, inner = _subscript(name)
    if outer in _PLAIN and not inner:
        return _PLAIN[outer]
    if outer in ("list", "List", "Sequence"):
        return _sequence(list, inner)
    if outer in ("tuple", "Tuple"):
        return _sequence(tuple, inner)
    if outer in ("dict", "Dict", "Mapping"):
        return _mapping
    if outer == "Callable":
        return _callable
    return None


def _subscript(text: str) -> tuple[str, str]:
    """``typing.List[int]`` as ``("List", "int")``; the second is empty without brackets."""
    outer, _, inner = text.strip().partition("[")
    return outer.rpartition(".")[2].strip(), inner.removesuffix("]").strip()


def _split(text: str, separator: str) -> list[str]:
    """Parts of ``text`` between separators that stand outside of brackets."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        if character in "[(":
            depth += 1
        elif character in "])":
            depth -= 1
        elif character == separator and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    return [*parts, text[start:].strip()]


def _int(value: Any) -> Any:
    if type(value) is int:
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return MISMATCH
    try:
        return operator.index(value)
    except TypeError:  # an array of several elements, a numpy bool
        return MISMATCH


def _float(value: Any) -> Any:
    if type(value) is not float:
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            return MISMATCH
        try:
            value = float(value)
        except (TypeError, ValueError, OverflowError, RuntimeError):  # what arrays and tensors raise, 10**400
            return MISMATCH
    return value if math.isfinite(value) else MISMATCH


def _bool(value: Any) -> Any:
    return value if value is True or value is False else MISMATCH


def _str(value: Any) -> Any:
    return value if isinstance(value, str) else MISMATCH


def _none(value: Any) -> Any:
    return None if value is None else MISMATCH


def _mapping(value: Any) -> Any:
    return value if isinstance(value, dict) else MISMATCH


def _callable(value: Any) -> Any:
    return value if callable(value) else MISMATCH


def _sequence(build: type[list[Any]] | type[tuple[Any, ...]], inner: str) -> Converter:
    """A list or tuple whose elements are of the one type inside the brackets, when there is just one."""
    types = [part for part in _split(inner, ",") if part not in ("", "...")]
    element = kind_of(types[0]) if len(set(types)) == 1 else None

    def convert(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return MISMATCH
        if element is None:
            return build(value)
        elements = [element.convert(item) for item in value]
        return MISMATCH if any(item is MISMATCH for item in elements) else build(elements)

    return convert


_PLAIN: dict[str, Converter] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "str": _str,
    "None": _none,
    "NoneType": _none,
}
