"""``.tiktoken`` vocabularies for formers: installed, ``AutoTokenizer`` reads folders with a ``qwen.tiktoken``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .ranks import CL100K as CL100K
    from .ranks import QWEN as QWEN
    from .ranks import byte_pairs as byte_pairs
    from .ranks import pipeline as pipeline
    from .ranks import read_ranks as read_ranks

_NAMES = ("CL100K", "QWEN", "byte_pairs", "pipeline", "read_ranks")

__all__ = ["CL100K", "QWEN", "__version__", "byte_pairs", "pipeline", "read_ranks"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import ranks

    return getattr(ranks, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
