"""The methods that turn text into rows: ``tokenizer(...)`` and its older and shorter names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

from formers.errors import TextInputError, shorten
from formers.tokenization import limits
from formers.tokenization.batch import BatchEncoding
from formers.tokenization.inputs import Text, Texts

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["Columns", "batch_encode_plus", "call", "encode", "encode_plus", "tokenize"]


class Columns(NamedTuple):
    """The fields that a call returns beside ``input_ids``; with ``aligned``, the encodings are sure to be needed."""

    token_type_ids: bool
    attention_mask: bool
    special_tokens_mask: bool = False
    offset_mapping: bool = False
    length: bool = False
    overflow: bool = False
    aligned: bool = False


_IDS = Columns(False, False)
_TOKENS = Columns(False, False, aligned=True)


def call(
    self: PreTrainedTokenizerBase,
    text: Texts | None = None,
    text_pair: Texts | None = None,
    text_target: Texts | None = None,
    text_pair_target: Texts | None = None,
    add_special_tokens: bool = True,
    padding: bool | str = False,
    truncation: bool | str | None = None,
    max_length: SupportsIndex | None = None,
    stride: SupportsIndex = 0,
    is_split_into_words: bool = False,
    pad_to_multiple_of: SupportsIndex | None = None,
    padding_side: str | None = None,
    return_tensors: str | None = None,
    return_token_type_ids: bool | None = None,
    return_attention_mask: bool | None = None,
    return_overflowing_tokens: bool = False,
    return_special_tokens_mask: bool = False,
    return_offsets_mapping: bool = False,
    return_length: bool = False,
    verbose: bool = True,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
    split_special_tokens: bool | None = None,
) -> BatchEncoding:
    """Turn text into the inputs of a model.

    Args:
        text: a string, a list of them, or a list of pairs; with ``is_split_into_words``, a list of words, or
            a list of such lists.
        text_pair: the second text of each row, in the same form.
        text_target: text for the field ``labels``; without ``text``, its fields are returned as they are.
        text_pair_target: the second text of each target.
        add_special_tokens: put the model's special tokens around the text.
        padding: True or "longest", "max_length", or False.
        truncation: True or "longest_first", "only_first", "only_second", or False.
        max_length: tokens, special ones included; by default ``model_max_length``.
        stride: tokens that neighbouring pieces of a cut text share.
        is_split_into_words: the texts are lists of words.
        pad_to_multiple_of: pad to a multiple of this.
        padding_side: "left" or "right"; by default the tokenizer's.
        return_tensors: "pt" for torch, "np" for numpy, None for lists.
        return_token_type_ids: 0 for the first text and 1 for the second, where the model tells them apart.
        return_attention_mask: 1 for tokens, 0 for padding.
        return_overflowing_tokens: return every piece of a cut text as a row of its own, with
            ``overflow_to_sample_mapping``.
        return_special_tokens_mask: 1 for special tokens, 0 for the others.
        return_offsets_mapping: (start, end) of each token in its text, in characters.
        return_length: tokens in each row.
        verbose: warn of rows that are longer than the model can take.
        tokenizer_kwargs: further arguments of this call by name; they win over those that are given directly.
        split_special_tokens: treat special tokens in the text as ordinary text.

    Raises:
        TextInputError: an argument or an item of the input is wrong; the message has its index.
        MissingExtraError: the library for ``return_tensors`` is not installed.
    """
    if tokenizer_kwargs:
        return _call_with(self, locals(), tokenizer_kwargs)
    if padding is False and max_length is None and not truncation:
        cut = fill = None
    else:
        cut = limits.truncation_for(self, truncation, padding, max_length, stride)
        fill = limits.padding_for(self, padding, cut, max_length, pad_to_multiple_of, padding_side)
    names = self.model_input_names
    columns = Columns(
        "token_type_ids" in names if return_token_type_ids is None else return_token_type_ids,
        "attention_mask" in names if return_attention_mask is None else return_attention_mask,
        return_special_tokens_mask,
        return_offsets_mapping,
        return_length,
        return_overflowing_tokens,
    )
    split = self.split_special_tokens if split_special_tokens is None else split_special_tokens
    flat = return_tensors is None
    options = (is_split_into_words, add_special_tokens, cut, fill, columns, split, flat)
    if text is not None:
        encoded = self._encode(text, text_pair, *options)
        if text_target is not None:
            encoded["labels"] = self._encode(text_target, text_pair_target, *options)["input_ids"]
    elif text_target is not None:
        encoded = self._encode(text_target, text_pair_target, *options)
    else:
        raise TextInputError("text=None: expected text, text_target, or both")
    if cut is None and verbose:
        limits.notice_length(self, encoded.data["input_ids"])
    if return_tensors is None:
        return encoded
    tensors = encoded.convert_to_tensors(return_tensors)
    return tensors if len(tensors.data["input_ids"]) else _without_rows(tensors)


def _call_with(
    tokenizer: PreTrainedTokenizerBase, given: Mapping[str, Any], instead: Mapping[str, Any]
) -> BatchEncoding:
    """A call with the arguments that were given, save for those in ``instead``."""
    arguments = {name: value for name, value in given.items() if name not in ("self", "tokenizer_kwargs")}
    return call(tokenizer, **{**arguments, **instead})


def encode(
    self: PreTrainedTokenizerBase,
    text: Texts,
    text_pair: Texts | None = None,
    add_special_tokens: bool = True,
    padding: bool | str = False,
    truncation: bool | str | None = None,
    max_length: SupportsIndex | None = None,
    stride: SupportsIndex = 0,
    padding_side: str | None = None,
    return_tensors: str | None = None,
    **options: Any,
) -> Any:
    """The ids alone: ``tokenizer(...)["input_ids"]``, with the same arguments."""
    if not (options or padding or truncation or max_length is not None or return_tensors):
        row: list[Any] = _plain(self, text, text_pair, add_special_tokens, _IDS).data["input_ids"]
        limits.notice_length(self, row)
        return row
    ids_alone = {"return_token_type_ids": False, "return_attention_mask": False, **options}
    return self(
        text,
        text_pair,
        add_special_tokens=add_special_tokens,
        padding=padding,
        truncation=truncation,
        max_length=max_length,
        stride=stride,
        padding_side=padding_side,
        return_tensors=return_tensors,
        **ids_alone,
    ).data["input_ids"]


def encode_plus(
    self: PreTrainedTokenizerBase,
    text: Text,
    text_pair: Text | None = None,
    add_special_tokens: bool = True,
    **options: Any,
) -> BatchEncoding:
    """``tokenizer(text, text_pair, ...)`` under its older name, for one text or one pair."""
    return self(text, text_pair, add_special_tokens=add_special_tokens, **options)


def batch_encode_plus(
    self: PreTrainedTokenizerBase,
    batch_text_or_text_pairs: Texts,
    add_special_tokens: bool = True,
    **options: Any,
) -> BatchEncoding:
    """``tokenizer(texts, ...)`` under its older name, for a batch of texts or of pairs."""
    return self(batch_text_or_text_pairs, add_special_tokens=add_special_tokens, **options)


def tokenize(
    self: PreTrainedTokenizerBase,
    text: Text,
    pair: Text | None = None,
    add_special_tokens: bool = False,
    **options: Any,
) -> list[str]:
    """The tokens of a text, or of a pair, as strings; the options are those of a call."""
    if not isinstance(text, str) and not options.get("is_split_into_words"):
        raise TextInputError(
            f"text of type {type(text).__name__}, {shorten(text)}: tokenize() takes one string"
        )
    if options:
        encoded = self(text, pair, add_special_tokens=add_special_tokens, **{"verbose": False, **options})
    else:
        encoded = _plain(self, text, pair, add_special_tokens, _TOKENS)
    if encoded.is_fast:
        return encoded.tokens()
    ids: list[int] = encoded.data["input_ids"]
    return self.convert_ids_to_tokens(ids)


def _plain(
    self: PreTrainedTokenizerBase, text: Texts, pair: Texts | None, add_special_tokens: bool, columns: Columns
) -> BatchEncoding:
    """A call without options."""
    split = self.split_special_tokens
    return self._encode(text, pair, False, add_special_tokens, None, None, columns, split, True)


def _without_rows(tensors: BatchEncoding) -> BatchEncoding:
    """An empty batch with the dimensions of others: no rows, of no tokens."""
    shapes = {"offset_mapping": (0, 0, 2), "length": (0,), "overflow_to_sample_mapping": (0,)}
    for name, tensor in tensors.data.items():
        tensors.data[name] = tensor.reshape(shapes.get(name, (0, 0)))
    return tensors
