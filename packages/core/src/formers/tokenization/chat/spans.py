"""``{% generation %}``: which characters of a rendered chat, and then which tokens, the assistant wrote.

A marked text carries its spans with it, through macros, ``{% set %}`` blocks and everything else that joins texts
one after another. A filter or an operator makes a new text and so loses them, which is found out at the end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from formers.tokenization.chat.budget import Meter

__all__ = ["Marked", "Span", "joined", "mark", "token_mask"]


class Span(NamedTuple):
    """Characters ``start`` up to, not including, ``end``; the number says which block, in the order of rendering."""

    start: int
    end: int
    number: int = 0


class Marked(str):
    """A text with marked spans."""

    __slots__ = ("spans",)
    spans: tuple[Span, ...]

    def __new__(cls, text: str, spans: tuple[Span, ...]) -> Marked:
        """The text, with these spans."""
        marked = super().__new__(cls, text)
        marked.spans = spans
        return marked

    def __str__(self) -> str:
        return self  # what jinja2 writes is str(value)


def mark(meter: Meter, text: str) -> Marked:
    """The text, marked from end to end."""
    meter.marked += 1
    inner = text.spans if isinstance(text, Marked) else ()
    meter.spend(len(inner))
    return Marked(text, (*inner, Span(0, len(text), meter.marked)))


def joined(chunks: Iterable[str]) -> str:
    """The chunks as one text; marked if one of them is."""
    parts = list(chunks)
    text = "".join(parts)
    spans: list[Span] = []
    place = 0
    for part in parts if any(type(part) is Marked for part in parts) else ():
        if isinstance(part, Marked):
            spans += [Span(start + place, end + place, number) for start, end, number in part.spans]
        place += len(part)
    return Marked(text, tuple(spans)) if spans else text


def token_mask(offsets: Sequence[tuple[int, int]], spans: Iterable[Span]) -> list[int]:
    """1 for the tokens that have a character in a span, and those between them; 0 for the others.

    Args:
        offsets: (start, end) of each token in the text; (0, 0) for tokens that are no part of it.
        spans: the parts of the text.
    """
    mask = [0] * len(offsets)
    tokens = [token for token, (start, end) in enumerate(offsets) if start < end]
    starts, ends = [offsets[token][0] for token in tokens], [offsets[token][1] for token in tokens]
    for span in spans:
        first, after = bisect_right(ends, span.start), bisect_left(starts, span.end)
        if first < after and span.start < span.end:
            mask[tokens[first] : tokens[after - 1] + 1] = [1] * (tokens[after - 1] + 1 - tokens[first])
    return mask
