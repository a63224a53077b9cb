"""The linear map of GPT-2, whose weight is published the other way round."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from formers.modeling.layers import Parts

__all__ = ["Conv1D", "prune_conv1d"]


class Conv1D(nn.Module):
    """``x @ weight + bias`` with a weight of [in, out], as GPT-2 was published (a convolution of width 1).

    Args:
        nf: width of the output.
        nx: width of the input.
        init_scale: factor of the standard deviation of fresh weights.
    """

    def __init__(self, nf: int, nx: int, init_scale: float = 1.0) -> None:
        super().__init__()
        self.nf = nf
        self.nx = nx
        self.init_scale = init_scale
        self.weight = nn.Parameter(torch.empty(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))
        nn.init.normal_(self.weight, std=0.02)

    def extra_repr(self) -> str:
        """The widths, for ``print(model)``."""
        return f"nf={self.nf}, nx={self.nx}"

    def forward(self, x: Tensor) -> Tensor:
        """[..., out] for [..., in]."""
        own: Parts = self._parameters
        # torch turns this into one addmm over the published weight, which is read as it lies.
        return nn.functional.linear(x, own["weight"].t(), own["bias"])


def prune_conv1d(layer: Conv1D, index: Tensor, dim: int = 1) -> Conv1D:
    """A layer with only the outputs (``dim=1``) or inputs (``dim=0``) named by ``index``."""
    index = index.to(layer.weight.device)
    sizes = [layer.nx, layer.nf]
    sizes[dim] = len(index)
    with torch.device("meta"):
        pruned = Conv1D(sizes[1], sizes[0], layer.init_scale)
    weight, bias = layer.weight.detach(), layer.bias.detach()
    pruned.weight = nn.Parameter(weight.index_select(dim, index), requires_grad=layer.weight.requires_grad)
    kept = bias.index_select(0, index) if dim == 1 else bias.clone()
    pruned.bias = nn.Parameter(kept, requires_grad=layer.bias.requires_grad)
    return pruned
