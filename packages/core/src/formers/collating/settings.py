"""Checks of a collator's settings."""

from __future__ import annotations

import math
import operator
from typing import SupportsIndex

from formers.errors import ConfigValidationError, shorten

__all__ = ["fraction", "positive", "whole"]


def fraction(name: str, value: float, *, ends: bool = True) -> float:
    """A number from 0 to 1; without ``ends``, these two are refused.

    Raises:
        ConfigValidationError: it is something else; names the setting.
    """
    if _is_number(value) and (0 < value < 1 or (ends and value in (0, 1))):
        return float(value)
    where = "from 0 to 1" if ends else "between 0 and 1, without these two"
    raise ConfigValidationError(f"{name}={shorten(value)}: expected a number {where}.")


def positive(name: str, value: float, least: float = 1) -> float:
    """A finite number that is at least ``least``.

    Raises:
        ConfigValidationError: it is something else; names the setting.
    """
    if _is_number(value) and math.isfinite(value) and value >= least:
        return value
    raise ConfigValidationError(f"{name}={shorten(value)}: expected a number of at least {least}.")


def whole(name: str, value: SupportsIndex, least: int = 1) -> int:
    """A whole number that is at least ``least``.

    Raises:
        ConfigValidationError: it is something else; names the setting.
    """
    if not isinstance(value, bool):
        try:
            number = operator.index(value)
        except TypeError:
            number = least - 1
        if number >= least:
            return number
    raise ConfigValidationError(f"{name}={shorten(value)}: expected a whole number of at least {least}.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
