"""Launches of the kernels: grids, strides and tiles for tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from formers.kernels.ops import row_major
from formers.kernels.tables import Tiles, TunedTable, padded_head_dim

from . import loops

__all__ = ["Call", "decode"]

_COMBINING = {"num_warps": 4, "num_stages": 1}


@dataclass(frozen=True, slots=True)
class Call:
    """What one launch is told beside the queries, keys and values.

    Attributes:
        bounds: int32 [2, sources], where the keys of each source begin and end, new ones included; begins come first.
        real: bool [sources, places], False where no query may read; None if all within the bounds are read.
        table: float32 [heads, low + high + 1], a bias by distance from the newest key; None for none.
        scale: factor of the scores.
        low: see :class:`formers.attention.contract.BiasTable`; unused without a table.
        high: the same.
        package: whose ``tiles.json`` has the op "split".
        tiles: in place of those of the table: blocks BLOCK_K and SPLITS.
    """

    bounds: Tensor
    real: Tensor | None
    table: Tensor | None
    scale: float
    low: int = 0
    high: int = 0
    package: str = ""
    tiles: Tiles | None = None

    def tiles_of(self, q: Tensor, room: int) -> Tiles:
        """The tiles for a cache of so many places."""
        if self.tiles is not None:
            return self.tiles
        return TunedTable.of(self.package).tiles(
            "split",
            dtype=q.dtype,
            head_dim=padded_head_dim(q.shape[2]),
            max_length=room,
            bias=self.table is not None,
        )


def decode(q: Tensor, new: tuple[Tensor, Tensor] | None, keys: Tensor, values: Tensor, call: Call) -> Tensor:
    """[rows, heads, head_dim]: softmax(scale * q keys + bias) values for each row; 0 where it may read nothing.

    Args:
        q: [rows, heads, head_dim].
        new: keys and values of the newest tokens, [rows, key heads, head_dim] each, which are written to the place
            before the row's end; None if the keys are all there.
        keys: [sources, key heads, room, head_dim]; consecutive rows share a source if there are fewer of these.
        values: like ``keys``.
        call: bounds, masks, bias and tiles.
    """
    q = row_major(q)
    rows, heads, width = q.shape
    sources, key_heads, room, _ = keys.shape
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    if not out.numel():
        return out
    tiles = call.tiles_of(q, room)
    splits = tiles["SPLITS"]
    if not room:  # nothing to point at
        return out.zero_()
    fresh = (q, q) if new is None else (row_major(new[0]), row_major(new[1]))
    real, table = (None if given is None else row_major(given) for given in (call.real, call.table))
    partial = statistics = q
    if splits > 1:
        partial = torch.empty((rows * heads, splits, width), dtype=torch.float32, device=q.device)
        statistics = torch.empty((rows * heads, splits, 2), dtype=torch.float32, device=q.device)
    padded = padded_head_dim(width)
    shape = {"WIDTH": padded, "CHECK_WIDTH": padded != width}
    loops.split[(rows * heads, splits)](
        q, *fresh, keys, values, call.bounds, q if real is None else real, q if table is None else table,
        out, partial, statistics,
        *q.stride()[:2], *fresh[0].stride()[:2], *fresh[1].stride()[:2], *keys.stride()[:3], *values.stride()[:3],
        0 if real is None else real.stride(0), 0 if table is None else table.stride(0),
        sources, rows // sources, heads, width, room, call.scale, call.low, call.high,
        GROUP=heads // key_heads, APPEND=new is not None, BIAS=table is not None, MASK=real is not None,
        **shape, **tiles.options(),
    )  # fmt: skip
    if splits > 1:
        loops.combine[(rows * heads,)](
            partial, statistics, out, call.bounds, sources, rows // sources, heads, width,
            **shape, **dict(tiles.blocks), **_COMBINING,
        )  # fmt: skip
    return out
