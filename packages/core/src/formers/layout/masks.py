"""Masks of callers: whether their values can be looked at, and what they must not hold."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["FORBIDDEN", "as_bool", "check_additive", "may_look_at", "may_wait_for", "sent", "wrong_shape"]

# An additive mask forbids where it is this low: such a score has probability 0 beside any that is allowed.
FORBIDDEN = -1e4


def may_look_at(tensor: Tensor) -> bool:
    """Whether values can be read: on the CPU, not while a graph is recorded, not inside ``torch.vmap``."""
    return tensor.device.type == "cpu" and may_wait_for(tensor)


def may_wait_for(tensor: Tensor) -> bool:
    """Whether values can be read, if need be by waiting for an accelerator."""
    return (
        not torch.compiler.is_compiling()
        and torch._C._functorch.peek_interpreter_stack() is None
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())
    )


def sent(host: Tensor, device: torch.device | None) -> Tensor:
    """A tensor of the CPU on another device, without waiting for it."""
    if device is None or device.type == "cpu":
        return host
    return (host.pin_memory() if device.type == "cuda" else host).to(device, non_blocking=True)


def as_bool(mask: Tensor) -> Tensor:
    """True where a mask is not 0.

    Raises:
        ValueError: it holds negative values, as one that is added to the scores does (seen on the CPU only).
    """
    if mask.dtype == torch.bool:
        return mask
    if mask.is_floating_point() and mask.numel() > 0 and may_look_at(mask) and bool((mask < 0).any()):
        raise ValueError(
            f"A floating attention_mask of shape {tuple(mask.shape)} holds {mask.min().item():.4g}; "
            "expected 1 where attention may go and 0 elsewhere. A mask to be added to the scores has 4 dimensions."
        )
    return mask != 0


def check_additive(mask: Tensor) -> None:
    """Refuse a floating mask of 0 and 1 where values are added to the scores.

    Raises:
        ValueError: it is one (seen on the CPU only).
    """
    if mask.numel() == 0 or not may_look_at(mask):
        return
    low, high = (value.item() for value in mask.aminmax())
    if (low, high) == (0.0, 1.0) and bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError(
            f"A floating attention_mask of shape {tuple(mask.shape)} holds 0 and 1, but with 4 "
            "dimensions it is added to the scores (0 = attend, a large negative number = never). Pass "
            "mask.bool() if 1 means attend."
        )


def wrong_shape(mask: Tensor, expected: str) -> ValueError:
    """What to raise for a mask that is not of the ``expected`` shape."""
    return ValueError(f"attention_mask has shape {tuple(mask.shape)}; expected {expected}.")
