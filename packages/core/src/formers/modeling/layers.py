"""Modules that architectures share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Dropout", "LayerNorm", "Linear", "Parts"]

Parts = dict[str, Any]
"""The sub-modules of a module, as the forwards that run in every layer take them out of ``_modules``.

``self.dense`` is the same object, but goes through ``nn.Module.__getattr__``: for the fifteen parts of a layer that
is a tenth of the time that a small model spends outside torch's kernels.
"""


class Dropout(nn.Dropout):
    """``nn.Dropout`` that outside training hands its input on at once, unless something is hooked to it.

    A layer of a Transformer has two or three of them; in a small model they are a tenth of the time of a forward.
    """

    def __call__(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of the base class
        """The input, with entries dropped in training."""
        if self.training or self._forward_hooks or self._forward_pre_hooks:
            return super().__call__(input)  # type: ignore[no-any-return]
        return input


class LayerNorm(nn.LayerNorm):
    """``nn.LayerNorm`` by the shortest way to torch's kernel, half the time where the input is small."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of the base class
        """The input, normalised over its last axes."""
        own: Parts = self._parameters
        try:
            weight, bias = own["weight"], own["bias"]
        except KeyError:  # pruned or parametrised by torch.nn.utils, which computes them
            return super().forward(input)
        return torch.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


class Linear(nn.Linear):
    """``nn.Linear`` by the shortest way to torch's kernel."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of the base class
        """[..., out_features] for [..., in_features]."""
        own: Parts = self._parameters
        try:
            weight, bias = own["weight"], own["bias"]
        except KeyError:  # pruned or parametrised by torch.nn.utils, which computes them
            return super().forward(input)
        return nn.functional.linear(input, weight, bias)
