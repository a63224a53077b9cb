"""What a chat template may do, and what each operation costs at most.

Three tables say it all: ``METHODS`` of the values of JSON, ``FILTERS`` and ``TESTS`` of jinja2. What is in none of
them does not exist for a template. A rule looks at the arguments and pays, through the meter, for what the operation
is about to do; a rule that cannot know the exact size takes one that is never too small, or that is off by a small
factor, as the result is paid for once more when it is there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from formers.errors import shorten
from formers.tokenization.chat.budget import BudgetExceededError, Meter

__all__ = ["FILTERS", "METHODS", "PIECE", "TESTS", "Rule", "format_field", "pay_binary", "pay_search"]

Rule = Callable[[Meter, Any, tuple[Any, ...], Mapping[str, Any]], None]
"""Pays for one call: the meter, the value that is worked on, the other arguments."""

_BITS = 14_000  # of a whole number: what Python turns into decimal digits
_PRECISION = 400
PIECE = 60  # characters' worth of memory, of a short string or a number in a list
_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_PRINTF = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.)", re.DOTALL)
_DIGITS = re.compile(r"\d+")


def pay_binary(meter: Meter, operator: str, left: Any, right: Any) -> None:
    """Pay for ``left operator right``; of what ``%`` makes of a text, only the limit is checked."""
    if type(left) is str and type(right) is str and operator == "+":
        meter.copied(len(left) + len(right))
        return
    meter.spend(1)
    escaped = (
        6 if hasattr(left, "__html__") or hasattr(right, "__html__") else 1
    )  # a text for HTML escapes others
    if operator == "%" and isinstance(left, str):
        _pay_printf(meter, left, right)
    elif operator == "*":
        if isinstance(left, (str, list, tuple)):
            left, right = right, left
        if isinstance(right, (str, list, tuple)) and isinstance(left, int):
            meter.copied(max(left, 0) * len(right) * (1 if isinstance(right, str) else 8))
        elif isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() + right.bit_length())
    elif operator == "+" and isinstance(left, str) and isinstance(right, str):
        meter.copied((len(left) + len(right)) * escaped)
    elif operator == "+" and isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        meter.copied((len(left) + len(right)) * 8)
    elif operator == "**" and isinstance(left, int) and isinstance(right, int):
        _check_bits(math.ceil(math.log2(abs(left)) * abs(right)) if abs(left) > 1 else 1)


def format_field(meter: Meter, value: Any, spec: str) -> None:
    """Pay for ``format(value, spec)``."""
    meter.room(meter.weigh(value).characters + sum(_number(digits) for digits in _DIGITS.findall(spec)))


def pay_search(meter: Meter, text: str, needle: str | None) -> None:
    """Pay for a search, which in the worst case compares each of up to 100 characters at each place."""
    meter.spend(1 + len(text) * min(100 if needle is None else len(needle), 100) // 1024)


def _check_bits(bits: int) -> None:
    if bits > _BITS:
        raise BudgetExceededError(f"it computes a number of {bits:,} bits; the limit is {_BITS:,}")


def _number(digits: str) -> int:
    return int(digits) if len(digits) < 12 else 10**12


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], place: int, name: str, default: Any) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _pay_printf(meter: Meter, text: str, values: Any) -> None:
    many = values if isinstance(values, tuple) else (values,)
    largest = max((meter.weigh(value).characters for value in many), default=0)
    starred = max((abs(value) for value in many if isinstance(value, int)), default=0)
    total = len(text)
    for width, precision, conversion in _PRINTF.findall(text):
        total += (
            10 if conversion in "ra" else 1
        ) * largest + 350  # digits before the point of the largest float
        for part in (width, precision):
            total += starred if part == "*" else _number(part or "0")
    meter.spend(len(text) // 16)
    meter.room(total)


# Rules of methods and filters.


def _free(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Nothing is made, and nothing is walked through."""


