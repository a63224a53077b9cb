"""A few token ids that a processor treats specially, on whichever device the scores are."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral

import torch
from torch import Tensor

from formers.errors import shorten

__all__ = ["TokenIds", "is_token_id", "repeat_rows"]


class TokenIds:
    """Token ids given as a number, several numbers or a tensor.

    Attributes:
        name: of the argument, for messages.
        ids: the ids, in the order given.
    """

    __slots__ = ("_all", "_tensor", "_where", "ids", "name")

    def __init__(self, name: str, value: int | Iterable[int] | Tensor) -> None:
        """Reads the ids; a tensor on a GPU is waited for, once.

        Raises:
            ValueError: there is none, or one is no integer of at least 0.
        """
        given = value.flatten().tolist() if isinstance(value, Tensor) else value
        listed = list(given) if isinstance(given, Iterable) else [given]
        if not listed or not all(is_token_id(token) for token in listed):
            raise ValueError(
                f"`{name}` is {shorten(value)}; expected a token id or several, integers of at least 0: look them up "
                "with tokenizer.convert_tokens_to_ids, or leave the argument out."
            )
        self.name = name
        self.ids = tuple(int(token) for token in listed)
        self._where: tuple[torch.device, int] | None = None
        self._tensor: Tensor | None = None
        self._all: Tensor | None = None

    def on(self, scores: Tensor) -> Tensor:
        """int64 [n]: the ids that scores [..., vocabulary] have a column for, on their device.

        Models are often padded or cut to another vocabulary than their tokenizer's, so others are left out.
        """
        where = (scores.device, scores.shape[-1])
        if self._tensor is None or self._where != where:
            existing = [token for token in self.ids if token < where[1]]
            self._tensor = torch.tensor(existing, dtype=torch.int64, device=scores.device)
            self._where = where
        return self._tensor

    def all_on(self, device: torch.device) -> Tensor:
        """int64 [n]: all ids on a device."""
        if self._all is None or self._all.device != device:
            self._all = torch.tensor(self.ids, dtype=torch.int64, device=device)
        return self._all

    def require(self, scores: Tensor) -> Tensor:
        """The same, when leaving one out would leave nothing to choose.

        Raises:
            ValueError: an id has no column.
        """
        if max(self.ids) >= scores.shape[-1]:
            raise ValueError(
                f"`{self.name}` holds {max(self.ids)}, but the scores end at {scores.shape[-1] - 1}: choose an id of "
                "this model's vocabulary."
            )
        return self.on(scores)


def repeat_rows(name: str, tensor: Tensor, rows: int) -> Tensor:
    """``tensor`` [batch, ...] as [rows, ...], each row as often as there are beams or samples of it.

    Raises:
        ValueError: ``rows`` is no multiple of the batch.
    """
    batch = tensor.shape[0]
    if batch == rows:
        return tensor
    if batch == 0 or rows % batch:
        raise ValueError(
            f"`{name}` has {batch} rows, but there are scores for {rows}; expected as many, or a divisor of them."
        )
    return tensor.repeat_interleave(rows // batch, dim=0)


def is_token_id(token: object) -> bool:
    """Whether it is an integer of at least 0, and no bool."""
    return isinstance(token, Integral) and not isinstance(token, bool) and int(token) >= 0
