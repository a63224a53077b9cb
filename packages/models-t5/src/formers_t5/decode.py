"""The attention ``t5_decode``: one new token a row of the decoder, split over many programs.

Self-attention adds the position bias by distance and appends to a cache of fixed shapes; cross-attention reads the
encoder's keys and values, which consecutive rows, such as beams, may share. This module imports no Triton; see
:mod:`formers.kernels.decode` for the kernels, which are the core's, and ``kernels/tiles.json`` for the sizes of their
tiles. What is no such step goes through another attention: ``attn_implementation="t5_decode,t5_relbias,sdpa"``.
"""

from __future__ import annotations

from formers.kernels.decode.attention import SplitDecode

__all__ = ["DECODE"]

DECODE = SplitDecode("t5_decode", "formers_t5.kernels")
"""The one instance, which selection remembers."""
