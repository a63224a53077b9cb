"""From what the ``tokenizers`` library returns to the fields of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from formers.errors import TextInputError

if TYPE_CHECKING:
    from tokenizers import Encoding

    from formers.tokenization.calling import Columns

__all__ = ["Alignment", "fields", "fields_of_one", "pieces"]


class Alignment:
    """Encodes texts a second time, for those who ask which words and characters the tokens are from.

    Few do, and keeping track of it takes the library a sixth of its time and a third of its memory.

    Args:
        encode: gives the encodings with all that the library knows of them.
        arguments: what it takes.
        ids: the rows that came of the first time.
    """

    __slots__ = ("_arguments", "_checksum", "_encode")

    def __init__(
        self, encode: Callable[..., list[Encoding]], arguments: tuple[Any, ...], ids: list[list[int]]
    ) -> None:
        self._encode = encode
        self._arguments = arguments
        self._checksum = _checksum(ids)

    def __call__(self) -> list[Encoding]:
        """The encodings. Raises ``TextInputError`` if the tokens are others now."""
        encodings = self._encode(*self._arguments)
        if _checksum([encoding.ids for encoding in encodings]) != self._checksum:
            raise TextInputError(
                "the tokenizer was changed, and gives other tokens now than when this text was encoded: the words "
                "and characters of the tokens are not known. Encode the text again, or ask before the change"
            )
        return encodings


def pieces(encodings: list[Encoding]) -> tuple[list[Encoding], list[int]]:
    """The pieces of every cut text, and for each of them the index of its text."""
    found = [(piece, text) for text, first in enumerate(encodings) for piece in (first, *first.overflowing)]
    return [piece for piece, _ in found], [text for _, text in found]


def fields_of_one(encoding: Encoding, columns: Columns) -> dict[str, Any]:
    """The fields of one row."""
    data: dict[str, Any] = {"input_ids": encoding.ids}
    if columns.token_type_ids:
        data["token_type_ids"] = encoding.type_ids
    if columns.attention_mask:
        data["attention_mask"] = encoding.attention_mask
    if columns.special_tokens_mask:
        data["special_tokens_mask"] = encoding.special_tokens_mask
    if columns.offset_mapping:
        data["offset_mapping"] = encoding.offsets
    if columns.length:
        data["length"] = [len(data["input_ids"])]
    return data


def fields(encodings: list[Encoding], columns: Columns) -> dict[str, Any]:
    """The fields of many rows."""
    data: dict[str, Any] = {"input_ids": [e.ids for e in encodings]}
    if columns.token_type_ids:
        data["token_type_ids"] = [e.type_ids for e in encodings]
    if columns.attention_mask:
        data["attention_mask"] = [e.attention_mask for e in encodings]
    if columns.special_tokens_mask:
        data["special_tokens_mask"] = [e.special_tokens_mask for e in encodings]
    if columns.offset_mapping:
        data["offset_mapping"] = [e.offsets for e in encodings]
    if columns.length:
        data["length"] = [len(row) for row in data["input_ids"]]
    return data


def _checksum(ids: list[list[int]]) -> int:
    return hash(tuple(map(tuple, ids)))
