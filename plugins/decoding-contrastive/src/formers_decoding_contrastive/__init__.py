"""Contrastive search for formers (Su et al. 2022): installed, ``generate(penalty_alpha=0.6, top_k=4)`` uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .search import ContrastiveSearch as ContrastiveSearch

__all__ = ["ContrastiveSearch", "__version__"]


def __getattr__(name: str) -> Any:
    if name != "ContrastiveSearch":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .search import ContrastiveSearch

    return ContrastiveSearch


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
