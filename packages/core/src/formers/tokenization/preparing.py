"""From ids without special tokens to a finished row: ``prepare_for_model`` and ``truncate_sequences``."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

from formers.errors import TextInputError, shorten
from formers.tokenization import limits
from formers.tokenization.batch import BatchEncoding
from formers.tokenization.padding import pad_row
from formers.tokenization.strategies import TruncationStrategy, choose

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["prepare_for_model", "truncate_sequences"]


def prepare_for_model(
    self: PreTrainedTokenizerBase,
    ids: Sequence[int],
    pair_ids: Sequence[int] | None = None,
    add_special_tokens: bool = True,
    padding: bool | str = False,
    truncation: bool | str | None = False,
    max_length: SupportsIndex | None = None,
    stride: SupportsIndex = 0,
    pad_to_multiple_of: SupportsIndex | None = None,
    padding_side: str | None = None,
    return_tensors: str | None = None,
    return_token_type_ids: bool | None = None,
    return_attention_mask: bool | None = None,
    return_overflowing_tokens: bool = False,
    return_special_tokens_mask: bool = False,
    return_length: bool = False,
    verbose: bool = True,
    prepend_batch_axis: bool = False,
) -> BatchEncoding:
    """One row from ids that have no special tokens yet: cut, with special tokens, padded.

    Args:
        ids: ids of the first text, as ``convert_tokens_to_ids`` gives them.
        pair_ids: ids of the second text.
        return_overflowing_tokens: return the ids that were cut off as ``overflowing_tokens``, with ``stride`` of
            those that stayed, and their number as ``num_truncated_tokens``.
        prepend_batch_axis: make each tensor a batch of one.

    The other arguments are those of a call.

    Raises:
        TextInputError: an argument is wrong, or the ids cannot be cut as asked for.
        MissingExtraError: the library for ``return_tensors`` is not installed.
    """
    first = _ids("ids", ids)
    second = None if pair_ids is None else _ids("pair_ids", pair_ids)
    cut = limits.truncation_for(self, truncation, padding, max_length, stride)
    fill = limits.padding_for(self, padding, cut, max_length, pad_to_multiple_of, padding_side)
    special = self.num_special_tokens_to_add(second is not None) if add_special_tokens else 0
    excess = 0
    overflowing: list[int] = []
    if cut is not None:
        excess = len(first) + len(second or ()) + special - cut["max_length"]
        first, second, overflowing = _cut(
            self, first, second, cut, excess, special, return_overflowing_tokens
        )
    row: dict[str, Any] = {}
    row["input_ids"] = _ids_of_row(self, first, second, add_special_tokens)
    if _wanted(self, "token_type_ids", return_token_type_ids):
        row["token_type_ids"] = (
            self.create_token_type_ids_from_sequences(first, second)
            if add_special_tokens
            else [0] * len(first) + [1] * len(second or ())
        )
    if return_special_tokens_mask:
        mask = (
            self.get_special_tokens_mask(first, second) if add_special_tokens else [0] * len(row["input_ids"])
        )
        row["special_tokens_mask"] = mask
    if cut is not None and return_overflowing_tokens:
        row |= {"overflowing_tokens": overflowing, "num_truncated_tokens": excess}
    if cut is None and verbose:
        limits.notice_length(self, row["input_ids"])
    row = pad_row(
        self, row, fill, len(row["input_ids"]), _wanted(self, "attention_mask", return_attention_mask)
    )
    if return_length:
        row["length"] = len(row["input_ids"])
    return BatchEncoding(row, tensor_type=return_tensors, prepend_batch_axis=prepend_batch_axis)


def truncate_sequences(
    self: PreTrainedTokenizerBase,
    ids: Sequence[int],
    pair_ids: Sequence[int] | None = None,
    num_tokens_to_remove: SupportsIndex = 0,
    truncation_strategy: str = "longest_first",
    stride: SupportsIndex = 0,
) -> tuple[list[int], list[int] | None, list[int]]:
    """Remove ids at the side that ``truncation_side`` names.

    Args:
        ids: ids of the first text.
        pair_ids: ids of the second text.
        num_tokens_to_remove: how many; as many as there are, if there are fewer; none, if it is negative.
        truncation_strategy: "longest_first" takes one id after the other from the longer text, and from the
            second of two of one length; "only_first", "only_second", "do_not_truncate".
        stride: ids that stay, but are among the removed ones, too.

    Returns:
        What is left of the first and of the second text, and the removed ids; of two texts cut "longest_first"
        these are not given.
    """
    first = _ids("ids", ids)
    second = None if pair_ids is None else _ids("pair_ids", pair_ids)
    excess = max(_whole("num_tokens_to_remove", num_tokens_to_remove), 0)
    overlap = limits.natural("stride", stride)
    strategy = choose(TruncationStrategy, "truncation_strategy", truncation_strategy)
    from_left = self.truncation_side == "left"
    if strategy is TruncationStrategy.LONGEST_FIRST and second is not None:
        keep_first, keep_second = _shares(len(first), len(second), excess)
        return _keep(first, keep_first, from_left), _keep(second, keep_second, from_left), []
    removed: list[int] = []
    if strategy is TruncationStrategy.ONLY_SECOND:
        if second is not None:
            second, removed = _remove(second, excess, overlap, from_left)
    elif strategy is not TruncationStrategy.DO_NOT_TRUNCATE:
        first, removed = _remove(first, excess, overlap, from_left)
    return first, second, removed


def _cut(
    tokenizer: PreTrainedTokenizerBase,
    first: list[int],
    second: list[int] | None,
    cut: limits.Truncation,
    excess: int,
    special: int,
    overflow: bool,
) -> tuple[list[int], list[int] | None, list[int]]:
    """The texts cut to ``max_length``, and what was removed. Raises if that cannot be done."""
    strategy = cut["strategy"]
    if overflow and second is not None and strategy == "longest_first":
        raise TextInputError(
            "return_overflowing_tokens=True with truncation='longest_first': of two texts it is not known what was "
            "removed from which; use 'only_first' or 'only_second'"
        )
    if excess <= 0:
        return first, second, []
    limits.check_room({**cut, "stride": 0}, special)
    if strategy == "only_second" and second is None:
        raise TextInputError("truncation='only_second' needs pair_ids; there is only one text")
    available = {"only_first": len(first), "only_second": len(second or ())}.get(strategy, excess)
    if available < excess:
        raise TextInputError(
            f"truncation={strategy!r}: {excess} tokens are to be removed, but that text has {available}; "
            "use 'longest_first', or a larger max_length"
        )
    return truncate_sequences(tokenizer, first, second, excess, strategy, cut["stride"])


def _shares(first: int, second: int, excess: int) -> tuple[int, int]:
    """How many ids of each text stay when the longer one gives the next, and the second of two equal ones."""
    to_balance = min(abs(first - second), excess)
    first, second = (first - to_balance, second) if first > second else (first, second - to_balance)
    rest = excess - to_balance
    return max(first - rest // 2, 0), max(second - (rest - rest // 2), 0)


def _remove(ids: list[int], count: int, overlap: int, from_left: bool) -> tuple[list[int], list[int]]:
    count = min(count, len(ids))
    window = min(count + overlap, len(ids)) if count else 0
    if from_left:
        return ids[count:], ids[:window]
    return ids[: len(ids) - count], ids[len(ids) - window :]


def _keep(ids: list[int], count: int, from_left: bool) -> list[int]:
    return ids[len(ids) - count :] if from_left else ids[:count]


def _ids_of_row(
    tokenizer: PreTrainedTokenizerBase, first: list[int], second: list[int] | None, special: bool
) -> list[int]:
    if special:
        return tokenizer.build_inputs_with_special_tokens(first, second)
    return [*first, *(second or ())]


def _wanted(tokenizer: PreTrainedTokenizerBase, name: str, asked: bool | None) -> bool:
    return name in tokenizer.model_input_names if asked is None else asked


def _ids(argument: str, ids: Any) -> list[int]:
    """Ids as a list of ints, or a ``TextInputError`` with the index of the first item that is none."""
    if isinstance(ids, str) or not isinstance(ids, Sequence):
        ids = getattr(ids, "tolist", lambda: ids)()
        if not isinstance(ids, list):
            raise TextInputError(
                f"{argument} of type {type(ids).__name__}, {shorten(ids)}: expected a list of ids; "
                "convert_tokens_to_ids(tokenize(text)) makes them of a text"
            )
    numbers = []
    for index, item in enumerate(ids):
        number = _whole(f"{argument}[{index}]", item)
        if number < 0:
            raise TextInputError(f"{argument}[{index}]={number}: expected an id of at least 0")
        numbers.append(number)
    return numbers


def _whole(argument: str, value: SupportsIndex) -> int:
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise TextInputError(f"{argument}={shorten(value)}: expected a whole number")
