"""The implementations that come with the core."""

from __future__ import annotations

from .contract import AttentionImplementation
from .eager import Eager
from .sdpa import Sdpa
from .varlen_cpu import VarlenCpu

__all__ = ["implementations"]

_IMPLEMENTATIONS: tuple[AttentionImplementation, ...] = (Eager(), Sdpa(), VarlenCpu())


def implementations() -> tuple[AttentionImplementation, ...]:
    """Eager, sdpa and varlen_cpu; the core's answer to the hook ``formers_attention_implementations``."""
    return _IMPLEMENTATIONS
