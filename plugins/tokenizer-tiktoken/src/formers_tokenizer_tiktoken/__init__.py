"""``.tiktoken`` vocabularies for formers: installed, ``AutoTokenizer`` reads folders with a ``qwen.tiktoken``."""

from __future__ import annotations

from ._version import __version__
from .ranks import CL100K, QWEN, byte_pairs, pipeline, read_ranks

__all__ = ["CL100K", "QWEN", "__version__", "byte_pairs", "pipeline", "read_ranks"]
