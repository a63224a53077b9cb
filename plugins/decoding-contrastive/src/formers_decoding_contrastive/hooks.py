"""The hook through which the core finds the strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from formers import hookimpl

if TYPE_CHECKING:
    from .search import ContrastiveSearch

__all__ = ["formers_generation_strategies"]


@hookimpl
def formers_generation_strategies() -> list[ContrastiveSearch]:
    """Contrastive search."""
    from .search import ContrastiveSearch

    return [ContrastiveSearch()]
