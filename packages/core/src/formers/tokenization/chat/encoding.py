"""From rendered chats to the inputs of a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from formers.errors import TemplateError, TextInputError
from formers.tokenization.batch import BatchEncoding
from formers.tokenization.chat import sanitizing, spans
from formers.tokenization.tensors import as_lists, converter

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase
    from formers.tokenization.chat.chats import Chat

__all__ = ["MASK", "check_options", "encode_chats", "encode_literally", "with_mask"]

MASK = "assistant_masks"
_GENERATION = re.compile(r"\{%[-+]?\s*generation\b")
_LITERALLY = ("pad_to_multiple_of", "padding_side", "return_attention_mask", "verbose")


def check_options(options: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Raise for an argument of the tokenizer that ``apply_chat_template`` has itself, or decides."""
    for name in extra:
        if name == "add_special_tokens":
            raise TextInputError(
                "tokenizer_kwargs: add_special_tokens is False for chats: the template writes the special tokens"
            )
        if name in options:
            raise TextInputError(
                f"tokenizer_kwargs: {name} is an argument of apply_chat_template; pass it there"
            )


def encode_chats(
    tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat], is_batch: bool, options: Mapping[str, Any]
) -> BatchEncoding:
    """The inputs of a model, as the tokenizer makes them of any text."""
    texts = [chat.text for chat in chats]
    return tokenizer(texts if is_batch else texts[0], add_special_tokens=False, **options)


def encode_literally(
    tokenizer: PreTrainedTokenizerBase,
    chats: Sequence[Chat],
    is_batch: bool,
    options: Mapping[str, Any],
    controls: Sequence[str],
) -> BatchEncoding:
    """``input_ids`` and ``attention_mask`` of chats in which the caller's control tokens are ordinary text.

    Raises ``TextInputError`` for options about other fields.
    """
    options = dict(options)
    cut = {name: options.pop(name) for name in ("truncation", "max_length")}
    for name, value in options.items():
        if name not in (*_LITERALLY, "padding", "return_tensors"):
            raise TextInputError(
                f"tokenizer_kwargs: {name}={value!r} cannot be used with sanitize_control_tokens=True, which returns "
                f"input_ids and attention_mask; expected {', '.join(_LITERALLY)}"
            )
    rows = [
        sanitizing.encode(
            tokenizer, chat.text, chat.quoted, controls, add_special_tokens=False, verbose=False, **cut
        )
        for chat in chats
    ]
    batch = is_batch or options["return_tensors"] is not None
    pad_to = cut["max_length"]
    if options["padding"] != "max_length":
        pad_to = None
    return tokenizer.pad(
        {tokenizer.model_input_names[0]: rows if batch else rows[0]}, max_length=pad_to, **options
    )


def with_mask(
    tokenizer: PreTrainedTokenizerBase,
    encoded: BatchEncoding,
    chats: Sequence[Chat],
    is_batch: bool,
    return_tensors: str | None,
    template: tuple[str, str],
) -> BatchEncoding:
    """The encoding with the field ``assistant_masks``: 1 for tokens between ``{% generation %}`` tags.

    Raises:
        TemplateError: the template works on such a text before it writes it, so that its place is unknown.
        TextInputError: the tokenizer is written in Python, and knows no places.
    """
    name, source = template
    if not _GENERATION.search(source):
        tokenizer.notice(
            "generation",
            f"return_assistant_tokens_mask=True, but the chat template {name!r} has no {{% generation %}} block: the "
            "whole mask is 0",
        )
    lost = next((index for index, chat in enumerate(chats) if chat.lost), None)
    if lost is not None:
        raise TemplateError(
            f"chat template {name!r}: a filter or an operator works on text with a {{% generation %}} block in it, and "
            f"so the assistant's part of conversation {lost} is not known. Put the tags around the result instead"
        )
    if not encoded.is_fast:
        raise TextInputError(
            f"return_assistant_tokens_mask=True: {type(tokenizer).__name__} is written in Python and does not know "
            "where a token comes from; use the class over the tokenizers library"
        )
    rows = encoded.encodings or []
    mapping = encoded.data.get("overflow_to_sample_mapping")
    samples = range(len(rows)) if mapping is None else as_lists(mapping)
    masks: Any = [
        spans.token_mask(row.offsets, chats[sample].generated)
        for row, sample in zip(rows, samples, strict=True)
    ]
    if return_tensors is not None:
        masks = converter(return_tensors)(MASK, masks)
    elif not is_batch and mapping is None:
        masks = masks[0]
    encoded.data[MASK] = masks
    return encoded
