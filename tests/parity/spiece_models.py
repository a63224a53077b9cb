"""Real SentencePiece models for tests: the one that the package ``seqio`` carries, and ones trained on hard strings."""

from __future__ import annotations

import importlib.metadata
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
from adversarial import corpus

__all__ = ["VARIANTS", "carried", "train"]

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "symbols": {"user_defined_symbols": ["<br>", "▁<z_0>", "the"], "control_symbols": ["<ctl>"]},
    "no map": {"normalization_rule_name": "identity"},
    "lower case": {"normalization_rule_name": "nmt_nfkc_cf"},
    "other names": {"unk_piece": "[U]", "eos_piece": "[E]", "pad_piece": "[P]"},
}
"""Options of the trainer, of models that transformers reads as the library does."""


@cache
def _sentences() -> list[str]:
    """Strings without what the trainer refuses: a NUL, a line break, emptiness, great length."""
    found = (text.replace("\n", " ") for text in corpus(2400, seed=3))
    return [text for text in found if text.strip() and "\0" not in text and len(text) < 500]


def train(folder: Path, **options: Any) -> Path:
    """A folder with the ``spiece.model`` of some 2,000 pieces."""
    settings = {
        "model_type": "unigram", "vocab_size": 2000, "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1,
        "character_coverage": 0.98, "minloglevel": 2, "num_threads": 1, "hard_vocab_limit": False,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / "spiece"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_sentences()), model_prefix=str(prefix), **{**settings, **options}
    )
    prefix.with_suffix(".vocab").unlink()
    return folder


def carried(folder: Path) -> Path:
    """A folder with the model that ``seqio`` carries, as ``spiece.model``; its code is not imported."""
    distribution = importlib.metadata.distribution("seqio")
    folder.mkdir(parents=True, exist_ok=True)
    name = "seqio/test_data/sentencepiece/sentencepiece.model"
    shutil.copy(str(distribution.locate_file(name)), folder / "spiece.model")
    return folder
