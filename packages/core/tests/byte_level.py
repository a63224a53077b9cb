"""A small byte-level vocabulary for tests: all bytes, and the pieces of a few words."""

from __future__ import annotations

import json
from pathlib import Path

from formers.tokenization.bpe_files import ALPHABET

MERGES = ["t h", "th e", "Ġ the", "c a", "ca t", "Ġ cat", "Ã ©"]
END = "<|end|>"
VOCABULARY = {
    token: index for index, token in enumerate([*ALPHABET, *(m.replace(" ", "") for m in MERGES), END])
}


def write(folder: Path, merges: str | None = None, vocabulary: object = VOCABULARY) -> Path:
    """``vocab.json`` and ``merges.txt`` in a folder."""
    folder.mkdir(exist_ok=True)
    text = "#version: 0.2\n" + "\n".join(MERGES) + "\n" if merges is None else merges
    (folder / "merges.txt").write_text(text, "utf-8", newline="")
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    return folder
