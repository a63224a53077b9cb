"""Launches of the kernels: grids, strides and tiles for tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from formers.kernels.dropout import scale_of
from formers.kernels.ops import row_major
from formers.kernels.spans import Spans
from formers.kernels.tables import Tiles, TunedTable, padded_head_dim

from .distances import EDGE
from .loops import band, columns, rows
from .loops import forward as output

__all__ = ["Backward", "Matrices", "Settings", "forward"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the launches of one call have in common.

    Attributes:
        scale: factor of the scores.
        low: see :class:`formers.attention.contract.BiasTable`; unused without a table.
        high: the same.
        causal: whether query i reads keys up to i only, counted so that the last query stands at the last key.
        threshold: of dropout, see :mod:`formers.kernels.dropout`; 0 without.
        tiles: by kernel; those of the package's table where it names none.
    """

    scale: float
    low: int = 0
    high: int = 0
    causal: bool = False
    threshold: int = 0
    tiles: tuple[tuple[str, Tiles], ...] = ()

    def tiles_of(self, op: str, inputs: Matrices) -> Tiles:
        """The tiles of the kernel of that name in :mod:`.loops`."""
        given = dict(self.tiles).get(op)
        if given is not None:
            return given
        return TunedTable.of(__package__).tiles(
            op,
            dtype=inputs.q.dtype,
            head_dim=padded_head_dim(inputs.q.shape[2]),
            max_length=max(inputs.query.longest, inputs.key.longest),
            bias=inputs.table is not None,
            causal=self.causal,
            dropout=self.threshold > 0,
        )


