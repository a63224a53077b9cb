"""SentencePiece models for tests: written field by field, or trained by the library itself."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sentencepiece

PIECES = [
    ("<pad>", 0.0, 3),
    ("</s>", 0.0, 3),
    ("<unk>", 0.0, 2),
    ("▁", -2.0, 1),
    ("▁a", -1.0, 1),
    ("b", -3.0, 1),
]
WORDS = "the cat sat on a mat; a dog ran to the café and the ﬁsh swam away ① ②"


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def field(number: int, value: int | float | bytes) -> bytes:
    """One field of a message, in the wire format of protocol buffers."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(value)


def piece(text: str | bytes, score: float, kind: int = 1) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return field(1, field(1, raw) + field(2, score) + field(3, kind))


def written(
    pieces: Iterable[tuple[str | bytes, float, int]] = PIECES, trainer: bytes = b"", normalizer: bytes = b""
) -> bytes:
    """A model of these pieces; ``trainer`` and ``normalizer`` are the fields of these messages."""
    return b"".join(piece(*one) for one in pieces) + field(2, trainer) + field(3, normalizer)


def trained(folder: Path, **options: Any) -> Path:
    """The file of a small unigram model, with the ids of special pieces that T5 has."""
    settings = {
        "vocab_size": 60, "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "hard_vocab_limit": False,
        "character_coverage": 1.0, "minloglevel": 2, "num_threads": 1, "model_type": "unigram",
    }  # fmt: skip
    prefix = folder / "spiece"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([WORDS] * 3 + WORDS.split(";")),
        model_prefix=str(prefix),
        **{**settings, **options},
    )
    prefix.with_suffix(".vocab").unlink()
    return prefix.with_suffix(".model")
