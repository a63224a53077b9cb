"""Weights in NumPy's ``.npz`` files for formers: installed, ``from_pretrained`` reads ``model.npz``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .npz import NpzFile as NpzFile
    from .npz import write_npz as write_npz

__all__ = ["NpzFile", "__version__", "write_npz"]


def __getattr__(name: str) -> Any:
    if name not in ("NpzFile", "write_npz"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import npz

    return getattr(npz, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
