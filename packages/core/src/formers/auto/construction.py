"""What all Auto classes share: they cannot be constructed."""

from __future__ import annotations

from typing import NoReturn

from formers.errors import FormersError

__all__ = ["AutoConstructionError", "refuse_construction"]


class AutoConstructionError(FormersError, OSError, TypeError):
    """An Auto class was called; it only has class methods."""


def refuse_construction(name: str, instead: str) -> NoReturn:
    """Raise the error of every Auto class's constructor."""
    raise AutoConstructionError(f"{name} cannot be constructed. Use {name}.{instead}.")
