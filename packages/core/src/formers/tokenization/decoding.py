"""The methods that turn ids into text; ids may come as numbers, lists, tensors and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from formers.errors import TextInputError, shorten
from formers.tokenization.tensors import as_lists

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["as_ids", "batch_decode", "clean_up", "decode", "explain_ids"]

_ARTEFACTS = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)
_LARGEST = 2**32 - 1  # ids are 32 bits without a sign in the tokenizers library


def decode(
    self: PreTrainedTokenizerBase,
    token_ids: Any,
    skip_special_tokens: bool = False,
    clean_up_tokenization_spaces: bool | None = None,
) -> Any:
    """Ids to text: a string for one row, a list of strings for a list of rows.

    Args:
        token_ids: an id, a row, or rows; tensors and arrays too.
        skip_special_tokens: leave special tokens out.
        clean_up_tokenization_spaces: remove the spaces before punctuation and contractions.

    Raises:
        TextInputError: an item is no id; the message has its index.
    """
    ids = token_ids if _is_row(token_ids) else as_ids(token_ids)
    if isinstance(ids, list) and ids and isinstance(ids[0], (list, tuple)):
        return batch_decode(self, ids, skip_special_tokens, clean_up_tokenization_spaces)
    text = self._decode([ids] if isinstance(ids, int) else ids, skip_special_tokens)
    clean = clean_up_tokenization_spaces
    return clean_up(text) if (self.clean_up_tokenization_spaces if clean is None else clean) else text


def batch_decode(
    self: PreTrainedTokenizerBase,
    sequences: Any,
    skip_special_tokens: bool = False,
    clean_up_tokenization_spaces: bool | None = None,
) -> list[str]:
    """The text of each row, as ``decode``; a flat list of ids is one row."""
    texts = self._decode_batch(_as_rows(sequences), skip_special_tokens)
    clean = clean_up_tokenization_spaces
    if self.clean_up_tokenization_spaces if clean is None else clean:
        return [clean_up(text) for text in texts]
    return texts


def _is_row(value: Any) -> bool:
    """Whether ``value`` looks like a list of ids; its items are checked where they are read."""
    return type(value) is list and len(value) > 0 and type(value[0]) is int


def _as_rows(value: Any) -> list[list[int]]:
    if isinstance(value, (list, tuple)) and all(map(_is_row, value)):
        return list(value)
    ids = as_ids(value)
    if isinstance(ids, int):
        return [[ids]]
    if ids and isinstance(ids[0], int):
        return [ids]
    rows = [[row] if isinstance(row, int) else row for row in ids]
    for index, row in enumerate(rows):
        if not isinstance(row, (list, tuple)) or (len(row) > 0 and isinstance(row[0], (list, tuple))):
            raise TextInputError(f"row {index}: {shorten(row)} is not a list of ids")
    return [list(row) for row in rows]


def as_ids(value: Any) -> int | list[Any]:
    """Ids as a number, a list, or a list of lists."""
    if isinstance(value, Mapping):
        value = value["input_ids"]
    converted = value if type(value) is int else as_lists(value)
    if isinstance(converted, (list, int)) and not isinstance(converted, bool):
        return converted
    if isinstance(converted, tuple):
        return list(converted)
    raise TextInputError(
        f"token ids of type {type(value).__name__}, {shorten(value)}: expected ids, or a list of them"
    )


def explain_ids(ids: list[Any], cause: BaseException) -> TextInputError:
    """The error for the first item that is no id."""
    for index, item in enumerate(ids):
        if not isinstance(item, int) or not 0 <= item <= _LARGEST:
            return TextInputError(
                f"token id {shorten(item)} at index {index}: expected a whole number of at least 0"
                + (" (-100 marks ignored labels; replace it before decoding)" if item == -100 else "")
            )
    return TextInputError(f"the ids cannot be decoded ({cause})")


def clean_up(text: str) -> str:
    """Remove the spaces that tokenization left before punctuation and English contractions."""
    for found, wanted in _ARTEFACTS:
        text = text.replace(found, wanted)
    return text
