"""The attention ``t5_relbias``: fused kernels that add the position bias by distance, in memory linear in the length.

This module imports no Triton; :mod:`.kernels.ops`, which does, is imported when the implementation is first selected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from formers.attention.contract import AttentionImplementation, BiasTable, OutOfScope
from formers.attention.heads import heads_of_keys
from formers.kernels.spans import Spans, spans_of
from formers.kernels.support import priority, reasons_against

if TYPE_CHECKING:
    from formers.attention.contract import AttentionPass, AttentionRequest, ScoreBias
    from formers.cache import CacheLayer
    from formers.layout import Layout

    from .kernels.ops import Distances

__all__ = ["RELBIAS", "T5RelativeBias"]

_REFUSED = {
    "probs": "fused kernels do not form the probabilities (output_attentions=True)",
    "head_mask": "head_mask weights the probabilities, which fused kernels do not form",
    "dense_mask": "a mask of 3 or 4 dimensions is not about documents",
}
_DECODE = "one query at a time reads a cache; these kernels cut queries into blocks"
_CROSS_BIAS = "a bias by distance between different sequences has no distances"
_DENSE = "the bias is not one by distance"


class _Where(NamedTuple):
    """Where the documents of one forward lie, and which keys in them are holes of the caller's mask."""

    query: Spans
    key: Spans
    real: Tensor | None


class T5RelativeBias(AttentionImplementation):
    """Triton kernels, forward and backward, with dropout inside; on a GPU, or by name in Triton's interpreter.

    The bias stays a table by distance, and so does its gradient: nothing is ever [heads, queries, keys]. A packed batch
    is used as it is. In rows with padding a document is what lies between the first and the last real token: padding
    among the queries costs nothing and gets 0, where other implementations compute something that nobody reads.
    """

    name = "t5_relbias"
    priority: int

    def __init__(self) -> None:
        self.priority = priority()

    def supports(self, request: AttentionRequest) -> tuple[str, ...]:
        """Refuses what needs the probabilities, a mask by pairs, or one query at a time; needs a GPU."""
        reasons = reasons_against(request, _REFUSED)
        if request.phase == "decode":
            reasons += (OutOfScope(_DECODE),)
        if {"bias", "cross"} <= request.needs:
            reasons += (_CROSS_BIAS,)
        if not reasons:
            from .kernels import ops  # noqa: F401  a graph that is traced later cannot import it
        return reasons

    def prepare(self, step: AttentionPass, bias: ScoreBias | None, dtype: torch.dtype) -> None:
        """Find the documents, and make the table that all layers share, once."""
        self._documents(step, bias)
        if bias is not None:
            step.memo[self.name, "bias"] = bias, torch.is_grad_enabled(), self._make_distances(step, bias)

    def __call__(
        self,
        q: Tensor,
        k: Tensor | None,
        v: Tensor | None,
        step: AttentionPass,
        *,
        scale: float,
        cache: CacheLayer | None = None,
        bias: ScoreBias | None = None,
        head_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """See :meth:`formers.attention.contract.AttentionImplementation.__call__`.

        Raises:
            ValueError: the call needs something that :meth:`supports` refuses, or the bias is not one by distance.
        """
        from .kernels.ops import relative_attention

        if step.need_probs or head_mask is not None:
            raise ValueError(f"{self.name}: {_REFUSED['probs']}; {_REFUSED['head_mask']}.")
        if step.key.pairwise is not None:
            raise ValueError(f"{self.name}: {_REFUSED['dense_mask']}.")
        if cache is not None and cache.cursor is not None:
            raise ValueError(f"{self.name}: {_DECODE}.")
        where = self._documents(step, bias)
        key, value = _keys(k, v, step, cache)
        out = relative_attention(
            q,
            key,
            value,
            where.query,
            where.key,
            scale=scale,
            bias=self._distances(step, bias, q),
            real=where.real,
            dropout=step.dropout,
        )
        return out, None

    def _distances(self, step: AttentionPass, bias: ScoreBias | None, q: Tensor) -> Distances | None:
        known: tuple[ScoreBias, bool, Distances] | None = step.memo.get((self.name, "bias"))
        if (
            bias is not None
            and known is not None
            and known[0] is bias
            and known[1] == torch.is_grad_enabled()
        ):
            return known[2]
        if bias is None and step.causal:  # the causal mask is part of a table
            nothing = BiasTable(q.new_zeros(q.shape[1], 1), 0, 0)
            return _distances_of(nothing, step)
        return None if bias is None else self._make_distances(step, bias)

    def _make_distances(self, step: AttentionPass, bias: ScoreBias) -> Distances:
        table = bias.table()
        if table is None:
            raise ValueError(f"{self.name}: {_DENSE}.")
        return _distances_of(table, step)

    def _documents(self, step: AttentionPass, bias: ScoreBias | None) -> _Where:
        placed = step.causal or bias is not None
        known: _Where | None = step.memo.get((self.name, placed))
        if known is None:
            known = _find_documents(step, placed)
            step.memo[self.name, placed] = known
        return known


def _distances_of(table: BiasTable, step: AttentionPass) -> Distances:
    from .kernels.ops import distances_of

    return distances_of(table, causal=step.causal)


def _keys(
    k: Tensor | None, v: Tensor | None, step: AttentionPass, cache: CacheLayer | None
) -> tuple[Tensor, Tensor]:
    """All keys and values, [key tokens, heads, head_dim]; new ones enter the cache."""
    if cache is None and k is not None and v is not None:
        return k, v
    key, value = heads_of_keys(k, v, step, cache)
    if k is not None and v is not None and len(k) == step.key.tokens:  # nothing was there before
        return k, v
    key, value = (tensor.transpose(1, 2).flatten(0, 1) for tensor in (key, value))
    return key, value


def _find_documents(step: AttentionPass, placed: bool) -> _Where:
    """Documents of a padded row go from its first to its last real token, so that distances stay those of columns.

    Where queries are ``placed``, those of a part of a row, as beside a cache, stand at its end, which then stays.
    """
    real = None if step.key.mask is None else step.key.mask.flatten()
    if step.query is step.key:
        spans = _trimmed(step.key)
        return _Where(spans, spans, real)
    query = spans_of(step.query) if placed else _trimmed(step.query)
    return _Where(query, _trimmed(step.key, to_end=placed), real)


def _trimmed(layout: Layout, *, to_end: bool = False) -> Spans:
    spans = spans_of(layout)
    if layout.mask is None:
        return spans
    first, end = spans.bounds
    some = layout.mask.any(dim=1).int()
    if not to_end:
        end = first + (layout.last_real().int() + 1) * some
    first = first + layout.first_real().int() * some
    return Spans(torch.stack([first, end]), spans.longest, full=False)


RELBIAS = T5RelativeBias()
"""The one instance, which selection remembers."""
