"""Finds strings in texts that are given as tokens, without decoding them.

The strings make an automaton over bytes (Aho & Corasick 1975), whose state is the longest beginning of a string that a
text ends with. A token maps each state to the state behind it, and completes a string on the way or does not; the
table of all tokens is made once. The state before the newest token follows from a few tokens before it.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from formers.errors import shorten
from formers.generation.token_bytes import token_bytes

__all__ = ["StopStringTable"]

# How many tokens' tables are computed at once, and how many tables a tokenizer keeps.
BLOCK = 4096
KEPT = 8


class StopStringTable:
    """What each token does to each partial match.

    Attributes:
        strings: what is looked for.
    """

    __slots__ = ("_behind", "_completes", "_window", "strings")

    def __init__(self, texts: Sequence[bytes], strings: tuple[str, ...]) -> None:
        """Makes the table for tokens that add these texts."""
        wanted = [string.encode("utf-8", "surrogatepass") for string in strings]
        moves, final = _automaton(wanted)
        self.strings = strings
        # One token more than there are adds nothing: it stands for unknown ids, and before the first token.
        self._behind, self._completes = _walk([*texts, b""], moves, final)
        # A token that adds nothing takes a place; the power of two has some to spare.
        before = max(map(len, wanted)) - 1 + (4 if b"" in texts else 0)
        self._window = 1 << max(before - 1, 0).bit_length()

    @classmethod
    def of(cls, tokenizer: Any, stop_strings: str | Sequence[str]) -> StopStringTable:
        """The table of a tokenizer's vocabulary; the last few are kept as long as the tokenizer.

        Raises:
            ValueError: ``stop_strings`` is no string and no list of strings, or one is empty.
        """
        strings = (stop_strings,) if isinstance(stop_strings, str) else tuple(stop_strings)
        if not strings or not all(isinstance(string, str) and string for string in strings):
            raise ValueError(
                f"`stop_strings` is {shorten(stop_strings)}; expected a string or several, none of them empty: "
                "leave it out to stop only at the end token."
            )
        return _vocabulary_of(tokenizer).table(strings)

    def completed_by_last(self, input_ids: Tensor) -> Tensor:
        """Rows whose last token completes a string, bool [rows]; of ids int64 [rows, length]."""
        self._move_to(input_ids.device)
        nothing = self._behind.shape[0] - 1
        ids = input_ids[:, -self._window - 1 :].clamp(max=nothing)
        if ids.shape[1] <= self._window:
            ids = pad(ids, (self._window + 1 - ids.shape[1], 0), value=nothing)
        steps = self._behind[ids[:, :-1]].long()
        while steps.shape[1] > 1:  # two neighbours make one: the second's state behind the first's
            steps = steps[:, 1::2].gather(2, steps[:, ::2])
        return self._completes[ids[:, -1], steps[:, 0, 0]]

    def _move_to(self, device: torch.device) -> None:
        if self._behind.device != device:
            self._behind, self._completes = self._behind.to(device), self._completes.to(device)


class _Vocabulary:
    """The texts of a tokenizer's tokens, and the tables that were made of them."""

    __slots__ = ("_tables", "_texts", "size")

    def __init__(self, tokenizer: Any) -> None:
        self.size = len(tokenizer)
        self._texts = token_bytes(tokenizer)
        self._tables: deque[StopStringTable] = deque(maxlen=KEPT)

    def table(self, strings: tuple[str, ...]) -> StopStringTable:
        for table in list(self._tables):
            if table.strings == strings:
                return table
        table = StopStringTable(self._texts, strings)
        self._tables.append(table)
        return table


_vocabularies: weakref.WeakKeyDictionary[Any, _Vocabulary] = weakref.WeakKeyDictionary()


def _vocabulary_of(tokenizer: Any) -> _Vocabulary:
    known = _vocabularies.get(tokenizer)
    if known is None or known.size != len(tokenizer):
        known = _vocabularies[tokenizer] = _Vocabulary(tokenizer)
    return known


def _automaton(strings: Sequence[bytes]) -> tuple[Tensor, Tensor]:
    """Moves, int64 [states, 256], and which states have just completed a string, bool [states]; 0 is the start."""
    children: list[dict[int, int]] = [{}]
    final = [False]
    for string in strings:
        state = 0
        for byte in string:
            if byte not in children[state]:
                children[state][byte] = len(children)
                children.append({})
                final.append(False)
            state = children[state][byte]
        final[state] = True
    moves = torch.zeros(len(children), 256, dtype=torch.int64)
    shorter = [0] * len(children)  # the state of the longest proper ending that also begins a string
    for state in _by_depth(children):
        moves[state] = moves[shorter[state]] if state else 0
        final[state] = final[state] or final[shorter[state]]
        for byte, child in children[state].items():
            shorter[child] = int(moves[shorter[state], byte]) if state else 0
            moves[state, byte] = child
    return moves, torch.tensor(final)


def _by_depth(children: Sequence[dict[int, int]]) -> Iterator[int]:
    """Every state, parents before children and shorter ones before longer ones."""
    waiting = deque([0])
    while waiting:
        state = waiting.popleft()
        yield state
        waiting.extend(children[state].values())


def _walk(texts: Sequence[bytes], moves: Tensor, final: Tensor) -> tuple[Tensor, Tensor]:
    """For each text and state: the state behind it, int [texts, states], and whether it completed, bool."""
    states = moves.shape[0]
    kind = torch.int16 if states <= torch.iinfo(torch.int16).max else torch.int32
    behind = torch.empty(len(texts), states, dtype=kind)
    completes = torch.zeros(len(texts), states, dtype=torch.bool)
    longest_first = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    for begin in range(0, len(texts), BLOCK):
        block = longest_first[begin : begin + BLOCK]
        state = torch.arange(states).repeat(len(block), 1)
        done = torch.zeros(len(block), states, dtype=torch.bool)
        reaching = len(block)
        for place in range(len(texts[block[0]])):
            while len(texts[block[reaching - 1]]) <= place:
                reaching -= 1
            bytes_here = torch.tensor([texts[index][place] for index in block[:reaching]])
            state[:reaching] = moves[state[:reaching], bytes_here[:, None]]
            done[:reaching] |= final[state[:reaching]]
        behind[block] = state.to(kind)
        completes[block] = done
    return behind, completes
