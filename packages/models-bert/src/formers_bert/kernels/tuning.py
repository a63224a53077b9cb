"""What ``tools/tune_attention.py`` tries for the varlen kernels: sizes of BERT, and tiles that may suit them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from formers.kernels.spans import Spans
from formers.kernels.tables import Tiles, padded_head_dim
from formers.kernels.tuning import Problem, candidates

from . import launch

__all__ = ["OPS", "problems"]

OPS = ("forward", "query_gradients", "key_gradients")
TOKENS, HEADS = 16384, 12

_SIZES = {
    "forward": [(128, 128), (128, 64), (64, 128), (64, 64), (64, 32), (128, 32)],
    "query_gradients": [(128, 64), (64, 128), (64, 64), (64, 32), (128, 32)],
    "key_gradients": [(64, 128), (32, 128), (64, 64), (32, 64), (16, 64)],
}


def problems(
    device: torch.device,
    *,
    ops: Sequence[str] = OPS,
    dtypes: Sequence[torch.dtype] = (torch.float16,),
    head_dims: Sequence[int] = (64, 128),
    lengths: Sequence[int] = (128, 512, 2048),
    dropouts: Sequence[bool] = (False, True),
    causals: Sequence[bool] = (False,),
) -> Iterator[Problem]:
    """Batches of about 16 thousand tokens in documents of equal length, with 12 heads."""
    for dtype, head_dim, length, dropout, causal in product(dtypes, head_dims, lengths, dropouts, causals):
        runs, settings = _runs(device, dtype, head_dim, length, dropout, causal)
        half = dtype != torch.float32  # both half precisions cost the same
        conditions: dict[str, Any] = {
            "dtype": ["float16", "bfloat16"] if half else "float32",
            "head_dim": padded_head_dim(head_dim),
            "max_length": length,
            "dropout": dropout,
        }
        if len(causals) > 1 or causal:
            conditions["causal"] = causal
        pairs = TOKENS * length * (0.5 if causal else 1.0)
        for op in ops:
            now = settings.tiles_of(op, torch.empty(0, HEADS, head_dim, dtype=dtype), length)
            blocks = ({"BLOCK_Q": rows, "BLOCK_K": columns} for rows, columns in _SIZES[op])
            choices = [now, *(tiles for tiles in candidates(blocks, (4, 8), (2, 3)) if tiles != now)]
            products = {"forward": 2, "query_gradients": 3, "key_gradients": 4}[op]
            flops = 2.0 * products * pairs * head_dim * HEADS
            yield Problem(op, conditions, choices, runs[op], flops)


def _runs(
    device: torch.device, dtype: torch.dtype, head_dim: int, length: int, dropout: bool, causal: bool
) -> tuple[dict[str, Callable[[Tiles], Sequence[Tensor]]], launch.Settings]:
    settings = launch.Settings(head_dim**-0.5, causal, 6554 if dropout else 0)
    starts = torch.arange(0, TOKENS, length, dtype=torch.int32, device=device)
    spans = Spans(torch.stack([starts, starts + length]), length)
    q, k, v = torch.randn(TOKENS, 3, HEADS, head_dim, dtype=dtype, device=device).unbind(1)
    grad = torch.randn(TOKENS, HEADS, head_dim, dtype=dtype, device=device)
    seed = torch.ones(1, dtype=torch.int64, device=device) if dropout else None
    kept: list[tuple[Tensor, Tensor]] = []

    def with_tiles(op: str, tiles: Tiles) -> launch.Settings:
        return launch.Settings(settings.scale, causal, settings.threshold, ((op, tiles),))

    def forward(tiles: Tiles) -> Sequence[Tensor]:
        return launch.forward(q, k, v, seed, spans, spans, with_tiles("forward", tiles))

    def backward(op: str, tiles: Tiles) -> Sequence[Tensor]:
        if not kept:
            kept.append(launch.forward(q, k, v, seed, spans, spans, settings))
        calls = launch.Backward(grad, q, k, v, *kept[0], seed, spans, spans, with_tiles(op, tiles))
        return (calls.queries(),) if op == "query_gradients" else calls.keys()

    runs: dict[str, Callable[[Tiles], Sequence[Tensor]]] = {
        "forward": forward,
        "query_gradients": lambda tiles: backward("query_gradients", tiles),
        "key_gradients": lambda tiles: backward("key_gradients", tiles),
    }
    return runs, settings
