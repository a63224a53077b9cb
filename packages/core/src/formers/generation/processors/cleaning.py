"""Processors that keep scores usable: invalid values, normalisation."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import LogitsProcessor

__all__ = ["InfNanRemoveLogitsProcessor", "LogitNormalization"]


class InfNanRemoveLogitsProcessor(LogitsProcessor):
    """Replaces NaN by 0 and infinities by the largest and lowest finite value."""

    uses_input_ids = False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        return torch.nan_to_num(scores, nan=0.0)


class LogitNormalization(LogitsProcessor):
    """Makes scores logarithms of probabilities again, after others have changed them."""

    uses_input_ids = False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        return scores.log_softmax(dim=-1)
