"""Counting: parameters, tokens, floating-point operations, bytes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from .utilities import ModuleUtilsMixin

__all__ = [
    "add_memory_hooks",
    "estimate_tokens",
    "first_tensor",
    "floating_point_ops",
    "memory_footprint",
    "num_parameters",
    "reset_memory_hooks_state",
]


def num_parameters(model: nn.Module, *, only_trainable: bool, exclude_embeddings: bool) -> int:
    """Number of scalars in the parameters; a shared tensor counts once."""
    skipped = set()
    if exclude_embeddings:
        skipped = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return sum(
        parameter.numel()
        for parameter in model.parameters()
        if id(parameter) not in skipped and (parameter.requires_grad or not only_trainable)
    )


def estimate_tokens(model: ModuleUtilsMixin, inputs: Mapping[str, Any]) -> int:
    """Number of positions in the main input (padding included), 0 when the main input is absent."""
    value = inputs.get(model.main_input_name)
    if value is None:
        return 0
    return int(value.numel())


def floating_point_ops(model: ModuleUtilsMixin, inputs: Mapping[str, Any], exclude_embeddings: bool) -> int:
    """Operations of one forward and backward pass: 6 per token and parameter.

    The attention's own operations are left out (Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
    """
    parameters = num_parameters(model, only_trainable=False, exclude_embeddings=exclude_embeddings)
    return 6 * estimate_tokens(model, inputs) * parameters


def memory_footprint(model: nn.Module, return_buffers: bool) -> int:
    """Bytes of the parameters and, if asked, of the buffers."""
    total = sum(parameter.nelement() * parameter.element_size() for parameter in model.parameters())
    if return_buffers:
        total += sum(buffer.nelement() * buffer.element_size() for buffer in model.buffers())
    return total


def add_memory_hooks(model: nn.Module) -> None:
    """Record in each sub-module's ``mem_rss_diff`` how many bytes the process grew during its forward passes."""
    for module in model.modules():
        module.register_forward_pre_hook(_before)
        module.register_forward_hook(_after)
    reset_memory_hooks_state(model)


def reset_memory_hooks_state(model: nn.Module) -> None:
    """Set the counts of :func:`add_memory_hooks` back to 0."""
    for module in model.modules():
        module.mem_rss_diff = 0  # type: ignore[assignment]
        module.mem_rss_pre_forward = 0  # type: ignore[assignment]


def _before(module: nn.Module, args: Any) -> None:
    module.mem_rss_pre_forward = _resident_bytes()  # type: ignore[assignment]


def _after(module: nn.Module, args: Any, output: Any) -> None:
    grown = _resident_bytes() - int(module.mem_rss_pre_forward)  # type: ignore[arg-type]
    module.mem_rss_diff = grown + int(getattr(module, "mem_rss_diff", 0))  # type: ignore[assignment]


def _resident_bytes() -> int:
    import resource  # POSIX only, and needed by nobody who does not ask for memory hooks

    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # the nearest thing elsewhere
    return peak if sys.platform == "darwin" else peak * 1024


def first_tensor(model: nn.Module) -> torch.Tensor | None:
    """The first parameter, else the first buffer: what ``device`` and ``dtype`` of a model report."""
    for tensors in (model.parameters(), model.buffers()):
        for tensor in tensors:
            return tensor
    return None
