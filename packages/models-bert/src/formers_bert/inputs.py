"""What callers give to ``forward``, checked once before any layer runs.

Values are looked at on the CPU only and never while a graph is traced, so that a forward on an accelerator does not
wait for the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from formers.cache import Cache, EncoderDecoderCache
from formers.layout import Layout, may_look_at

if TYPE_CHECKING:
    from .configuration import BertConfig
    from .modeling import BertEmbeddings

__all__ = ["check_ids", "check_length", "layout_of", "source_layout"]


def layout_of(
    input_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    attention_mask: Tensor | Layout | None,
    past: int = 0,
) -> Layout:
    """The layout of one call: of the given tokens and of the ``past`` ones in the cache.

    Args:
        input_ids: [batch, length].
        inputs_embeds: [batch, length, hidden], in place of ``input_ids``.
        attention_mask: see :meth:`formers.layout.Layout.from_attention_mask`. A layout is returned as it is; with a
            packed one the inputs are [tokens] or [tokens, hidden].
        past: number of positions in the cache.

    Raises:
        ValueError: both or neither of ``input_ids`` and ``inputs_embeds`` are given, or a shape does not fit.
    """
    if (input_ids is None) == (inputs_embeds is None):
        given = "neither" if input_ids is None else "both"
        raise ValueError(f"Give exactly one of input_ids and inputs_embeds; got {given}.")
    if input_ids is not None:
        name, shape, device = "input_ids", input_ids.shape, input_ids.device
    else:
        assert inputs_embeds is not None
        name, shape, device = "inputs_embeds", inputs_embeds.shape[:-1], inputs_embeds.device
    if isinstance(attention_mask, Layout):
        _check_layout(attention_mask, name, shape, past)
        return attention_mask
    if len(shape) != 2:
        raise ValueError(f"{name} is for a batch of shape {tuple(shape)}; expected [batch, length].")
    batch, length = shape
    return Layout.from_attention_mask(attention_mask, batch, past + length, length, device=device)


def _check_layout(layout: Layout, name: str, shape: tuple[int, ...], past: int) -> None:
    described = (layout.tokens,) if layout.is_packed else (layout.batch, layout.length - past)
    if tuple(shape) != described:
        raise ValueError(
            f"{name} is for a batch of shape {tuple(shape)}; the given layout describes {described}."
        )


def source_layout(
    config: BertConfig,
    encoder_hidden_states: Tensor | None,
    encoder_attention_mask: Tensor | None,
    cache: Cache | None,
    target: Layout,
) -> Layout | None:
    """The layout of what cross-attention reads, given now or cached by an earlier call; None without any.

    Raises:
        ValueError: the model has no cross-attention, or a shape does not fit.
    """
    length = 0
    if encoder_hidden_states is not None:
        if not config.add_cross_attention:
            raise ValueError(
                "encoder_hidden_states were given, but the model has no cross-attention; "
                "build it with is_decoder=True and add_cross_attention=True."
            )
        if encoder_hidden_states.dim() != 3 or encoder_hidden_states.shape[0] != target.batch:
            raise ValueError(
                f"encoder_hidden_states have shape {tuple(encoder_hidden_states.shape)}; "
                f"expected [batch, source length, hidden] with a batch of {target.batch}."
            )
        length = encoder_hidden_states.shape[1]
    elif isinstance(cache, EncoderDecoderCache):
        length = cache.cross_attention_cache.get_seq_length()
    if length == 0:
        return None
    try:
        return Layout.from_attention_mask(encoder_attention_mask, target.batch, length, device=target.device)
    except ValueError as error:
        raise ValueError(f"encoder_{error}") from None


def check_ids(
    embeddings: BertEmbeddings,
    input_ids: Tensor | None,
    token_type_ids: Tensor | None,
    position_ids: Tensor | None,
) -> None:
    """Refuse given ids that the embeddings have no row for.

    Raises:
        ValueError: names the argument, the first offending id, where it stands and what limits it.
    """
    if input_ids is not None:
        _check("input_ids", input_ids, embeddings.word_embeddings, "vocab_size")
    if token_type_ids is not None:
        _check("token_type_ids", token_type_ids, embeddings.token_type_embeddings, "type_vocab_size")
    if position_ids is not None:
        _check("position_ids", position_ids, embeddings.position_embeddings, "max_position_embeddings")


def _check(name: str, ids: Tensor, table: torch.nn.Module, limit: str) -> None:
    if not may_look_at(ids):
        return
    size = getattr(table, "num_embeddings", None)  # None for a module of the caller's own
    if size is None or ids.numel() == 0:
        return
    low, high = torch.aminmax(ids)
    if low.item() >= 0 and high.item() < size:
        return
    place = ((ids < 0) | (ids >= size)).nonzero()[0].tolist()
    value = ids[tuple(place)].item()
    raise ValueError(f"{name} holds {value} at {place}; expected 0 to {size - 1} (config.{limit}).")


def check_length(layout: Layout, limit: int, cache_position: Tensor | None, new: int) -> None:
    """Refuse more positions than the model has embeddings for, and columns for another number of tokens.

    Raises:
        ValueError: names both numbers.
    """
    if layout.length > limit and not layout.is_packed:
        raise ValueError(
            f"The input is {layout.length} tokens long, cached ones included, but the model has positions for {limit} "
            "(config.max_position_embeddings). Shorten it, for instance with tokenizer(..., truncation=True)."
        )
    if cache_position is not None and cache_position.shape != (new,):
        raise ValueError(
            f"cache_position has shape {tuple(cache_position.shape)}; expected [length] = ({new},), the columns of "
            "the given tokens."
        )
