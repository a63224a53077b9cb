"""How published T5 checkpoints name their tensors, which they may lack, and which are shared."""

from __future__ import annotations

from collections.abc import Mapping

from formers.checkpoint.rules import Legacy, Rename

__all__ = [
    "IGNORED_WEIGHTS",
    "IGNORED_WEIGHTS_OF_ENCODER",
    "KEY_RULES",
    "OPTIONAL_WEIGHTS",
    "TIED_EMBEDDINGS",
    "TIED_ENCODER",
    "TIED_HEAD",
]

KEY_RULES: tuple[Rename | Legacy, ...] = ()
"""The published names, the same for T5, Flan-T5 and mT5, are those of the modules."""

OPTIONAL_WEIGHTS = (
    r"^classification_head\.",
    r"^classifier\.",
    r"^qa_outputs\.",
)
"""Heads are new in fine-tuning."""

IGNORED_WEIGHTS = (r"(^|\.)EncDecAttention\.relative_attention_bias\.weight$",)
"""A position bias for cross-attention, which the first checkpoints hold and no T5 uses."""

IGNORED_WEIGHTS_OF_ENCODER = (*IGNORED_WEIGHTS, r"^(transformer\.)?decoder\.")
"""A model without decoder also leaves out that of the checkpoint."""

TIED_ENCODER: Mapping[str, str] = {"encoder.embed_tokens.weight": "shared.weight"}
"""The encoder reads its tokens from the shared table of embeddings."""

TIED_EMBEDDINGS: Mapping[str, str] = {
    **TIED_ENCODER,
    "decoder.embed_tokens.weight": "shared.weight",
}
"""So does the decoder."""

TIED_HEAD: Mapping[str, str] = {**TIED_EMBEDDINGS, "lm_head.weight": "shared.weight"}
"""In T5 1.0 the head scores tokens by it, too; T5 1.1 stores other values for its head, which are kept."""
