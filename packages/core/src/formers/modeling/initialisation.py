"""Random weights: for models built from a configuration, and for the weights that a checkpoint lacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .base import PreTrainedModel

__all__ = [
    "default_init_weights",
    "initialise_all",
    "initialise_missing",
    "normal",
    "owners",
    "truncated_normal",
]


def normal(tensor: Tensor, std: float) -> None:
    """Fill with draws from a normal distribution around 0."""
    with torch.no_grad():
        tensor.normal_(0.0, std)


# A normal distribution loses part of its standard deviation when it is cut at two of them on either side.
_LEFT_AT_TWO = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))  # 0.880


def truncated_normal(tensor: Tensor, std: float) -> None:
    """Fill with draws from a normal distribution around 0 that is cut at twice its uncut standard deviation.

    ``std`` is that of the draws, so none is larger than 2.27 times ``std``. What falls outside is drawn again, which
    takes a fifth of the time of :func:`torch.nn.init.trunc_normal_`.
    """
    if tensor.is_meta:
        return
    uncut = std / _LEFT_AT_TWO
    with torch.no_grad():
        tensor.normal_(0.0, uncut)
        outside = (tensor.abs() > 2 * uncut).nonzero()
        while len(outside):
            drawn = tensor.new_empty(len(outside)).normal_(0.0, uncut)
            tensor[outside.unbind(1)] = drawn
            outside = outside[drawn.abs() > 2 * uncut]


def default_init_weights(
    module: nn.Module, std: float, draw: Callable[[Tensor, float], object] = normal
) -> None:
    """Random weights with the given standard deviation, zero biases, unit norms.

    The padding row of an embedding is zero. Modules of other kinds keep what their constructor gave them.

    Args:
        module: initialised in place, without its children.
        std: standard deviation of the weights of linear maps, convolutions and embeddings.
        draw: fills a tensor, called as ``draw(tensor, std)``.
    """
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
        draw(module.weight, std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        draw(module.weight, std)
        if module.padding_idx is not None:
            with torch.no_grad():
                module.weight[module.padding_idx].zero_()
    elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
        if module.weight is not None:
            nn.init.ones_(module.weight)
        bias = module._parameters.get("bias")
        if bias is not None:
            nn.init.zeros_(bias)


def owners(model: PreTrainedModel) -> Iterator[tuple[str, nn.Module, PreTrainedModel]]:
    """Every module with its name and the innermost pretrained model around it, whose rules apply to it."""
    from .base import PreTrainedModel

    def walk(
        prefix: str, module: nn.Module, owner: PreTrainedModel
    ) -> Iterator[tuple[str, nn.Module, PreTrainedModel]]:
        if isinstance(module, PreTrainedModel):
            owner = module
        for name, child in module.named_children():
            yield from walk(f"{prefix}{name}.", child, owner)
        yield prefix, module, owner

    yield from walk("", model, model)


def initialise_all(model: PreTrainedModel) -> None:
    """Initialise every module by the rules of the model that owns it, children first."""
    with torch.no_grad():
        for _, module, owner in owners(model):
            owner._init_weights(module)


def initialise_missing(model: PreTrainedModel, missing: Collection[str], dtype: torch.dtype | None) -> None:
    """Give real, initialised storage to the parameters and buffers named in ``missing``.

    Values come from the owner's ``_init_weights``; what that leaves alone comes from a second, real construction of
    the model, so that a plugin which initialises in its constructor needs to know nothing about loading.
    """
    untouched: list[str] = []
    wanted = set(missing)
    with torch.no_grad():
        for prefix, module, owner in owners(model):
            names = [name for name in _own_tensors(module) if prefix + name in wanted]
            if names:
                untouched += [prefix + name for name in _initialise_module(owner, module, names, dtype)]
    if untouched:
        _copy_from_real_construction(model, untouched, dtype)


def _own_tensors(module: nn.Module) -> list[str]:
    return [
        name
        for own in (module._parameters, module._buffers)
        for name, value in own.items()
        if value is not None
    ]


def _initialise_module(
    owner: PreTrainedModel, module: nn.Module, names: list[str], dtype: torch.dtype | None
) -> list[str]:
    """Run the owner's rules on one module without touching its loaded tensors; names left unset are returned."""
    kept = {
        name: value for name, value in module._parameters.items() if value is not None and name not in names
    }
    for name, value in module._parameters.items():
        if value is None:
            continue
        scratch = torch.full(value.shape, torch.nan, dtype=torch.float32)
        module._parameters[name] = nn.Parameter(scratch, requires_grad=value.requires_grad)
    owner._init_weights(module)
    for name, value in kept.items():
        module._parameters[name] = value
    unset = [name for name in names if name in module._buffers]
    for name in names:
        fresh = module._parameters.get(name)
        if fresh is None:
            continue
        if fresh.isnan().any():
            unset.append(name)
        elif dtype is not None and fresh.dtype != dtype:
            module._parameters[name] = nn.Parameter(fresh.to(dtype), requires_grad=fresh.requires_grad)
    return unset


def _copy_from_real_construction(model: PreTrainedModel, names: list[str], dtype: torch.dtype | None) -> None:
    twin = model._construct_again()
    tensors = dict(twin.named_parameters(remove_duplicate=False)) | dict(
        twin.named_buffers(remove_duplicate=False)
    )
    for name in names:
        path, _, last = name.rpartition(".")
        module = model.get_submodule(path)
        value = tensors[name].detach()
        if dtype is not None and value.is_floating_point():
            value = value.to(dtype)
        if last in module._parameters:
            old = module._parameters[last]
            keeps_grad = old is not None and old.requires_grad
            module._parameters[last] = nn.Parameter(value, requires_grad=keeps_grad)
        else:
            module._buffers[last] = value
