"""Processors that add a bias to a token where it would complete a given sequence; bans are biases of -inf."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real

import torch
from torch import Tensor
from torch.nn.functional import pad

from formers.errors import shorten

from .base import LogitsProcessor
from .token_ids import TokenIds, is_token_id

__all__ = ["NoBadWordsLogitsProcessor", "SequenceBiasLogitsProcessor"]

ANYTHING = -1


class SequenceBiasLogitsProcessor(LogitsProcessor):
    """Adds a bias to the last token of a sequence of tokens, where the text ends with the others.

    Biases of one token add up. The table of a long list is compared with the end of every row at once, on the device.

    Args:
        sequence_bias: from a tuple of token ids to the bias, or a list of pairs ``[ids, bias]``.
    """

    def __init__(
        self, sequence_bias: Mapping[tuple[int, ...], float] | Sequence[Sequence[Sequence[int] | float]]
    ) -> None:
        self.sequence_bias = _read_biases(sequence_bias)
        self._table: _Table | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary].

        Raises:
            ValueError: a sequence has an id that the scores have no column for.
        """
        if self._table is None or not self._table.fits(scores):
            self._table = _Table(self.sequence_bias, scores)
        return scores + self._table.bias(input_ids)


class NoBadWordsLogitsProcessor(SequenceBiasLogitsProcessor):
    """Forbids sequences of tokens.

    Args:
        bad_words_ids: the ids of each; as they occur inside a text, hence ``tokenizer(word, add_prefix_space=True)``.
        eos_token_id: a "word" that is only one of these is left out, since no text could end.
    """

    def __init__(
        self, bad_words_ids: Sequence[Sequence[int]], eos_token_id: int | Iterable[int] | Tensor | None = None
    ) -> None:
        words = _read_words(bad_words_ids)
        ends = () if eos_token_id is None else TokenIds("eos_token_id", eos_token_id).ids
        banned = {word: -math.inf for word in words if len(word) > 1 or word[0] not in ends}
        self.bad_words_ids = words
        # A list that only names the end bans nothing.
        super().__init__(banned or {words[0]: 0.0})


class _Table:
    """The sequences as tensors.

    Sequences are aligned at their end: ``others`` [sequences, width] holds all but the last token, with ``ANYTHING``
    before the first.
    """

    __slots__ = ("_alone", "_biases", "_free", "_last", "_others", "_where")

    def __init__(self, biases: Mapping[tuple[int, ...], float], scores: Tensor) -> None:
        device, vocabulary = scores.device, scores.shape[-1]
        foreign = sorted({token for sequence in biases for token in sequence if token >= vocabulary})
        if foreign:
            raise ValueError(
                f"The biased or banned sequences hold {shorten(foreign)}, but the scores end at {vocabulary - 1}: "
                "make them with this model's tokenizer."
            )
        self._where = (device, scores.dtype, vocabulary)
        alone = torch.zeros(vocabulary, dtype=scores.dtype)
        for sequence, bias in biases.items():
            if len(sequence) == 1:
                alone[sequence[0]] = bias
        self._alone = alone.to(device)
        longer = {sequence: bias for sequence, bias in biases.items() if len(sequence) > 1}
        width = max([1, *(len(sequence) - 1 for sequence in longer)])
        padded = [[ANYTHING] * (width + 1 - len(sequence)) + list(sequence[:-1]) for sequence in longer]
        self._others = torch.tensor(padded, dtype=torch.int64, device=device)
        self._free = self._others == ANYTHING
        self._last = torch.tensor([sequence[-1] for sequence in longer], dtype=torch.int64, device=device)
        self._biases = torch.tensor(list(longer.values()), dtype=scores.dtype, device=device)

    def fits(self, scores: Tensor) -> bool:
        """Whether the table was made for such scores."""
        return self._where == (scores.device, scores.dtype, scores.shape[-1])

    def bias(self, input_ids: Tensor) -> Tensor:
        """[vocabulary], or [rows, vocabulary] where it depends on the text."""
        if not self._last.numel():
            return self._alone
        width = self._others.shape[-1]
        end = input_ids[:, -width:]
        if end.shape[-1] < width:
            end = pad(end, (width - end.shape[-1], 0), value=ANYTHING)
        ends_so = ((end[:, None, :] == self._others) | self._free).all(dim=-1)
        added = torch.where(ends_so, self._biases, 0.0)
        rows = input_ids.shape[0]
        return self._alone.expand(rows, -1).scatter_add(-1, self._last.expand(rows, -1), added)


def _read_biases(given: object) -> dict[tuple[int, ...], float]:
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif isinstance(given, Sequence) and all(isinstance(pair, Sequence) and len(pair) == 2 for pair in given):
        pairs = [(pair[0], pair[1]) for pair in given]
    else:
        pairs = []
    if not pairs:
        raise _not_biases(given)
    read = {}
    for sequence, bias in pairs:
        usable = isinstance(bias, Real) and not isinstance(bias, bool) and not math.isnan(bias)
        if not usable or not _is_sequence_of_ids(sequence):
            raise _not_biases(given, f" {shorten(sequence)}: {shorten(bias)}")
        read[tuple(int(token) for token in sequence)] = float(bias)
    return read


def _not_biases(given: object, item: str = "") -> ValueError:
    return ValueError(
        f"`sequence_bias` is {shorten(given)}; expected a dictionary from tuples of token ids to numbers, such as "
        f"{{(464, 3290): -2.0}}, or a list of pairs [[464, 3290], -2.0]{', not' + item if item else ''}."
    )


def _read_words(given: object) -> list[tuple[int, ...]]:
    listed = list(given) if isinstance(given, Sequence) else []
    if not listed or not all(_is_sequence_of_ids(word) for word in listed):
        raise ValueError(
            f"`bad_words_ids` is {shorten(given)}; expected a list with the token ids of each word, such as "
            "[[464], [1310, 32]], none of them empty: tokenizer(words, add_special_tokens=False).input_ids."
        )
    return [tuple(int(token) for token in word) for word in listed]


def _is_sequence_of_ids(value: object) -> bool:
    return isinstance(value, Sequence) and len(value) > 0 and all(map(is_token_id, value))
