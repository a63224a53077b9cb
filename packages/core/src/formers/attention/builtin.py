"""The implementations that come with the core."""

from __future__ import annotations

from .contract import AttentionImplementation
from .eager import Eager
from .sdpa import Sdpa

__all__ = ["implementations"]

_IMPLEMENTATIONS: tuple[AttentionImplementation, ...] = (Eager(), Sdpa())


def implementations() -> tuple[AttentionImplementation, ...]:
    """Eager and sdpa; the core's answer to the hook ``formers_attention_implementations``."""
    return _IMPLEMENTATIONS
