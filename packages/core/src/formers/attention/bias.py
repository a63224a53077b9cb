"""Biases that are added to attention scores, dense or as a table over the distance of key and query."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

__all__ = ["BiasTable", "DenseBias", "ScoreBias", "TableBias"]


class BiasTable(NamedTuple):
    """A bias that depends on ``distance = key position - query position`` alone.

    Attributes:
        values: [heads, low + high + 1]; entry ``clamp(distance, -low, high) + low`` is added to the score.
        low: distances below ``-low`` count as ``-low``.
        high: distances above ``high`` count as ``high``.
    """

    values: Tensor
    low: int
    high: int


class ScoreBias(Protocol):
    """What a layer adds to its scaled scores, in the form that the implementation can use best.

    In a packed batch the rows are the documents, and queries and keys count up to the longest of them.
    """

    def dense(self) -> Tensor:
        """[batch | 1, heads | 1, queries, keys]; finite; gradients flow through it."""
        ...

    def table(self) -> BiasTable | None:
        """The same bias by distance, or None where it depends on more."""
        ...


class DenseBias:
    """A bias that is given for each query and key: [batch | 1, heads | 1, queries, keys].

    Raises:
        ValueError: the tensor does not have four dimensions.
    """

    __slots__ = ("_tensor",)

    def __init__(self, tensor: Tensor) -> None:
        if tensor.dim() != 4:
            raise ValueError(
                f"A dense bias has shape {tuple(tensor.shape)}; "
                "expected [batch or 1, heads or 1, queries, keys]."
            )
        self._tensor = tensor

    def dense(self) -> Tensor:
        """The tensor itself."""
        return self._tensor

    def table(self) -> None:
        """None: the bias may depend on more than the distance."""


class TableBias:
    """A bias by distance: each head's value for ``clamp(key - query, -low, high)``.

    Args:
        table: [heads, low + high + 1].
        low: the farthest distance to the left that has a value of its own.
        high: the same to the right.
        queries: how many positions ask.
        keys: how many may be attended to.
        offset: position of the first query, when the first key is at 0; ``keys - queries`` beside a cache.

    Raises:
        ValueError: the table does not have ``low + high + 1`` columns.
    """

    __slots__ = ("_keys", "_offset", "_queries", "_table")

    def __init__(self, table: Tensor, low: int, high: int, queries: int, keys: int, offset: int = 0) -> None:
        if table.dim() != 2 or table.shape[1] != low + high + 1:
            raise ValueError(
                f"A bias table has shape {tuple(table.shape)}; "
                f"expected [heads, {low} + {high} + 1 distances]."
            )
        self._table = BiasTable(table, low, high)
        self._queries = queries
        self._keys = keys
        self._offset = offset

    def dense(self) -> Tensor:
        """[1, heads, queries, keys]: each query's row is a window on one long row of distances."""
        values, low, high = self._table
        first = 1 - self._queries - self._offset
        if torch.compiler.is_compiling():  # unfold would bind the graph to one length
            keys = torch.arange(self._keys, device=values.device)
            distances = keys - (torch.arange(self._queries, device=values.device) + self._offset)[:, None]
            return values[:, distances.clamp(-low, high) + low][None]
        if not self._queries or not self._keys:
            return values.new_zeros(1, values.shape[0], self._queries, self._keys)
        distances = torch.arange(first, first + self._queries + self._keys - 1, device=values.device)
        row = values.index_select(1, distances.clamp(-low, high) + low)
        return row.unfold(1, self._keys, 1).flip(1)[None]

    def table(self) -> BiasTable:
        """The table itself."""
        return self._table
