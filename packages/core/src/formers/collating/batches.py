"""From features to arrays, and from arrays to what a model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

from formers.errors import TextInputError
from formers.tokenization.batch import BatchEncoding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["IGNORED", "batch_of", "ordinary_tokens", "padded", "stacked"]

IGNORED = -100
"""The label of a position that is not predicted."""


def padded(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Mapping[str, Any]],
    *,
    length: int | None = None,
    multiple: SupportsIndex | None = None,
) -> dict[str, NDArray[np.int64]]:
    """The rows as arrays [rows, length], padded where the tokenizer pads, with an ``attention_mask``.

    Args:
        tokenizer: has the padding token and side.
        rows: as :func:`~formers.collating.read_features` gives them; fields without a value for each token must fit
            together as they are.
        length: to pad to; by default that of the longest row.
        multiple: round the length up to a multiple of it.

    Raises:
        TextInputError: rows with different fields, no padding token, or a field that makes no array.
    """
    encoded = tokenizer.pad(
        rows,
        padding=True if length is None else "max_length",
        max_length=length,
        pad_to_multiple_of=multiple,
        return_attention_mask=True,
        return_tensors="np",
    )
    for name, array in encoded.items():
        if array.dtype == object:
            raise TextInputError(
                f"{name}: rows of different lengths make no array; leave this field out of the features"
            )
    return dict(encoded)


def stacked(rows: Sequence[NDArray[np.int64]], filler: int, length: int | None = None) -> NDArray[np.int64]:
    """Rows of ids as one array [rows, length], filled up on the right.

    Args:
        rows: int64 arrays of one dimension.
        filler: what stands behind a row's end.
        length: at least that of the longest row, which is the default.
    """
    import numpy as np

    width = max(map(len, rows)) if length is None else length
    array = np.full((len(rows), width), filler, dtype=np.int64)
    for index, row in enumerate(rows):
        array[index, : len(row)] = row
    return array


def ordinary_tokens(
    tokenizer: PreTrainedTokenizerBase, batch: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.bool_]:
    """True where a token is neither padding nor special, bool [rows, length].

    Special are those that ``special_tokens_mask`` marks or, without it, that the tokenizer calls so.
    """
    import numpy as np

    marked = batch.get("special_tokens_mask")
    if marked is None:
        special = np.isin(batch["input_ids"], tokenizer.all_special_ids)
    else:
        special = marked.astype(bool)
    ordinary: NDArray[np.bool_] = ~special & batch["attention_mask"].astype(bool)
    return ordinary


def batch_of(arrays: Mapping[str, NDArray[Any]], return_tensors: str) -> BatchEncoding:
    """The arrays as tensors of "pt" or "np".

    Raises:
        MissingExtraError: torch is asked for, but not installed.
        TextInputError: ``return_tensors`` is something else.
    """
    return BatchEncoding(arrays, tensor_type=return_tensors)
