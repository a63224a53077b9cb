"""The declaration of one field of a configuration: default, type and range."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from formers.config.kinds import MISMATCH, Kind, kind_of
from formers.errors import ConfigValidationError, shorten

__all__ = ["REQUIRED", "Field", "field"]

_INT64 = 2**63 - 1  # what tensor shapes and indices are counted in


class _Required:
    def __repr__(self) -> str:
        return "<required>"


REQUIRED: Any = _Required()


def field(
    default: Any = REQUIRED,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: Collection[Any] | None = None,
    convert: Callable[[Any], Any] | None = None,
) -> Any:
    """Declare a field: ``hidden_size: int = field(768, minimum=1, maximum=1_000_000)``.

    The annotation gives the type; a value of another type is refused, and so are NaN and infinity. The limits
    hold for numbers, including those in a list. Give sizes and counts a ``maximum``: it is checked before any
    memory is allocated.

    Args:
        default: the default value, copied for each configuration if mutable. Without one the field must be given.
        minimum: smallest accepted number.
        maximum: largest accepted number; 2**63 - 1 for integers if not given.
        above: the number must be greater than this.
        choices: the accepted values, apart from None in a field that may be None.
        convert: called on a given value before it is checked; for what JSON cannot express, such as integer keys.
    """
    return Field(default, minimum, maximum, above, choices, convert)


class Field:
    """A declared field. Read on the class it is the default; instances hold their own value.

    ``is_stored`` is False for a view of something else that the instance holds.
    """

    is_stored = True
    __slots__ = ("above", "choices", "converter", "default", "kind", "maximum", "minimum", "name")

    def __init__(
        self,
        default: Any,
        minimum: float | None = None,
        maximum: float | None = None,
        above: float | None = None,
        choices: Collection[Any] | None = None,
        converter: Callable[[Any], Any] | None = None,
    ) -> None:
        self.default = default
        self.minimum = minimum
        self.maximum = maximum
        self.above = above
        self.choices = None if choices is None else tuple(choices)
        self.converter = converter
        self.name = ""
        self.kind: Kind = kind_of("Any")

    def bound(self, name: str, annotation: object | None, owner: str) -> Field:
        """This declaration with its name and type, its default checked."""
        self.name = name
        if annotation is not None:
            self.kind = kind_of(annotation)
        if self.default is not REQUIRED and type(self) is Field:
            self.default = self.check(self.default, owner)
        return self

    def with_default(self, default: Any) -> Field:
        """The same field with another default, for a subclass that only assigns one."""
        copy = Field(default, self.minimum, self.maximum, self.above, self.choices, self.converter)
        copy.kind = self.kind
        return copy

    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None and self.default is not REQUIRED:
            return self.default
        raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}")

    def check(self, value: Any, owner: str) -> Any:
        """``value`` in its declared form.

        Raises ``ConfigValidationError``, which names ``owner``, the field, the value and what is expected.
        """
        if self.converter is not None:
            value = self.converter(value)
        accepted = self.kind.convert(value)
        if accepted is MISMATCH or not self._in_range(accepted):
            raise ConfigValidationError(
                f"{owner}: {self.name}={shorten(value)} ({type(value).__name__}) is not accepted; "
                f"expected: {self.expected()}.{self._hint(value)}"
            )
        return accepted

    def expected(self) -> str:
        """The accepted values in words, for an error message."""
        limits = [
            text
            for text, limit in (
                (f"at least {self.minimum}", self.minimum),
                (f"greater than {self.above}", self.above),
                (f"at most {self.maximum}", self.maximum),
            )
            if limit is not None
        ]
        if self.choices is not None:
            limits.append("one of " + ", ".join(repr(choice) for choice in self.choices))
        if self.kind.scalar == "float":
            limits.append("finite")
        return ", ".join([self.kind.text, *limits])

    def _in_range(self, value: Any) -> bool:
        if value is None:
            return True
        if isinstance(value, list | tuple):
            return all(self._in_range(item) for item in value)
        if self.choices is not None and value not in self.choices:
            return False
        if type(value) is int:
            low = -_INT64 - 1 if self.minimum is None else self.minimum
            high = _INT64 if self.maximum is None else self.maximum
            return low <= value <= high and (self.above is None or value > self.above)
        if type(value) is float:
            return (
                (self.minimum is None or value >= self.minimum)
                and (self.maximum is None or value <= self.maximum)
                and (self.above is None or value > self.above)
            )
        return True

    def _hint(self, value: Any) -> str:
        if isinstance(value, str) and self.choices is None and self.kind.scalar in ("int", "float", "bool"):
            return " Write it without quotes."
        if isinstance(value, bool) and self.kind.scalar in ("int", "float"):
            return " Write a number."
        return " Correct it in the file or the call."
