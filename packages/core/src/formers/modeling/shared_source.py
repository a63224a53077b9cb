"""Cross-attention of several rows that read one source, such as the beams of a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from formers.attention.contract import AttentionImplementation

if TYPE_CHECKING:
    from torch import Tensor

    from formers.attention.contract import AttentionRequest

__all__ = ["RowByRow"]


class RowByRow(AttentionImplementation):
    """An implementation whose probabilities have a row for each row that asks, though these share a row of keys.

    To the implementation itself the queries of such rows are those of one row, one after another.

    Args:
        inner: what computes.
        copies: rows that ask for each row of keys.
    """

    def __init__(self, inner: AttentionImplementation, copies: int) -> None:
        self.name, self.priority = inner.name, inner.priority
        self._inner, self._copies = inner, copies

    def supports(self, request: AttentionRequest) -> tuple[str, ...]:
        """What the implementation says."""
        return self._inner.supports(request)

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """The output as the implementation gives it, and the probabilities [rows, heads, queries, keys]."""
        out, probs = self._inner(*args, **kwargs)
        if probs is not None:
            rows = probs.unflatten(2, (self._copies, -1)).transpose(
                1, 2
            )  # [batch, copies, heads, queries, keys]
            probs = rows.flatten(0, 1)
        return out, probs
