"""How published GPT-2 checkpoints name their tensors, which they may lack, and which are shared."""

from __future__ import annotations

from collections.abc import Mapping

from formers.checkpoint.rules import Legacy, Rename

__all__ = ["IGNORED_WEIGHTS", "KEY_RULES", "OPTIONAL_WEIGHTS", "TIED_WEIGHTS"]

KEY_RULES: tuple[Rename | Legacy, ...] = ()
"""The published names are those of the modules; the original files lack only the prefix ``transformer.``."""

OPTIONAL_WEIGHTS = (
    r"^lm_head\.",
    r"^multiple_choice_head\.",
    r"^score\.",
    r"^classifier\.",
    r"^qa_outputs\.",
    r"\.crossattention\.",
    r"\.ln_cross_attn\.",
)
"""Heads are new in fine-tuning, cross-attention is added to read an encoder."""

IGNORED_WEIGHTS = (r"\.(attn|crossattention)\.(bias|masked_bias)$",)
"""The causal mask, which older releases stored as buffers of each layer."""

TIED_WEIGHTS: Mapping[str, str] = {"lm_head.weight": "transformer.wte.weight"}
"""The language-model head scores tokens by their input embeddings."""
