"""What ``tools/tune_attention.py`` tries for these kernels, for the packages that have a table of their tiles.

A launch takes the host longer than it takes a GPU to run these kernels. So what is measured is a captured graph of the
attention of as many layers as a model has, each over a cache of its own, as in a decode step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from formers.kernels.tables import Tiles, padded_head_dim
from formers.kernels.tuning import Problem, candidates

from . import launch

__all__ = ["problems"]

LAYERS, HEADS = 12, 12
_BLOCKS = [{"BLOCK_K": block, "SPLITS": splits} for block in (32, 64, 128) for splits in (1, 4, 8, 16, 32)]


def problems(
    device: torch.device,
    package: str,
    *,
    dtypes: Sequence[torch.dtype] = (torch.bfloat16,),
    head_dims: Sequence[int] = (64, 128),
    lengths: Sequence[int] = (64, 256, 1024, 4096),
    reach: int = 0,
) -> Iterator[Problem]:
    """One row in 12 layers with 12 heads, over caches that are filled to three quarters.

    Args:
        device: where.
        package: whose table is meant.
        dtypes: of keys and values.
        head_dims: widths of a head.
        lengths: rooms of caches.
        reach: of a bias by distance; 0 for none.
    """
    for dtype, head_dim, room in product(dtypes, head_dims, lengths):
        case = _Case(device, package, dtype, head_dim, room, reach)
        conditions: dict[str, Any] = {"head_dim": padded_head_dim(head_dim), "max_length": room}
        if dtype == torch.float32:
            conditions = {"dtype": "float32", **conditions}
        now = case.tiles()
        tried = candidates(_BLOCKS, (2, 4), (1,))  # the loop has nothing to pipeline
        yield Problem("split", conditions, [now, *(tiles for tiles in tried if tiles != now)], case.run)


class _Case:
    """The attention of all layers for one token, as a function of the tiles."""

    def __init__(
        self, device: torch.device, package: str, dtype: torch.dtype, head_dim: int, room: int, reach: int
    ) -> None:
        shape = LAYERS, 1, HEADS, room, head_dim
        self._keys, self._values = (torch.randn(shape, dtype=dtype, device=device) for _ in range(2))
        self._new = torch.randn(3, LAYERS, 1, HEADS, head_dim, dtype=dtype, device=device)
        self._bounds = torch.tensor([[0], [max(room * 3 // 4, 1)]], dtype=torch.int32, device=device)
        self._real = torch.ones(1, room, dtype=torch.bool, device=device)
        self._table = torch.randn(HEADS, reach + 1, device=device) if reach else None
        self._reach, self._package = reach, package
        self._graphs: dict[Tiles, tuple[torch.cuda.CUDAGraph, list[Tensor]]] = {}

    def tiles(self) -> Tiles:
        """Those of the table."""
        return self._call(None).tiles_of(self._new[0, 0], self._keys.shape[3])

    def run(self, tiles: Tiles) -> Sequence[Tensor]:
        """The outputs of all layers; of one where there is no GPU to measure."""
        if self._keys.device.type != "cuda":
            return self._step(tiles, 1)
        if tiles not in self._graphs:
            self._step(tiles)  # compiles, which a capture must not
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                outputs = self._step(tiles)
            self._graphs[tiles] = graph, outputs
        graph, outputs = self._graphs[tiles]
        graph.replay()
        return outputs

    def _step(self, tiles: Tiles, layers: int = LAYERS) -> list[Tensor]:
        call = self._call(tiles)
        each = zip(*self._new[:, :layers], self._keys[:layers], self._values[:layers], strict=True)
        return [launch.decode(q, (key, value), keys, values, call) for q, key, value, keys, values in each]

    def _call(self, tiles: Tiles | None) -> launch.Call:
        scale = self._keys.shape[-1] ** -0.5
        return launch.Call(self._bounds, self._real, self._table, scale, self._reach, 0, self._package, tiles)
