"""What each token of a vocabulary adds to a text, as bytes: tokens may hold parts of a character."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

__all__ = ["token_bytes"]

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def token_bytes(tokenizer: Any) -> list[bytes]:
    """The bytes of each id, as it adds them behind other tokens; ids without a token add none.

    Args:
        tokenizer: of this package or of transformers.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    texts = [b""] * (1 + max(vocabulary.values(), default=-1))
    kinds = set(_kinds(_decoder(tokenizer)))
    anchor = _Anchor(tokenizer, vocabulary)
    for token, index in vocabulary.items():
        as_byte = _BYTE.fullmatch(token) if "ByteFallback" in kinds else None
        if as_byte is not None:
            texts[index] = bytes([int(as_byte[1], 16)])
        elif "ByteLevel" in kinds:
            texts[index] = _from_byte_level(token)
        else:
            texts[index] = anchor.text_behind(token).encode("utf-8", "surrogatepass")
    if "ByteLevel" in kinds:
        for index, token in tokenizer.added_tokens_decoder.items():
            texts[index] = str(token).encode("utf-8", "surrogatepass")
    return texts


class _Anchor:
    """Learns what a token adds to a text by joining it to another one."""

    def __init__(self, tokenizer: Any, vocabulary: dict[str, int]) -> None:
        self._join = tokenizer.convert_tokens_to_string
        plain = (token for token in vocabulary if _is_word(token))
        marked = (
            token for token in vocabulary if _is_word(str(self._join([token])))
        )  # every token has a mark
        self._token = next(chain(plain, marked), None)
        self._alone = "" if self._token is None else self._join([self._token])

    def text_behind(self, token: str) -> str:
        """The text of the token behind the anchor."""
        if self._token is None:
            return str(self._join([token]))
        joined = str(self._join([self._token, token]))
        return joined[len(self._alone) :] if joined.startswith(self._alone) else str(self._join([token]))


def _is_word(text: str) -> bool:
    return text.isascii() and text.isalpha()


def _decoder(tokenizer: Any) -> dict[str, Any]:
    """The description of the decoder of a pipeline of the tokenizers library."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = getattr(backend, "decoder", None)
    found = {} if decoder is None else json.loads(decoder.__getstate__())
    return found if isinstance(found, dict) else {}


def _kinds(decoder: dict[str, Any]) -> Iterator[str]:
    yield str(decoder.get("type"))
    for part in decoder.get("decoders", ()):
        yield from _kinds(part)


def _byte_alphabet() -> dict[str, int]:
    """The characters that byte-level vocabularies write bytes with: printable bytes as themselves, others from 256."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in set(printable))
    return {chr(byte): byte for byte in printable} | {
        chr(256 + place): byte for place, byte in enumerate(others)
    }


_ALPHABET = _byte_alphabet()


def _from_byte_level(token: str) -> bytes:
    """Characters outside the alphabet stand for themselves, as they do when such a token is decoded."""
    if all(character in _ALPHABET for character in token):
        return bytes(_ALPHABET[character] for character in token)
    return token.encode("utf-8", "surrogatepass")
