"""Cutting sequences of ids in Python, as the ``tokenizers`` library cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from formers.errors import TextInputError
from formers.tokenization.limits import Truncation

__all__ = ["pieces", "shares"]

T = TypeVar("T")


def pieces(
    first: Sequence[T], second: Sequence[T] | None, truncation: Truncation, room: int
) -> list[tuple[Sequence[T], Sequence[T] | None]]:
    """The rows that a text, or a pair, is cut into; the first row is the one that is kept without overflow.

    Args:
        first: tokens of the first text.
        second: tokens of the second text, or None.
        truncation: strategy, stride and side.
        room: tokens of a row, without the special ones.
    """
    if len(first) + len(second or ()) <= room:
        return [(first, second)]
    keep_first, keep_second = shares(
        len(first), None if second is None else len(second), truncation["strategy"], room
    )
    heads = _windows(first, keep_first, truncation)
    if second is None or keep_second is None:
        return [(head, None) for head in heads]
    tails = _windows(second, keep_second, truncation)
    rows: list[tuple[Sequence[T], Sequence[T] | None]] = [(heads[0], tails[0])]
    rows += [(head, tail) for head in heads[1:] for tail in tails]
    rows += [(heads[0], tail) for tail in tails[1:]]
    return rows


def shares(first: int, second: int | None, strategy: str, room: int) -> tuple[int, int | None]:
    """How many tokens of each text are kept; raises ``TextInputError`` if the text to be cut is too short."""
    if second is None:
        if strategy == "only_second":
            raise TextInputError("truncation='only_second' needs a second text; there is only one")
        return room, None
    if strategy == "longest_first":
        short, long = sorted((first, second))
        long = short if short > room else max(short, room - short)
        if short + long > room:
            short, long = room // 2, room // 2 + room % 2
        return (long, short) if first > second else (short, long)
    cut, other = (first, second) if strategy == "only_first" else (second, first)
    left = room - other
    if left <= 0 or cut + other - room >= cut:
        raise TextInputError(
            f"truncation={strategy!r}: the other text has {other} tokens, which leaves nothing of max_length; "
            "use 'longest_first', or a larger max_length"
        )
    return (left, other) if strategy == "only_first" else (other, left)


def _windows(tokens: Sequence[T], size: int, truncation: Truncation) -> list[Sequence[T]]:
    if len(tokens) <= size:
        return [tokens]
    if size == 0:  # no room at all: what is cut off is one piece
        return [tokens[:0], tokens]
    step = size - truncation["stride"]
    if step <= 0:
        raise TextInputError(
            f"stride={truncation['stride']}: a text of the pair keeps {size} tokens to a piece; expected a stride below"
        )
    if truncation["direction"] == "right":
        starts = range(0, max(len(tokens) - truncation["stride"], 1), step)
        return [tokens[start : start + size] for start in starts]
    ends = range(len(tokens), truncation["stride"], -step)
    return [tokens[max(end - size, 0) : end] for end in ends]
