"""How published BERT checkpoints name their tensors, which they may lack, and which are shared."""

from __future__ import annotations

from collections.abc import Mapping

from formers.checkpoint.rules import Legacy, Rename

__all__ = ["IGNORED_WEIGHTS", "KEY_RULES", "OPTIONAL_WEIGHTS", "TIED_WEIGHTS"]

KEY_RULES: tuple[Rename | Legacy, ...] = (
    Legacy(old="LayerNorm.gamma", new="LayerNorm.weight"),
    Legacy(old="LayerNorm.beta", new="LayerNorm.bias"),
)
"""The published names are those of the modules; checkpoints converted from TensorFlow differ in the layer norms."""

OPTIONAL_WEIGHTS = (
    r"^cls\.",
    r"^classifier\.",
    r"^qa_outputs\.",
    r"^(bert\.)?pooler\.",
    r"\.crossattention\.",
)
"""Heads are new in fine-tuning, the pooler is dropped by many, cross-attention is added to make a decoder."""

IGNORED_WEIGHTS = (r"embeddings\.position_ids$", r"embeddings\.token_type_ids$")
"""Buffers that older releases stored and every model computes for itself."""

TIED_WEIGHTS: Mapping[str, str] = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
"""The language-model head scores tokens by their input embeddings."""
