"""What ``tools/tune_attention.py`` tries for these kernels: sizes of T5, and tiles that may suit them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from formers.kernels.decode import tuning as decoding
from formers.kernels.spans import Spans
from formers.kernels.tables import Tiles, padded_head_dim
from formers.kernels.tuning import Problem, candidates

from . import launch
from .distances import extended

__all__ = ["OPS", "problems"]

OPS = ("forward", "query_gradients", "key_gradients", "band_gradients", "split")
TOKENS, HEADS, FAR = 16384, 12, 128

_SIZES = {
    "forward": [(128, 128), (128, 64), (64, 128), (64, 64), (64, 32), (128, 32)],
    "query_gradients": [(128, 64), (64, 64), (64, 32), (128, 32)],
    "key_gradients": [(64, 128), (32, 128), (64, 64), (32, 64), (16, 64)],
}
_PRODUCTS = {"forward": 2, "query_gradients": 3, "key_gradients": 4, "band_gradients": 0}


def problems(
    device: torch.device,
    *,
    ops: Sequence[str] = OPS,
    dtypes: Sequence[torch.dtype] = (torch.float16,),
    head_dims: Sequence[int] = (64, 128),
    lengths: Sequence[int] = (512, 1024, 4096),
    dropouts: Sequence[bool] = (False, True),
    causals: Sequence[bool] = (False, True),
) -> Iterator[Problem]:
    """Batches of 16 thousand tokens in documents of equal length, with 12 heads, whose bias reaches 128 positions.

    For "split", a decode step over caches of these lengths.
    """
    if "split" in ops:
        shapes = {"dtypes": dtypes, "head_dims": head_dims, "lengths": lengths}
        yield from decoding.problems(device, "formers_t5.kernels", reach=FAR, **shapes)  # type: ignore[arg-type]
    blocked = [op for op in ops if op != "split"]
    for dtype, head_dim, length, dropout, causal in product(dtypes, head_dims, lengths, dropouts, causals):
        case = _Case(device, dtype, head_dim, length, dropout, causal)
        conditions: dict[str, Any] = {
            "head_dim": padded_head_dim(head_dim),
            "max_length": length,
            "dropout": dropout,
            "causal": causal,
            "bias": True,
        }
        if dtype == torch.float32:
            conditions = {"dtype": "float32", **conditions}
        pairs = TOKENS * length * (0.5 if causal else 1.0)
        for op in blocked:
            now = case.settings().tiles_of(op, case.inputs)
            flops = 2.0 * _PRODUCTS[op] * pairs * head_dim * HEADS
            yield Problem(op, conditions, _choices(op, now), case.run(op), flops)


def _choices(op: str, now: Tiles) -> list[Tiles]:
    if op == "band_gradients":
        tried = candidates([{"SPLITS": splits} for splits in (4, 8, 16, 32)], (4, 8), (1, 2))
    else:
        blocks = [{"BLOCK_Q": rows, "BLOCK_K": columns} for rows, columns in _SIZES[op]]
        tried = candidates(blocks, (4, 8), (2, 3))
    return [now, *(tiles for tiles in tried if tiles != now)]


class _Case:
    """One batch, and the kernels as functions of their tiles."""

    def __init__(
        self,
        device: torch.device,
        dtype: torch.dtype,
        head_dim: int,
        length: int,
        dropout: bool,
        causal: bool,
    ) -> None:
        starts = torch.arange(0, TOKENS, length, dtype=torch.int32, device=device)
        spans = Spans(torch.stack([starts, starts + length]), length)
        q, k, v = torch.randn(TOKENS, 3, HEADS, head_dim, dtype=dtype, device=device).unbind(1)
        self._high, self._causal, self._threshold = 0 if causal else FAR, causal, 6554 if dropout else 0
        values = torch.randn(HEADS, FAR + self._high + 1, device=device)
        table = extended(values, FAR, self._high, causal=causal)
        seed = torch.ones(1, dtype=torch.int64, device=device) if dropout else None
        # Queries as small as those of T5, which scales by nothing.
        self.inputs = launch.Matrices(q * head_dim**-0.5, k, v, table, seed, None, spans, spans)
        self._grad = torch.randn_like(q)
        self._forward: tuple[Tensor, Tensor] | None = None

    def settings(self, *tiles: tuple[str, Tiles]) -> launch.Settings:
        """Of the call, with these tiles."""
        return launch.Settings(1.0, FAR, self._high, self._causal, self._threshold, tiles)

    def run(self, op: str) -> Callable[[Tiles], Sequence[Tensor]]:
        """The results of one kernel as a function of its tiles."""
        if op == "forward":
            return lambda tiles: launch.forward(self.inputs, self.settings((op, tiles)))
        calls: dict[str, Callable[[launch.Backward], Sequence[Tensor]]] = {
            "query_gradients": lambda backward: (backward.queries(),),
            "key_gradients": lambda backward: backward.keys(),
            "band_gradients": lambda backward: (backward.band().sum(0),),
        }
        return lambda tiles: calls[op](self._backward(op, tiles))

    def _backward(self, op: str, tiles: Tiles) -> launch.Backward:
        if self._forward is None:
            self._forward = launch.forward(self.inputs, self.settings())
        settings = self.settings((op, tiles))
        calls = launch.Backward(self._grad, *self._forward, self.inputs, settings, trained=True)
        if op != "query_gradients":
            calls.queries()  # it leaves what the others read
        return calls
