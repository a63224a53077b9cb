"""The attention implementation around the kernels; an architecture gives it a name and a table of tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from formers.attention.contract import AttentionImplementation, OutOfScope
from formers.attention.heads import heads_of_keys
from formers.cache.layers import StaticLayer
from formers.kernels.support import priority, reasons_against

if TYPE_CHECKING:
    from formers.attention.contract import AttentionPass, AttentionRequest, ScoreBias
    from formers.cache import CacheLayer

__all__ = ["SplitDecode"]

_REFUSED = {
    "probs": "fused kernels do not form the probabilities (output_attentions=True)",
    "head_mask": "head_mask weights the probabilities, which fused kernels do not form",
    "dense_mask": "a mask of 3 or 4 dimensions is not read",
    "packed": "a packed batch has no rows of one query each",
    "dropout": "there is no backward, hence no dropout",
    "bias_grad": "there is no backward; call it under torch.no_grad()",
}
_PHASE = "it is for steps of one new token a row beside a cache, not for {}"
_FIXED = (
    "the cache has no fixed shapes, which a compiled decode step has (compile_config with "
    'cache_implementation="static", or StaticCache.fix_shapes())'
)
_CROSS_BIAS = "a bias by distance between different sequences has no distances"


class _Rows(NamedTuple):
    """Where the keys of each row lie: as :class:`formers.kernels.decode.launch.Call` has it."""

    bounds: Tensor
    real: Tensor | None


class SplitDecode(AttentionImplementation):
    """Triton kernels for one new token a row; on a GPU, or by name in Triton's interpreter.

    Self-attention appends to a cache of fixed shapes and reads what is filled of it; cross-attention reads what an
    encoder left. Everything else it refuses: ``attn_implementation="toy_decode,sdpa"`` says what serves that.

    Args:
        name: what ``attn_implementation`` calls it.
        package: whose ``tiles.json`` has the op "split", such as ``"formers_toy.kernels"``.
    """

    name: str
    priority: int

    def __init__(self, name: str, package: str) -> None:
        self.name = name
        self.priority = priority()
        self._package = package

    def supports(self, request: AttentionRequest) -> tuple[str, ...]:
        """Refuses all but decoding without gradients: self-attention needs fixed shapes; needs a GPU."""
        reasons = reasons_against(request, _REFUSED)
        if request.phase != "decode":
            reasons += (OutOfScope(_PHASE.format(request.phase)),)
        elif "cross" not in request.needs and "fixed" not in request.needs:
            reasons += (OutOfScope(_FIXED),)
        if {"bias", "cross"} <= request.needs:
            reasons += (_CROSS_BIAS,)
        if not reasons:
            from . import ops  # noqa: F401  a graph that is traced later cannot import it
        return reasons

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
        from .ops import append_attention, read_attention

        if step.need_probs or head_mask is not None:
            raise ValueError(f"{self.name}: {_REFUSED['probs']}; {_REFUSED['head_mask']}.")
        if step.key.pairwise is not None or step.key.is_packed:
            raise ValueError(f"{self.name}: {_REFUSED['dense_mask']}; {_REFUSED['packed']}.")
        if step.dropout:
            raise ValueError(f"{self.name}: {_REFUSED['dropout']}.")
        table, low, high = self._table(bias)
        if step.causal:
            cursor = None if cache is None else cache.cursor
            room = cache.room if isinstance(cache, StaticLayer) else None
            if cursor is None or room is None or k is None or v is None:
                raise ValueError(f"{self.name}: {_FIXED}.")
            where = self._rows(step, cursor.columns)
            out = append_attention(
                q, k, v, *room, where.bounds, scale=scale, package=self._package, real=where.real, table=table,
                low=low, high=high,
            )  # fmt: skip
            return out, None
        keys, values = heads_of_keys(k, v, step, cache)
        where = self._rows(step, None)
        out = read_attention(
            q, keys, values, where.bounds, scale=scale, package=self._package, real=where.real
        )
        return out, None

    def _table(self, bias: ScoreBias | None) -> tuple[Tensor | None, int, int]:
        if bias is None:
            return None, 0, 0
        table = bias.table()
        if table is None:
            raise ValueError(f"{self.name}: the bias is not one by distance.")
        return table.values.detach().float(), table.low, table.high

    def _rows(self, step: AttentionPass, columns: Tensor | None) -> _Rows:
        known: _Rows | None = step.memo.get(self.name)
        if known is None:
            known = _find_rows(step, columns)
            step.memo[self.name] = known
        return known


def _find_rows(step: AttentionPass, columns: Tensor | None) -> _Rows:
    """From the first to the last real key of each row; beside a cache of fixed shapes to the newest key.

    Args:
        step: whose keys are meant.
        columns: int64 [1], the place of the newest key, or None if all keys are filled.
    """
    layout = step.key
    starts = layout.first_real()
    ends = layout.last_real() if columns is None else columns.expand_as(starts)
    return _Rows(torch.stack([starts, ends + 1]).int(), layout.mask)
