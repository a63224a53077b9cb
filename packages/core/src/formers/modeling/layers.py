"""Modules that architectures share."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Dropout"]


class Dropout(nn.Dropout):
    """``nn.Dropout`` that outside training hands its input on without asking torch.

    A layer of a Transformer has three of them; in a small model they are a twentieth of the time of a forward.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of the base class
        """The input, with entries dropped in training."""
        return super().forward(input) if self.training else input
