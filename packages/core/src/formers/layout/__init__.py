"""Which positions of a batch are real, and whose."""

from __future__ import annotations

from .arrangement import Layout
from .masks import may_look_at, may_wait_for

__all__ = ["Layout", "may_look_at", "may_wait_for"]