def _deep(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Everything in the value may be compared, or hashed."""
    meter.weigh(value)


def _text(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """A text about as long as the value."""
    meter.room(meter.weigh(value).characters)
    for argument in args:
        if isinstance(argument, str) and isinstance(value, str):
            pay_search(meter, value, argument)


def _grows(factor: int) -> Rule:
    """A text of at most ``factor`` times the value's length."""

    def rule(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        meter.room(factor * meter.weigh(value).characters)

    return rule


def _slow(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Made in Python, a word or a part at a time, in the worst case with a copy of the rest for each."""
    characters, parts, _ = meter.weigh(value)
    meter.spend(characters // 4 + parts + (characters // 256) ** 2)
    inserted = sum(len(argument) for argument in (*args, *kwargs.values()) if isinstance(argument, str))
    meter.room((2 + inserted) * characters)


def _padded(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    width = _argument(args, kwargs, 0, "width", 80)
    meter.room(max(meter.weigh(value).characters, _whole(width)))


def _expandtabs(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    meter.room(len(value) + value.count("\t") * max(_whole(_argument(args, kwargs, 0, "tabsize", 8)), 0))


def _replace(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    length = meter.weigh(value).characters
    old, new = (
        _as_text(meter, _argument(args, kwargs, place, name, "")) for place, name in enumerate(("old", "new"))
    )
    if isinstance(value, str):
        pay_search(meter, value, old)
    places = value.count(old) if isinstance(value, str) else length // max(len(old), 1) + 1
    meter.room(length + places * max(len(new) - len(old), 0))


def _split(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    separator = _argument(args, kwargs, 0, "sep", None)
    if isinstance(separator, str) and separator:
        pay_search(meter, value, separator)
        pieces = value.count(separator) + 1
    else:
        pieces = len(value) // 2 + 1
    most = _whole(_argument(args, kwargs, 1, "maxsplit", -1))
    pieces = pieces if most < 0 else min(pieces, most + 1)
    meter.copied(len(value) + PIECE * pieces)


def _splitlines(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    meter.copied(len(value) + PIECE * _lines(meter, value))


def _lines(meter: Meter, text: str) -> int:
    meter.spend(1 + len(text) // 256)
    return 2 + sum(text.count(end) for end in _LINE_ENDS)


def _join(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """``separator.join(items)``."""
    _pay_join(meter, args[0] if args else None, len(value))


def _join_filter(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    _pay_join(meter, value, len(_as_text(meter, _argument(args, kwargs, 0, "d", ""))))


def _pay_join(meter: Meter, items: Any, separator: int) -> None:
    size = meter.weigh(items)
    count = len(items) if isinstance(items, str) else size.parts
    meter.spend(count)
    meter.room(size.characters + separator * count)


def _indent(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    width = _argument(args, kwargs, 0, "width", 4)
    text = _as_text(meter, value)
    step = len(width) if isinstance(width, str) else max(_whole(width), 0)
    lines = _lines(meter, text)
    meter.room(len(text) + (lines + 1) * (step + 1))
    meter.spend(lines)


def _format_filter(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    _pay_printf(meter, _as_text(meter, value), args or tuple(kwargs.values()))


def _walk(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Each item is looked at in Python."""
    meter.spend(3 * _length(value))
    meter.weigh(value)


def _sort(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    size = meter.weigh(value)
    steps = max(math.ceil(math.log2(_length(value) + 1)), 1)
    meter.spend(steps * (max(size.parts, _length(value)) + size.characters // 4096))


def _list(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    meter.copied(PIECE * _length(value))


def _sum(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Numbers; or lists, each partial sum of which is a copy of all before."""
    count = _length(value)
    start = _argument(args, kwargs, 1, "start", 0)
    if isinstance(start, (list, tuple)):
        meter.copied(8 * count * (meter.weigh(value).parts + len(start)))
    meter.spend(3 * count)


def _chunks(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """``batch`` and ``slice``: the number is that of the items to a row, or of the rows."""
    meter.copied(8 * max(_whole(args[0] if args else next(iter(kwargs.values()), 0)), 0))
    meter.spend(_length(value))


def _round(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    precision = _argument(args, kwargs, 0, "precision", 0)
    if abs(_whole(precision)) > _PRECISION:
        raise BudgetExceededError(f"it rounds to {shorten(precision)} places; the limit is {_PRECISION}")


def _tojson(meter: Meter, value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    size = meter.weigh(value)
    indent = _argument(args, kwargs, 1, "indent", None)
    step = len(indent) if isinstance(indent, str) else max(_whole(indent), 0)
    separators = meter.weigh(_argument(args, kwargs, 2, "separators", None)).characters
    meter.spend(size.parts)
    meter.room(2 * size.characters + size.parts * (step * (size.depth + 1) + separators))


def _as_text(meter: Meter, value: Any) -> str:
    if not isinstance(value, str):
        meter.room(meter.weigh(value).characters)
    return str(value)


def _length(value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        return 1


_TEXT_METHODS: dict[str, Rule] = {
    **dict.fromkeys(
        (
            "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isascii",
            "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle",
            "isupper", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "rfind", "rindex",
            "rpartition", "rstrip", "startswith", "strip", "swapcase", "title", "upper",
        ),
        _text,
    ),
    **dict.fromkeys(("center", "ljust", "rjust", "zfill"), _padded),
    **dict.fromkeys(("split", "rsplit"), _split),
    "expandtabs": _expandtabs,
    "format": _free,  # the sandbox has a formatter of its own
    "format_map": _free,
    "join": _join,
    "replace": _replace,
    "splitlines": _splitlines,
}  # fmt: skip

METHODS: dict[type, dict[str, Rule]] = {
    str: _TEXT_METHODS,
    list: {"copy": _list, "count": _deep, "index": _deep},
    tuple: {"count": _deep, "index": _deep},
    dict: {"copy": _list, "get": _free, "items": _free, "keys": _free, "values": _free},
    int: dict.fromkeys(("as_integer_ratio", "bit_count", "bit_length", "conjugate", "is_integer"), _free),
    bool: dict.fromkeys(("bit_count", "bit_length", "conjugate"), _free),
    float: dict.fromkeys(("as_integer_ratio", "conjugate", "hex", "is_integer"), _free),
    range: {"count": _free, "index": _free},
}
"""Type to the methods that a template may call, each with its rule."""

FILTERS: dict[str, Rule] = {
    **dict.fromkeys(
        ("abs", "attr", "count", "d", "default", "filesizeformat", "first", "last", "length"), _free
    ),
    **dict.fromkeys(("float", "int", "items", "random"), _free),
    **dict.fromkeys(("capitalize", "lower", "safe", "string", "trim", "truncate", "upper"), _text),
    **dict.fromkeys(("e", "escape", "forceescape"), _grows(6)),
    **dict.fromkeys(("urlencode", "xmlattr"), _grows(12)),
    **dict.fromkeys(("pprint", "striptags", "title", "wordcount", "wordwrap"), _slow),
    **dict.fromkeys(("map", "max", "min", "reject", "rejectattr", "select", "selectattr", "unique"), _walk),
    **dict.fromkeys(("dictsort", "groupby", "sort"), _sort),
    **dict.fromkeys(("batch", "slice"), _chunks),
    **dict.fromkeys(("list", "reverse"), _list),
    "center": _padded,
    "format": _format_filter,
    "indent": _indent,
    "join": _join_filter,
    "replace": _replace,
    "round": _round,
    "sum": _sum,
    "tojson": _tojson,
}
"""Filter to its rule: all of jinja2's but ``urlize``."""

TESTS = frozenset(
    {
        "!=", "<", "<=", "==", ">", ">=", "divisibleby", "eq", "equalto", "ge", "greaterthan", "gt", "in", "le",
        "lessthan", "lower", "lt", "ne", "upper",
    }
)  # fmt: skip
"""The tests that look at more than the type of a value."""
