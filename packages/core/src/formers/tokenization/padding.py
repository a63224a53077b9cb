"""``tokenizer.pad``: padding rows that have been encoded already, as data collators do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

from formers.errors import TextInputError, shorten
from formers.tokenization.batch import BatchEncoding
from formers.tokenization.limits import Padding, padding_for
from formers.tokenization.tensors import as_lists, is_tensor

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["Encoded", "pad", "pad_row"]

Encoded = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def pad(
    self: PreTrainedTokenizerBase,
    encoded_inputs: Encoded,
    padding: bool | str = True,
    max_length: SupportsIndex | None = None,
    pad_to_multiple_of: SupportsIndex | None = None,
    padding_side: str | None = None,
    return_attention_mask: bool | None = None,
    return_tensors: str | None = None,
    verbose: bool = True,
) -> BatchEncoding:
    """Pad what has been encoded already: one encoding, a batch, or a list of encodings, which becomes a batch.

    ``input_ids``, ``attention_mask``, ``token_type_ids`` and ``special_tokens_mask`` are padded; other fields
    are passed on. Arrays and tensors may be given; the result is of their kind unless ``return_tensors``
    names another. The other arguments are those of a call.

    Raises:
        TextInputError: no ``input_ids``, or items with different fields; the message has the index.
    """
    columns, tensors = _columns(encoded_inputs, self.model_input_names[0])
    main = columns.get(self.model_input_names[0])
    wants_mask = (
        "attention_mask" in self.model_input_names if return_attention_mask is None else return_attention_mask
    )
    kind = tensors if return_tensors is None else return_tensors
    limits = padding_for(self, padding, None, max_length, pad_to_multiple_of, padding_side)
    if main and not isinstance(main[0], list):
        row = pad_row(self, columns, limits, len(main), wants_mask)
        return BatchEncoding(row, tensor_type=kind)
    if not main:
        if wants_mask:
            columns.setdefault("attention_mask", [])
        return BatchEncoding(columns, tensor_type=kind)
    for name, column in columns.items():
        if len(column) != len(main):
            raise TextInputError(
                f"{name} has {len(column)} rows, but input_ids has {len(main)}: one each is expected"
            )
    longest = max(len(row) for row in main)
    rows = [
        pad_row(self, {name: column[index] for name, column in columns.items()}, limits, longest, wants_mask)
        for index in range(len(main))
    ]
    padded = {name: [row[name] for row in rows] for name in rows[0]}
    return BatchEncoding(padded, tensor_type=kind)


def pad_row(
    tokenizer: PreTrainedTokenizerBase,
    row: Mapping[str, Any],
    limits: Padding | None,
    longest: int,
    wants_mask: bool,
) -> dict[str, Any]:
    """One row, by field name, padded to ``limits``; fields that have no token per position are kept."""
    padded = dict(row)
    main = tokenizer.model_input_names[0]
    length = len(padded[main])
    if wants_mask and "attention_mask" not in padded:
        padded["attention_mask"] = [1] * length
    if limits is None:
        return padded
    target = longest if limits["length"] is None else limits["length"]
    multiple = limits["pad_to_multiple_of"]
    if multiple:
        target = -(-target // multiple) * multiple
    missing = target - length
    if missing <= 0:
        return padded
    fillers = {
        main: limits["pad_id"],
        "attention_mask": 0,
        "token_type_ids": limits["pad_type_id"],
        "special_tokens_mask": 1,
    }
    left = limits["direction"] == "left"
    for name, filler in fillers.items():
        if name in padded:
            filling = [filler] * missing
            values = padded[name]
            padded[name] = [*filling, *values] if left else [*values, *filling]
    return padded


def _columns(encoded: Encoded, main: str) -> tuple[dict[str, Any], str | None]:
    """Field name to rows, as lists, and the kind of tensor that the rows were."""
    if isinstance(encoded, Mapping):
        columns = dict(encoded)
    elif not isinstance(encoded, Sequence):
        raise TextInputError(
            f"encoded_inputs of type {type(encoded).__name__}, {shorten(encoded)}: expected an encoding, or a "
            "list of them"
        )
    else:
        for index, item in enumerate(encoded):
            if not isinstance(item, Mapping):
                raise TextInputError(
                    f"item {index} is a {type(item).__name__}, {shorten(item)}; expected an encoding, with {main}"
                )
        names = list(encoded[0]) if len(encoded) else [main]
        for index, item in enumerate(encoded):
            if item.keys() != encoded[0].keys():
                missing = item.keys() ^ names
                raise TextInputError(
                    f"item {index}: {sorted(missing)} is not in every item; expected {names} in each"
                )
        columns = {name: [item[name] for item in encoded] for name in names}
    if main not in columns:
        raise TextInputError(f"pad() needs {main!r}; it was given {list(columns)}")
    kind = _tensor_kind(columns[main])
    lists = {name: as_lists(value) for name, value in columns.items()}
    if not isinstance(lists[main], (list, tuple)):
        raise TextInputError(
            f"{main}={shorten(lists[main])}: expected a list of ids, or a list of such lists"
        )
    if any(isinstance(row, (list, tuple)) for row in lists[main]):
        for index, row in enumerate(lists[main]):
            if not isinstance(row, (list, tuple)):
                raise TextInputError(f"{main}[{index}]={shorten(row)}: expected a list of ids")
    return lists, kind


def _tensor_kind(rows: Any) -> str | None:
    first = rows[0] if isinstance(rows, (list, tuple)) and len(rows) else rows
    if not is_tensor(first):
        return None
    return "pt" if type(first).__module__.split(".")[0] == "torch" else "np"
