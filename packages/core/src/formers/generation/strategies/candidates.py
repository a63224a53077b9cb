"""Guesses at the next tokens, and the cheapest source of them: earlier places of the text itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["CandidateSource", "Candidates", "PromptLookup"]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Guesses at the next tokens of one row.

    Attributes:
        tokens: int64 [1, count], perhaps none.
        probabilities: float [count, vocabulary], the distribution that each was drawn from; None if nothing was drawn.
    """

    tokens: Tensor
    probabilities: Tensor | None = None


class CandidateSource(Protocol):
    """Guesses how a text goes on."""

    def propose(self, text: Tensor, room: int) -> Candidates:
        """At most ``room`` guesses; ``text``, int64 [1, length], begins with that of the call before."""
        ...

    def learn(self, accepted: int) -> None:
        """Take note of how many of the guesses were taken; called once after each :meth:`propose`."""
        ...


class PromptLookup:
    """Copies what followed where the last tokens of the text occurred before (Saxena 2023, prompt lookup decoding).

    The place is the first of those with the most tokens in common.

    Args:
        count: tokens to copy at most.
        longest: tokens in common beyond which no more are counted.
        ends: tokens that are not guessed, nor anything behind them.
    """

    def __init__(self, count: int, longest: int, ends: tuple[int, ...] = ()) -> None:
        self._count = count
        self._longest = longest
        self._ends = frozenset(ends)

    def propose(self, text: Tensor, room: int) -> Candidates:
        """See :meth:`CandidateSource.propose`."""
        count = min(self._count, room)
        place = self._place(text[0]) if count > 0 else None
        if place is None:
            return Candidates(text[:, :0])
        copied = text[:, place : place + count]
        if self._ends:
            listed = copied[0].tolist()
            end = next((index for index, token in enumerate(listed) if token in self._ends), count)
            copied = copied[:, :end]
        return Candidates(copied)

    def learn(self, accepted: int) -> None:
        """Nothing to be learnt."""

    def _place(self, ids: Tensor) -> int | None:
        """The column after the longest earlier occurrence of the last tokens of ``ids`` [length]."""
        longest = min(self._longest, ids.shape[0] - 1)
        if longest < 1:
            return None
        earlier = ids[:-1]
        same = [
            torch.nn.functional.pad(earlier[: earlier.shape[0] - back] == ids[-1 - back], (back, 0))
            for back in range(longest)
        ]
        common = torch.stack(same).cumprod(dim=0).sum(dim=0)
        last = common.argmax()  # the first of several maxima
        found, place = torch.stack((common[last], last + 1)).tolist()
        return place if found else None
