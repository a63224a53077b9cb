"""A tokenizer's fingerprint: one line that changes when the ids of some text would change.

It is the SHA-256 of the ids that the tokenizer gives, special tokens included, for

1. the 2,000 texts of ``corpus``,
2. pairs of its first 100 texts, each with the one after it,
3. each added or special token alone, inside a word, and between spaces, in the order of their texts.

Each row enters as its length and its ids, as unsigned 32-bit numbers, the lowest byte first; a token without an id
enters as 2**32 - 1, and so does, as its length, a text that the tokenizer refuses. ``v1`` says all of this; a change
of any of it would be ``v2``.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from formers.errors import CorruptFileError, TextInputError, shorten

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["VERSION", "fingerprint", "is_fingerprint", "verify"]

VERSION = "v1"
_FORM = re.compile(r"v[0-9]+:[0-9a-f]{64}")
_PAIRS = 100
_REFUSED = 2**32 - 1


def fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """``"v1:"`` and 64 hexadecimal digits. Takes about a tenth of a second; padding and truncation play no part."""
    from formers.tokenization import corpus

    texts = corpus.texts()
    own = sorted({*tokenizer.added_tokens_encoder, *tokenizer.all_special_tokens})
    texts += [text for token in own for text in (token, f"a{token}b", f" {token} ")]
    digest = hashlib.sha256()
    for row in _rows(tokenizer, texts, None):
        digest.update(row)
    for row in _rows(tokenizer, texts[:_PAIRS], texts[1 : _PAIRS + 1]):
        digest.update(row)
    return f"{VERSION}:{digest.hexdigest()}"


def is_fingerprint(text: str) -> bool:
    """Whether a text has the form of a fingerprint, of any version."""
    return _FORM.fullmatch(text) is not None


def verify(tokenizer: PreTrainedTokenizerBase, expected: object, source: str) -> None:
    """Raise unless the tokenizer has the fingerprint that ``source`` says.

    Raises:
        CorruptFileError: it has another one, or what is expected is no fingerprint of this version.
    """
    if not isinstance(expected, str) or not is_fingerprint(expected):
        raise CorruptFileError(
            f"{source}: {shorten(expected)} is no fingerprint; expected {VERSION!r}, a colon, and 64 hexadecimal digits"
        )
    if not expected.startswith(f"{VERSION}:"):
        raise CorruptFileError(
            f"{source}: {expected} is of another version than {VERSION}, which this formers computes; take the "
            "fingerprint anew, with: formers tokenizer fingerprint FOLDER"
        )
    actual = fingerprint(tokenizer)
    if actual != expected:
        raise CorruptFileError(
            f"The tokenizer gives other ids than it should: its fingerprint is {actual}, but {source} says {expected}. "
            "Its files, or the tokenizers library, have changed since, or a setting was passed that changes ids"
        )


def _rows(tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None) -> list[bytes]:
    try:
        return [_packed(row) for row in _ids(tokenizer, texts, pairs)]
    except TextInputError:
        if len(texts) == 1:
            return [struct.pack("<I", _REFUSED)]
    return [
        row
        for place in range(len(texts))
        for row in _rows(tokenizer, texts[place : place + 1], pairs and pairs[place : place + 1])
    ]


def _ids(tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None) -> list[list[int]]:
    encoded = tokenizer(
        texts,
        pairs,
        padding=False,
        truncation=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    rows: list[list[int]] = encoded["input_ids"]
    return rows


def _packed(row: Sequence[int | None]) -> bytes:
    known = [_REFUSED if token_id is None else token_id for token_id in row]
    return struct.pack(f"<I{len(row)}I", len(row), *known)
