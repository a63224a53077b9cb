"""Features as data sets hold them: mappings with ``input_ids``, or rows of ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from formers.errors import TextInputError, shorten
from formers.tokenization.tensors import as_lists

__all__ = ["Feature", "read_features"]

Feature = Mapping[str, Any] | Sequence[int]
"""One text: fields by name, ``input_ids`` among them, or these ids alone; lists, arrays or tensors."""


def read_features(features: Sequence[Feature]) -> list[dict[str, Any]]:
    """The features as dicts of lists, each with ``input_ids``.

    Raises:
        TextInputError: there are none, or one is no feature; the message has its index.
    """
    if isinstance(features, (str, Mapping)) or not isinstance(features, Sequence):
        raise TextInputError(
            f"features of type {type(features).__name__}, {shorten(features)}: expected a list of encodings, "
            "each of one text"
        )
    if not features:
        raise TextInputError("features is empty: a batch needs at least one encoding")
    return [_read(index, feature) for index, feature in enumerate(features)]


def _read(index: int, feature: Feature) -> dict[str, Any]:
    fields: Mapping[str, Any] = feature if isinstance(feature, Mapping) else {"input_ids": feature}
    if "input_ids" not in fields:
        raise TextInputError(
            f"features[{index}] has no 'input_ids', but {list(fields)}; expected what a tokenizer returns"
        )
    row = {name: as_lists(value) for name, value in fields.items()}
    ids = row["input_ids"]
    if not isinstance(ids, (list, tuple)) or not set(map(type, ids)) <= {int}:
        raise TextInputError(
            f"features[{index}]: input_ids={shorten(ids)}; expected the ids of one text, whole numbers"
        )
    if ids and min(ids) < 0:
        raise TextInputError(
            f"features[{index}]: the id {min(ids)} is negative; expected ids of the vocabulary"
        )
    row["input_ids"] = list(ids)
    for name in ("attention_mask", "token_type_ids", "special_tokens_mask"):
        if name in row and len(row[name]) != len(ids):
            raise TextInputError(
                f"features[{index}]: {name} has {len(row[name])} items, but there are {len(ids)} ids; "
                "expected one for each"
            )
    return row
