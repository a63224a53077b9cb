"""The norm and the feed-forward block of T5, and linear maps that know how wide their fresh weights spread."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from formers.activations import activation
from formers.modeling.layers import Dropout, Linear, Parts

if TYPE_CHECKING:
    from .configuration import T5Config

__all__ = ["T5FeedForward", "T5LayerNorm", "finite", "linear", "spread"]

M = TypeVar("M", bound=nn.Module)


class T5LayerNorm(nn.Module):
    """Divides by the root of the mean square, without subtracting a mean or adding a bias
    (Zhang and Sennrich 2019, arXiv 1910.07467).

    The root is taken in float32 at least, and the output has the type of the weight, also where the input is wider.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def extra_repr(self) -> str:
        """Width and epsilon, for ``print(model)``."""
        return f"{self.weight.shape[0]}, eps={self.eps}"

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[..., hidden] for [..., hidden]."""
        own: Parts = self._parameters
        weight, dtype = own["weight"], hidden_states.dtype
        if dtype == weight.dtype and dtype.itemsize >= 4:
            if torch.is_grad_enabled() or not _is_plain(hidden_states):
                return torch.rms_norm(hidden_states, weight.shape, weight, self.eps)
            # The same on a CPU, in two thirds of the time at any size; a backward pass would keep more of it.
            length = torch.linalg.vector_norm(hidden_states, 2, -1, True)
            width = weight.shape[0]
            root = torch.hypot(length, _constant((width * self.eps) ** 0.5, dtype))
            return torch.addcdiv(_constant(0.0, dtype), hidden_states, root, value=width**0.5).mul_(weight)
        precise = hidden_states.to(torch.promote_types(dtype, torch.float32))
        normal = torch.rms_norm(precise, weight.shape, None, self.eps)
        return weight * normal.to(weight.dtype)  # type: ignore[no-any-return]


def _is_plain(states: Tensor) -> bool:
    """Whether these are numbers on a CPU that nobody records."""
    return (
        type(states) is Tensor
        and states.is_cpu
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    )


class T5FeedForward(nn.Module):
    """A linear map, the activation, a linear map back; in T5 1.1 a second map gates the activation
    (Shazeer 2020, arXiv 2002.05202).

    The map back may be wider than the others: in float16 its sums overflow in the published models.
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        width, inner = config.d_model, config.d_ff
        assert config.dense_act_fn is not None
        if config.is_gated_act:
            self.wi_0 = linear(width, inner, width**-0.5)
            self.wi_1 = linear(width, inner, width**-0.5)
        else:
            self.wi = linear(width, inner, width**-0.5)
        self.wo = linear(inner, width, inner**-0.5)
        self.gated = bool(config.is_gated_act)
        self.act = activation(config.dense_act_fn)
        self.dropout = Dropout(config.dropout_rate)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[..., hidden] to [..., hidden], each position by itself."""
        parts: Parts = self._modules
        wo = parts["wo"]
        wide = wo.weight.dtype
        if self.gated:
            inner, gate = self.act(parts["wi_0"](hidden_states)), parts["wi_1"](hidden_states)
            if inner.dtype != wide and wide.is_floating_point:
                inner, gate = inner.to(wide), gate.to(wide)  # before the product, which may overflow too
            inner = inner * gate
        else:
            inner = self.act(parts["wi"](hidden_states))
            if inner.dtype != wide and wide.is_floating_point:
                inner = inner.to(wide)
        return finite(wo(parts["dropout"](inner)))


@cache
def _constant(value: float, dtype: torch.dtype) -> Tensor:
    """A number as a tensor; one of another type would be converted at each use."""
    return torch.tensor(value, dtype=dtype, device="cpu")


def linear(width: int, out: int, std: float, *, bias: bool = False) -> nn.Linear:
    """A linear map whose fresh weights have this standard deviation, before ``config.initializer_factor``."""
    return spread(Linear(width, out, bias=bias), std)


def spread(module: M, std: float) -> M:
    """Note on a linear map or embedding the standard deviation of its fresh weights."""
    module.init_std = std  # type: ignore[assignment]
    return module


def finite(states: Tensor) -> Tensor:
    """Float16 states without infinities; others as they are, since their range is never reached."""
    if states.dtype != torch.float16:
        return states
    limits = torch.finfo(torch.float16)
    return states.clamp(limits.min, limits.max)
