"""Dropout inside a kernel, from outside: a seed on the device and a probability in steps of 1/65536."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["new_seed", "scale_of", "threshold_of"]

_STEPS = 65536


def threshold_of(probability: float) -> int:
    """The ``threshold`` of :func:`formers.kernels.steps.keep_tile` for a probability of dropping."""
    return round(probability * _STEPS)


def scale_of(threshold: int) -> float:
    """The factor of what is kept, by which the expectation stays; 0 where nothing is kept, as in PyTorch."""
    return 0.0 if threshold >= _STEPS else _STEPS / (_STEPS - threshold)


def new_seed(device: torch.device) -> Tensor:
    """A seed from PyTorch's generator, int64 [1], on the device, so that neither a launch nor a graph waits for it.

    ``torch.manual_seed`` reproduces it, and gradient checkpointing, which restores the generator, repeats it.
    """
    return torch.randint(0, 2**62, (1,), dtype=torch.int64, device=device)
