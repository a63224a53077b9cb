"""The hook through which the core finds the implementation."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from formers import hookimpl

if TYPE_CHECKING:
    from .attention import Blockwise

__all__ = ["formers_attention_implementations"]


@hookimpl
def formers_attention_implementations() -> tuple[Blockwise, ...]:
    """Attention by blocks of queries."""
    return _implementations()


@cache
def _implementations() -> tuple[Blockwise, ...]:
    """One object for all models: a selection is remembered by identity."""
    from .attention import Blockwise

    return (Blockwise(),)
