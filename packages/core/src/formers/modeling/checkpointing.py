"""Gradient checkpointing: recompute a layer in the backward pass instead of keeping its activations
(Chen et al. 2016, arXiv 1604.06174).

A module that can do so has an attribute ``gradient_checkpointing`` (False) and runs its layers through
:func:`run_layer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["disable", "enable", "is_enabled", "run_layer"]


def _capable(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if hasattr(module, "gradient_checkpointing")]


def enable(model: nn.Module, options: Mapping[str, Any] | None) -> None:
    """Switch on; ``options`` go to ``torch.utils.checkpoint.checkpoint``. ValueError if no part can."""
    modules = _capable(model)
    if not modules:
        raise ValueError(f"{type(model).__name__} does not support gradient checkpointing.")
    chosen = {"use_reentrant": False, **(options or {})}
    for module in modules:
        module.gradient_checkpointing = True  # type: ignore[assignment]
        module.gradient_checkpointing_options = chosen  # type: ignore[assignment]


def disable(model: nn.Module) -> None:
    """Switch off."""
    for module in _capable(model):
        module.gradient_checkpointing = False  # type: ignore[assignment]


def is_enabled(model: nn.Module) -> bool:
    """Whether any part is switched on."""
    return any(module.gradient_checkpointing for module in _capable(model))


def run_layer(stack: nn.Module, layer: Callable[..., Any], *args: Any) -> Any:
    """Call one layer of a stack, checkpointed when the stack asks for it and is being trained."""
    if stack.gradient_checkpointing and stack.training:
        options: dict[str, Any] = stack.gradient_checkpointing_options  # type: ignore[assignment]
        return checkpoint(layer, *args, **options)
    return layer(*args)
