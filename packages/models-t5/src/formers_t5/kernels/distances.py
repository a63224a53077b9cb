"""The bias table as the kernels read it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["EDGE", "extended"]

EDGE = 512
"""How far the table goes on beyond its ends: what a tile of 128 x 128 in the band may read there, without clamping."""


def extended(values: Tensor, low: int, high: int, *, causal: bool) -> Tensor:
    """[heads, EDGE + low + high + 1 + EDGE], float32, for scores in base 2; without gradient.

    Args:
        values: [heads, low + high + 1], by distance of the key from the query.
        low: distances below ``-low`` count as ``-low``.
        high: distances above ``high`` count as ``high``.
        causal: keys behind the query get -inf: this is the causal mask of the kernels.
    """
    distance = torch.arange(-low - EDGE, high + EDGE + 1, device=values.device)
    table = values.detach().float().index_select(1, distance.clamp(-low, high) + low) / math.log(2)
    return table.masked_fill(distance > 0, -torch.inf) if causal else table
