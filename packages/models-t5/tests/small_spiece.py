"""A small SentencePiece model like T5's, trained by the library itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sentencepiece

WORDS = "translate English to German: the cat sat on a mat; a dog ran to the café and the ﬁsh swam away ① ②"


def trained(folder: Path, **options: Any) -> Path:
    """The file: ``<pad>``, ``</s>`` and ``<unk>`` have the ids 0, 1 and 2."""
    settings = {
        "vocab_size": 60, "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "hard_vocab_limit": False,
        "character_coverage": 1.0, "minloglevel": 2, "num_threads": 1,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    prefix = folder / "spiece"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([WORDS] * 3 + WORDS.split(";")),
        model_prefix=str(prefix),
        **{**settings, **options},
    )
    prefix.with_suffix(".vocab").unlink()
    return prefix.with_suffix(".model")
