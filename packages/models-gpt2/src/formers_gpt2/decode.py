"""The attention ``gpt2_decode``: one new token a row over a cache of fixed shapes, split over many programs.

This module imports no Triton; see :mod:`formers.kernels.decode` for the kernels, which are the core's, and
``kernels/tiles.json`` for the sizes of their tiles. Prompts go through another attention:
``attn_implementation="gpt2_decode,sdpa"``.
"""

from __future__ import annotations

from formers.kernels.decode.attention import SplitDecode

__all__ = ["DECODE"]

DECODE = SplitDecode("gpt2_decode", "formers_gpt2.kernels")
"""The one instance, which selection remembers."""
