"""What constructors of processors and criteria accept; a refusal names argument, value, range and remedy."""

from __future__ import annotations

import math
from numbers import Integral, Real

from formers.errors import shorten

__all__ = ["number", "whole"]


def whole(name: str, value: object, minimum: int, remedy: str) -> int:
    """``value`` as an int of at least ``minimum``.

    Raises:
        ValueError: it is no integer (a bool is none), or too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < minimum:
        raise ValueError(
            f"`{name}` is {shorten(value)}; expected an integer of at least {minimum}: {remedy}."
        )
    return int(value)


def number(
    name: str,
    value: object,
    remedy: str,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """``value`` as a finite float with ``minimum <= value <= maximum`` and ``above < value < below``.

    Raises:
        ValueError: it is no number (a bool is none), not finite, or outside the range.
    """
    given = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if math.isfinite(given) and minimum <= given <= maximum and above < given < below:
        return given
    low = f"above {above:g}" if above > -math.inf else f"from {minimum:g}" if minimum > -math.inf else ""
    high = f"below {below:g}" if below < math.inf else f"to {maximum:g}" if maximum < math.inf else ""
    limits = " ".join(part for part in ("a finite number", low, high) if part)
    raise ValueError(f"`{name}` is {shorten(value)}; expected {limits}: {remedy}.")
