"""Exact attention in linear memory for formers: ``attn_implementation="blockwise"`` uses it, in every architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .attention import Blockwise as Blockwise

__all__ = ["Blockwise", "__version__"]


def __getattr__(name: str) -> Any:
    if name != "Blockwise":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .attention import Blockwise

    return Blockwise


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
