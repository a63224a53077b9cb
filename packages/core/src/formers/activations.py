"""Activation functions by the names that configurations use.

GELU: Hendrycks and Gimpel 2016, arXiv 1606.08415; its tanh and sigmoid approximations are from section 2 there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's customary name

from formers.errors import shorten

__all__ = ["ACTIVATIONS", "Activation", "activation"]

Activation = Callable[[Tensor], Tensor]


def activation(name: str | Activation) -> Activation:
    """The function of that name; a function or module is returned as it is.

    Raises:
        ValueError: there is none of that name.
    """
    if not isinstance(name, str):
        return name
    try:
        return ACTIVATIONS[name]
    except KeyError:
        near = get_close_matches(name, ACTIVATIONS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(ACTIVATIONS)}."
        raise ValueError(f"There is no activation function called {shorten(name)}; {hint}") from None


def _clipped_gelu(x: Tensor) -> Tensor:
    return F.gelu(x).clamp(-10.0, 10.0)


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def _laplace(x: Tensor, mean: float = 0.707107, deviation: float = 0.282095) -> Tensor:
    """The Laplace element-wise function of Mega (Ma et al. 2022, arXiv 2209.10655, section 3.1)."""
    return 0.5 * (1.0 + torch.erf((x - mean) / (deviation * math.sqrt(2.0))))


def _squared_relu(x: Tensor) -> Tensor:
    """Primer (So et al. 2021, arXiv 2109.08668, section 3)."""
    return F.relu(x).square()


def _sqrt_softplus(x: Tensor) -> Tensor:
    return F.softplus(x).sqrt()


def _linear(x: Tensor) -> Tensor:
    return x


_gelu_tanh = partial(F.gelu, approximate="tanh")

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "gelu": F.gelu,
        "gelu_10": _clipped_gelu,
        "gelu_accurate": _gelu_tanh,
        "gelu_fast": _gelu_tanh,
        "gelu_new": _gelu_tanh,
        "gelu_python": F.gelu,
        "gelu_python_tanh": _gelu_tanh,
        "gelu_pytorch_tanh": _gelu_tanh,
        "hardswish": F.hardswish,
        "laplace": _laplace,
        "leaky_relu": F.leaky_relu,
        "linear": _linear,
        "mish": F.mish,
        "quick_gelu": _quick_gelu,
        "relu": F.relu,
        "relu2": _squared_relu,
        "relu6": F.relu6,
        "sigmoid": torch.sigmoid,
        "silu": F.silu,
        "sqrtsoftplus": _sqrt_softplus,
        "swish": F.silu,
        "tanh": torch.tanh,
    }
)
"""Every activation function without parameters, by name; read-only."""