@dataclass(frozen=True, slots=True)
class Matrices:
    """The tensors of one call.

    Attributes:
        q: [query tokens, heads, head_dim].
        k: [key tokens, heads, head_dim].
        v: like ``k``.
        table: from :func:`.distances.extended`, or None without a bias.
        seed: int64 [1], or None without dropout.
        real: bool [key tokens], False where a document's mask has a hole; None without holes.
        query: where the documents of the queries lie.
        key: where those of the keys lie.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    table: Tensor | None
    seed: Tensor | None
    real: Tensor | None
    query: Spans
    key: Spans


def forward(inputs: Matrices, settings: Settings) -> tuple[Tensor, Tensor]:
    """The output, like q but dense, and the log-sum-exp, float32 [heads, query tokens]."""
    q, k, v = row_major(inputs.q), row_major(inputs.k), row_major(inputs.v)
    new = torch.empty if inputs.query.full else torch.zeros
    out = new(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty(q.shape[1], q.shape[0], dtype=torch.float32, device=q.device)
    if not inputs.query.full:
        lse.fill_(-torch.inf)
    tiles = settings.tiles_of("forward", inputs)
    blocks = -(-inputs.query.longest // tiles["BLOCK_Q"])
    if grid := _grid(inputs, blocks):
        output.forward[grid](
            q, k, v, out, lse, *_data(inputs, lse),
            *q.stride()[:2], *k.stride()[:2], *v.stride()[:2], *out.stride()[:2], *_strides(inputs),
            *_shared(inputs, blocks, settings), *_reach(settings), **_constants(inputs, settings), **tiles.options(),
        )  # fmt: skip
    return out, lse


class Backward:
    """The launches of one backward, each by itself; :meth:`queries` comes first.

    Args:
        grad: of the output.
        out: the forward's output.
        lse: the forward's log-sum-exp.
        inputs: as in the forward.
        settings: as in the forward.
        trained: whether the gradient of the table is wanted.
    """

    def __init__(
        self, grad: Tensor, out: Tensor, lse: Tensor, inputs: Matrices, settings: Settings, *, trained: bool
    ) -> None:
        q, k, v = row_major(inputs.q), row_major(inputs.k), row_major(inputs.v)
        self._matrices, self._grad = (q, k, v), grad.contiguous()
        self._out, self._lse, self._deltas = out, lse, torch.empty_like(lse)
        self._inputs, self._settings, self._trained = inputs, settings, trained
        self._strides = (*q.stride()[:2], *k.stride()[:2], *v.stride()[:2], *out.stride()[:2])
        self._new = torch.empty if inputs.query.full and inputs.key.full else torch.zeros
        self._row_tiles = settings.tiles_of("query_gradients", inputs)
        self._blocks = -(-inputs.query.longest // self._row_tiles["BLOCK_Q"])
        self._bands = _Bands.of(self._row_tiles, settings)
        # [left and right, heads, documents, blocks]
        sums = (2 if trained else 0, q.shape[1], inputs.query.bounds.shape[1], self._blocks)
        self._far_sums = torch.empty(sums, dtype=torch.float32, device=q.device)

    def queries(self) -> Tensor:
        """The gradient of q, dense; keeps what the others need."""
        q, k, v = self._matrices
        dq = self._new(q.shape, dtype=q.dtype, device=q.device)
        if grid := _grid(self._inputs, self._blocks):
            rows.query_gradients[grid](
                q, k, v, self._out, self._grad, dq, self._lse, self._deltas, self._far_sums, *self._data(),
                *self._strides, *_strides(self._inputs), *_shared(self._inputs, self._blocks, self._settings),
                *_reach(self._settings), self._bands.first, self._bands.last,
                SUMMED=self._trained, **_constants(self._inputs, self._settings), **self._row_tiles.options(),
            )  # fmt: skip
        return dq

    def keys(self) -> tuple[Tensor, Tensor]:
        """The gradients of k and v, dense."""
        q, k, v = self._matrices
        inputs, settings = self._inputs, self._settings
        dk, dv = (self._new(k.shape, dtype=k.dtype, device=k.device) for _ in range(2))
        tiles = settings.tiles_of("key_gradients", inputs)
        # With a bias keys are numbered from the first query, and their first block may be a part of one.
        blocks = -(-inputs.key.longest // tiles["BLOCK_K"]) + (inputs.table is not None)
        if inputs.key.longest and (grid := _grid(inputs, blocks)):
            columns.key_gradients[grid](
                q, k, v, self._grad, dk, dv, self._lse, self._deltas, *self._data(),
                *self._strides, *dk.stride()[:2], *_strides(inputs), *_shared(inputs, blocks, settings),
                *_reach(settings), **_constants(inputs, settings), **tiles.options(),
            )  # fmt: skip
        return dk, dv

    def table(self) -> Tensor:
        """The gradient of the bias table, float32 [heads, low + high + 1]: of the far sums and of the band."""
        settings, bands = self._settings, self._bands
        _, heads, documents, blocks = self._far_sums.shape
        parts = documents * blocks
        dtable = torch.zeros(
            heads, settings.low + settings.high + 1, dtype=torch.float32, device=self._lse.device
        )
        if not dtable.numel() or not parts:
            return dtable
        by_distance = self._by_distance(self.band())
        band.table_gradients[(heads,)](
            by_distance, self._far_sums, dtable, heads, parts, by_distance.shape[1],
            bands.first * self._row_tiles["BLOCK_K"] - (self._row_tiles["BLOCK_Q"] - 1), settings.low, settings.high,
            **settings.tiles_of("table_gradients", self._inputs).options(),
        )  # fmt: skip
        return dtable

    def band(self) -> Tensor:
        """Sums of gradients of scores, [splits, heads, tiles of the band, BLOCK_Q, BLOCK_K].

        Its tiles are those of :meth:`queries`, which left them out of its sums.
        """
        q, k, v = self._matrices
        inputs, settings, bands = self._inputs, self._settings, self._bands
        own = settings.tiles_of("band_gradients", inputs)
        tiles, heads = bands.last - bands.first, q.shape[1]
        splits = min(own["SPLITS"], inputs.query.bounds.shape[1] * self._blocks)
        queries, keys = self._row_tiles["BLOCK_Q"], self._row_tiles["BLOCK_K"]
        summed = torch.empty((splits, heads, tiles, queries, keys), dtype=torch.float32, device=q.device)
        constants = _constants(inputs, settings)
        del constants["BIAS"], constants["CAUSAL"]
        band.band_gradients[(tiles * heads * splits,)](
            q, k, v, self._grad, self._lse, self._deltas, summed, *self._data(), *self._strides, *_strides(inputs),
            *_shared(inputs, self._blocks, settings), settings.low, EDGE, bands.first, tiles, splits,
            **constants, BLOCK_Q=queries, BLOCK_K=keys, num_warps=own.warps, num_stages=own.stages,
        )  # fmt: skip
        return summed

    def _by_distance(self, summed: Tensor) -> Tensor:
        """The sums of the band's diagonals, [heads, distances]."""
        splits, heads, tiles, queries, keys = summed.shape
        distances = tiles * keys + queries - 1
        found = torch.empty((heads, distances), dtype=torch.float32, device=summed.device)
        own = self._settings.tiles_of("diagonal_sums", self._inputs)
        blocks = -(-distances // own["BLOCK_D"])
        band.diagonal_sums[(blocks * heads,)](
            summed,
            found,
            blocks,
            heads,
            tiles,
            splits,
            distances,
            BLOCK_Q=queries,
            BLOCK_K=keys,
            **own.options(),
        )
        return found

    def _data(self) -> tuple[Tensor, ...]:
        return _data(self._inputs, self._lse)


class _Bands(NamedTuple):
    """The tiles in which the bias is not one number: from ``first`` to before ``last``, from a block's first row.

    Before them all distances are at most ``-low``, after them at least ``high``, or causality hides all keys.
    """

    first: int
    last: int

    @classmethod
    def of(cls, tiles: Tiles, settings: Settings) -> _Bands:
        queries, keys = tiles["BLOCK_Q"], tiles["BLOCK_K"]
        if queries % keys:
            raise ValueError(
                f"The tiles of query_gradients are {queries} x {keys}; BLOCK_K must divide BLOCK_Q, so that the blocks "
                "of all rows cut the band alike."
            )
        right = queries if settings.causal else settings.high + queries - 1
        return cls((1 - settings.low) // keys, -(-right // keys))


def _grid(inputs: Matrices, blocks: int) -> tuple[int] | None:
    programs = blocks * inputs.q.shape[1] * inputs.query.bounds.shape[1]
    return (programs,) if programs else None


def _data(inputs: Matrices, unused: Tensor) -> tuple[Tensor, ...]:
    """table, seed, real, q_spans, k_spans; ``unused`` in place of what there is not."""
    given = (unused if one is None else one for one in (inputs.table, inputs.seed, inputs.real))
    return (*given, inputs.query.bounds, inputs.key.bounds)


def _strides(inputs: Matrices) -> tuple[int, int]:
    """lse_head, table_head"""
    return inputs.q.shape[0], 0 if inputs.table is None else inputs.table.stride(0)


def _shared(inputs: Matrices, blocks: int, settings: Settings) -> tuple[Any, ...]:
    """documents, blocks, heads, width, scale, threshold, kept_scale"""
    _, heads, width = inputs.q.shape
    threshold = settings.threshold
    documents = inputs.query.bounds.shape[1]
    return documents, blocks, heads, width, settings.scale, threshold, scale_of(threshold)


def _reach(settings: Settings) -> tuple[int, int, int]:
    """low, high, edge"""
    return settings.low, settings.high, EDGE


def _constants(inputs: Matrices, settings: Settings) -> dict[str, int | bool]:
    width = inputs.q.shape[2]
    padded = padded_head_dim(width)
    return {
        "BIAS": inputs.table is not None,
        "CAUSAL": settings.causal,
        "HOLES": inputs.real is not None,
        "DROPOUT": settings.threshold > 0,
        "WIDTH": padded,
        "CHECK_WIDTH": padded != width,
    }
