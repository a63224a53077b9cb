"""What rendering one chat template may cost, and the meter that stops it.

Work is counted in units, so that a template is stopped at the same place on every machine: a node of the template
that runs is a unit, and so are ``CHARACTERS`` characters of a new text. Nothing is measured after the fact: sizes
are worked out, and paid for, before anything is allocated. Processor time is the second line of defence, for what
a unit misjudges. It is the time of the rendering thread, so a busy machine stops nothing, and no signal is needed.
"""

from __future__ import annotations

import time
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from itertools import chain
from typing import Any, NamedTuple

__all__ = ["CHARACTERS", "Budget", "BudgetExceededError", "Meter", "Size"]

CHARACTERS = 64  # characters of a new text that cost as much as one node of a template
_LOOK = 4096  # units between two looks at the clock: 2 to 4 milliseconds
_UNITS_PER_INPUT = 100  # more units for each message, field and item that the caller passes
_MANY = 16
_DEPTH = 200  # hash and str go down by recursion, the former without looking at the stack
_FREE = frozenset({bool, int, float, type(None)})
_NUMBER = 24  # characters, of most numbers and constants
_LARGE_INT = 1 << 64
_DIGITS_PER_BIT = 0.302


class Budget(NamedTuple):
    """What one rendering of a chat template may cost.

    Attributes:
        units: pieces of work: a step of the template, or 64 characters of a new text. Each value that the caller
            passes adds 100, each character of it a quarter.
        characters: of one text, or items of one list, times eight; each character that is passed adds four.
        seconds: processor time of the thread.
    """

    units: int = 1_000_000
    characters: int = 16 * 2**20
    seconds: float = 1.0


class Size(NamedTuple):
    """What a value would be as text: its length in characters, its parts, how deep they are nested."""

    characters: int
    parts: int = 1
    depth: int = 0


class BudgetExceededError(Exception):
    """A template asks for more than its budget. No type that jinja2 or a filter would catch."""


class Meter:
    """Counts what one rendering costs, and raises ``BudgetExceededError`` before it costs too much.

    Args:
        budget: the limits.
        passed: the values that the caller passes to the template, as ``Size``: large conversations may cost more.
    """

    __slots__ = ("_deadline", "_look_at", "budget", "cap", "left", "marked")

    def __init__(self, budget: Budget, passed: Size = Size(0, 0)) -> None:  # noqa: B008 - a tuple, never changed
        self.budget = budget
        self.left = budget.units + _UNITS_PER_INPUT * passed.parts + passed.characters // 4
        self.cap = budget.characters + 4 * passed.characters
        self.marked = 0  # spans of {% generation %} so far
        self._deadline = time.thread_time() + budget.seconds
        self._look_at = self.left - _LOOK

    def spend(self, units: int) -> None:
        """Pay for work that is about to be done."""
        self.left = left = self.left - units
        if left < self._look_at:
            self._look()

    def room(self, characters: int) -> None:
        """Raise unless a text of this length, about to be made, is within the limits; it is paid for by ``made``."""
        if characters > self.cap:
            raise BudgetExceededError(
                f"it makes a text or list of about {characters:,} characters; the limit is {self.cap:,}"
            )
        if characters // CHARACTERS > max(self.left, 0):
            self.left = -1
            self._look()

    def copied(self, characters: int) -> None:
        """Pay for a text of this length, which is about to be made."""
        self.left = left = self.left - 1 - characters // CHARACTERS
        if left < self._look_at or characters > self.cap:
            self.room(characters)
            self._look()

    def weigh(self, value: Any) -> Size:
        """The size that a value has as text, lists and mappings with all that is in them; paid for as it is counted.

        A list that contains another one twice counts it twice, as ``str`` and ``==`` do.
        """
        kind = type(value)
        if kind is str:
            return Size(len(value))
        if kind in _FREE:
            return Size(_digits(value))
        return self._weigh_parts(value)

    def metered(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, each paid for when it is asked for."""
        for item in items:
            self.spend(2)
            yield item

    def made(self, value: Any) -> Any:
        """Pay for a value that an operation has returned, and return it."""
        if isinstance(value, str):
            self.copied(len(value))
        elif isinstance(value, (list, tuple)):
            self.copied(8 * len(value))
        elif type(value) not in _FREE and isinstance(value, Iterator):
            return self.metered(value)
        return value

    def _weigh_parts(self, value: Any) -> Size:
        characters = parts = depth = 0
        inside = [iter((value,))]
        while inside:
            for item in inside[-1]:
                if parts % 64 == 0:
                    self.spend(64)
                parts += 1
                if isinstance(item, str):
                    characters += len(item) + 4
                    continue
                children = _children(item)
                if children is not None:
                    depth = max(depth, len(inside))
                    if depth > _DEPTH:
                        raise BudgetExceededError(f"it nests lists and mappings more than {_DEPTH} deep")
                    characters += 2 * len(item)
                    flat = _flat(item) if len(item) > _MANY and isinstance(item, (list, tuple)) else None
                    if flat is not None:
                        self.spend(len(item) // 8)
                        parts, characters = parts + len(item), characters + flat
                        continue
                    inside.append(children)
                    break
                characters += _digits(item) if type(item) is int else _NUMBER
            else:
                inside.pop()
                continue
            if characters > self.cap:
                self.room(characters)
        return Size(characters, parts, depth)

    def _look(self) -> None:
        if self.left < 0:
            raise BudgetExceededError(
                f"it takes more than {self.budget.units:,} steps for this conversation (loops, calls, copies of text)"
            )
        if time.thread_time() > self._deadline:
            raise BudgetExceededError(f"it takes more than {self.budget.seconds} seconds of processor time")
        self._look_at = max(self.left - _LOOK, 0)


def _children(item: Any) -> Iterator[Any] | None:
    if isinstance(item, Mapping):
        return chain(item, item.values())
    if isinstance(item, ItemsView):
        return chain.from_iterable(item)
    return iter(item) if isinstance(item, (list, tuple, KeysView, ValuesView)) else None


def _flat(items: Sequence[Any]) -> int | None:
    """The characters of many numbers or many texts, counted by builtins; None if it is neither."""
    kinds = set(map(type, items))
    if kinds == {int}:
        return len(items) * max(_digits(max(items)), _digits(min(items)))
    return sum(map(len, items)) + 4 * len(items) if kinds == {str} else None


def _digits(value: Any) -> int:
    if type(value) is int and not -_LARGE_INT < value < _LARGE_INT:
        return int(value.bit_length() * _DIGITS_PER_BIT) + 2
    return _NUMBER
