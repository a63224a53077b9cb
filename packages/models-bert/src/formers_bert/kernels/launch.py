"""Launches of the kernels: grids, strides and tiles for tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from formers.kernels.dropout import scale_of
from formers.kernels.ops import row_major
from formers.kernels.spans import Spans
from formers.kernels.tables import Tiles, TunedTable, padded_head_dim

from . import loops

__all__ = ["Backward", "Settings", "forward"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the launches of one call have in common.

    Attributes:
        scale: factor of the scores.
        causal: whether query i reads keys up to i only, counted so that the last query stands at the last key.
        threshold: of dropout, see :mod:`formers.kernels.dropout`; 0 without.
        tiles: by kernel; those of the package's table where it names none.
    """

    scale: float
    causal: bool = False
    threshold: int = 0
    tiles: tuple[tuple[str, Tiles], ...] = ()

    def tiles_of(self, op: str, q: Tensor, longest: int) -> Tiles:
        """The tiles of one kernel: forward, delta, query_gradients or key_gradients."""
        given = dict(self.tiles).get(op)
        if given is not None:
            return given
        return TunedTable.of(__package__).tiles(
            op,
            dtype=q.dtype,
            head_dim=padded_head_dim(q.shape[2]),
            max_length=longest,
            causal=self.causal,
            dropout=self.threshold > 0,
        )


def forward(
    q: Tensor, k: Tensor, v: Tensor, seed: Tensor | None, query: Spans, key: Spans, settings: Settings
) -> tuple[Tensor, Tensor]:
    """The output, like q but dense, and the log-sum-exp, float32 [heads, query tokens]."""
    q, k, v = row_major(q), row_major(k), row_major(v)
    new = torch.empty if query.full else torch.zeros
    out = new(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty(q.shape[1], q.shape[0], dtype=torch.float32, device=q.device)
    if not query.full:
        lse.fill_(-torch.inf)
    tiles = settings.tiles_of("forward", q, max(query.longest, key.longest))
    grid, blocks = _grid(query, tiles["BLOCK_Q"], q.shape[1])
    if grid[0]:
        loops.forward[grid](
            q, k, v, out, lse, lse if seed is None else seed, query.bounds, key.bounds,
            *q.stride()[:2], *k.stride()[:2], *v.stride()[:2], *out.stride()[:2], q.shape[0],
            *_shared(q, query, blocks, settings), **_constants(q, k, settings), **tiles.options(),
        )  # fmt: skip
    return out, lse


class Backward:
    """The launches of one backward, each by itself.

    Args:
        grad: of the output.
        q: as the forward got it; so are ``k``, ``v``, ``seed``, ``query``, ``key`` and ``settings``.
        out: the forward's output.
        lse: the forward's log-sum-exp.
    """

    def __init__(
        self,
        grad: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        out: Tensor,
        lse: Tensor,
        seed: Tensor | None,
        query: Spans,
        key: Spans,
        settings: Settings,
    ) -> None:
        grad = grad.contiguous()
        self._inputs = q, k, v, grad = row_major(q), row_major(k), row_major(v), grad
        self._query, self._key, self._settings = query, key, settings
        deltas = _deltas(out, grad, settings)
        self._shared = (lse, deltas, lse if seed is None else seed, query.bounds, key.bounds)
        self._strides = (*q.stride()[:2], *k.stride()[:2], *v.stride()[:2], *out.stride()[:2])
        self._constants = _constants(q, k, settings)
        self._new = torch.empty if query.full and key.full else torch.zeros

    def queries(self) -> Tensor:
        """The gradient of q, dense."""
        q, settings = self._inputs[0], self._settings
        dq = self._new(q.shape, dtype=q.dtype, device=q.device)
        tiles = settings.tiles_of("query_gradients", q, max(self._query.longest, self._key.longest))
        grid, blocks = _grid(self._query, tiles["BLOCK_Q"], q.shape[1])
        if grid[0]:
            loops.query_gradients[grid](
                *self._inputs, dq, *self._shared, *self._strides, q.shape[0],
                *_shared(q, self._query, blocks, settings), **self._constants, **tiles.options(),
            )  # fmt: skip
        return dq

    def keys(self) -> tuple[Tensor, Tensor]:
        """The gradients of k and v, dense."""
        q, k, *_ = self._inputs
        settings = self._settings
        dk, dv = (self._new(k.shape, dtype=k.dtype, device=k.device) for _ in range(2))
        tiles = settings.tiles_of("key_gradients", q, max(self._query.longest, self._key.longest))
        grid, blocks = _grid(self._key, tiles["BLOCK_K"], k.shape[1])
        if grid[0]:
            loops.key_gradients[grid](
                *self._inputs, dk, dv, *self._shared, *self._strides, *dk.stride()[:2], q.shape[0],
                *_shared(q, self._query, blocks, settings), **self._constants, **tiles.options(),
            )  # fmt: skip
        return dk, dv


def _deltas(out: Tensor, grad: Tensor, settings: Settings) -> Tensor:
    tokens, heads, width = out.shape
    deltas = torch.empty(heads, tokens, dtype=torch.float32, device=out.device)
    tiles = settings.tiles_of("delta", out, tokens)
    blocks = -(-tokens // tiles["BLOCK_Q"])
    if blocks * heads:
        padded = padded_head_dim(width)
        loops.delta[(blocks * heads,)](
            out, grad, deltas, *out.stride()[:2], tokens, tokens, blocks, heads, width,
            WIDTH=padded, CHECK_WIDTH=padded != width, **tiles.options(),
        )  # fmt: skip
    return deltas


def _grid(spans: Spans, block: int, heads: int) -> tuple[tuple[int], int]:
    """The grid, and the blocks of the longest document."""
    blocks = -(-spans.longest // block)
    return (blocks * heads * spans.bounds.shape[1],), blocks


def _shared(q: Tensor, query: Spans, blocks: int, settings: Settings) -> tuple[Any, ...]:
    """documents, blocks, heads, width, scale, threshold, kept_scale"""
    documents, (_, heads, width) = query.bounds.shape[1], q.shape
    threshold = settings.threshold
    return documents, blocks, heads, width, settings.scale, threshold, scale_of(threshold)


def _constants(q: Tensor, k: Tensor, settings: Settings) -> dict[str, int | bool]:
    width = q.shape[2]
    padded = padded_head_dim(width)
    return {
        "GROUP": q.shape[1] // k.shape[1],
        "CAUSAL": settings.causal,
        "DROPOUT": settings.threshold > 0,
        "WIDTH": padded,
        "CHECK_WIDTH": padded != width,
    }
