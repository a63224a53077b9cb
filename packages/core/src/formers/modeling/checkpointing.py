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

__all__ = ["CheckpointingMixin", "run_layer"]


class CheckpointingMixin(nn.Module):
    """Switching gradient checkpointing on and off; a base of every model."""

    @property
    def supports_gradient_checkpointing(self) -> bool:
        """Whether some part of the model can recompute its layers."""
        return bool(_capable(self))

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether layers are recomputed in the backward pass."""
        return any(module.gradient_checkpointing for module in _capable(self))

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        """Recompute layers in the backward pass; the mapping goes to ``torch.utils.checkpoint.checkpoint``.

        Raises:
            ValueError: no part of the model can.
        """
        modules = _capable(self)
        if not modules:
            raise ValueError(f"{type(self).__name__} does not support gradient checkpointing.")
        chosen = {"use_reentrant": False, **(gradient_checkpointing_kwargs or {})}
        for module in modules:
            module.gradient_checkpointing = True  # type: ignore[assignment]
            module.gradient_checkpointing_options = chosen  # type: ignore[assignment]

    def gradient_checkpointing_disable(self) -> None:
        """Keep activations again."""
        for module in _capable(self):
            module.gradient_checkpointing = False  # type: ignore[assignment]


def _capable(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if hasattr(module, "gradient_checkpointing")]


def run_layer(stack: nn.Module, layer: Callable[..., Any], *args: Any) -> Any:
    """Call one layer of a stack, checkpointed when the stack asks for it and is being trained."""
    if stack.gradient_checkpointing and stack.training:
        options: dict[str, Any] = stack.gradient_checkpointing_options  # type: ignore[assignment]
        return checkpoint(layer, *args, **options)
    return layer(*args)
