"""What callers give to ``forward``, checked once before any layer runs.

Values are looked at on the CPU only and never while a graph is traced, so that a forward on an accelerator does not
wait for the device.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from formers.cache import Cache, EncoderDecoderCache
from formers.layout import Layout, may_look_at

__all__ = ["check_ids", "layout_of", "positions_of", "source_layout"]


def layout_of(
    input_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    attention_mask: Tensor | Layout | None,
    cache: Cache | None = None,
) -> Layout:
    """The layout of one call: of the given tokens and of those in the cache.

    Args:
        input_ids: [batch, length].
        inputs_embeds: [batch, length, hidden], in place of ``input_ids``.
        attention_mask: see :meth:`formers.layout.Layout.from_attention_mask`. A layout is returned as it is; with a
            packed one the inputs are [tokens] or [tokens, hidden].
        cache: of earlier calls. With one of fixed shapes the layout is that of its whole room, and a mask is
            [batch, room].

    Raises:
        ValueError: both or neither of ``input_ids`` and ``inputs_embeds`` are given, or a shape does not fit.
    """
    if input_ids is not None and inputs_embeds is None:
        name, shape, device = "input_ids", input_ids.shape, input_ids.device
    elif input_ids is None and inputs_embeds is not None:
        name, shape, device = "inputs_embeds", inputs_embeds.shape[:-1], inputs_embeds.device
    else:
        given = "neither" if input_ids is None else "both"
        raise ValueError(f"Give exactly one of input_ids and inputs_embeds; got {given}.")
    cursor = None if cache is None else cache.cursor
    past = 0 if cache is None or cursor is not None else cache.get_seq_length()
    if isinstance(attention_mask, Layout):
        if cursor is None:
            _check_layout(attention_mask, name, shape, past)
        return attention_mask
    if len(shape) != 2:
        raise ValueError(f"{name} is for a batch of shape {tuple(shape)}; expected [batch, length].")
    batch, length = shape
    if cursor is not None:
        return _fixed_layout(attention_mask, batch, cursor.next_columns(length), cursor.room)
    return Layout.from_attention_mask(attention_mask, batch, past + length, length, device=device)


def _check_layout(layout: Layout, name: str, shape: tuple[int, ...], past: int) -> None:
    described = (layout.tokens,) if layout.is_packed else (layout.batch, layout.length - past)
    if tuple(shape) != described:
        raise ValueError(
            f"{name} is for a batch of shape {tuple(shape)}; the given layout describes {described}."
        )


def _fixed_layout(mask: Tensor | None, batch: int, columns: Tensor, room: int) -> Layout:
    """The whole room of a cache, as far as it is filled once the tokens at ``columns`` are in it."""
    places = torch.arange(room, device=columns.device)
    real = (places <= columns[-1:]).expand(batch, -1)
    if mask is not None:
        if mask.shape != (batch, room):
            raise ValueError(
                f"attention_mask has shape {tuple(mask.shape)}; expected [batch, room of the cache] = "
                f"({batch}, {room}), because the cache keeps all shapes fixed."
            )
        real = real & (mask != 0)
    if len(columns) == 1:
        return Layout(batch, room, mask=real, device=columns.device)
    pairwise = real[:, None, None, :] & (places <= columns[:, None])
    return Layout(batch, room, mask=real, pairwise=pairwise, device=columns.device)


def source_layout(
    encoder_hidden_states: Tensor | None,
    encoder_attention_mask: Tensor | None,
    cache: Cache | None,
    target: Layout,
    *,
    crosses: bool,
) -> Layout | None:
    """The layout of what cross-attention reads, given now or cached by an earlier call; None without any.

    Args:
        encoder_hidden_states: [batch, source length, hidden].
        encoder_attention_mask: [batch, source length], 1 where a source position is real.
        cache: of earlier calls.
        target: the layout of what attends.
        crosses: whether the model has cross-attention.

    Raises:
        ValueError: the model has no cross-attention, or a shape does not fit.
    """
    length = 0
    if encoder_hidden_states is not None:
        if not crosses:
            raise ValueError(
                "encoder_hidden_states were given, but the model has no cross-attention; "
                "build it with config.add_cross_attention=True."
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


def check_ids(name: str, ids: Tensor | None, table: nn.Module, field: str) -> None:
    """Refuse ids that an embedding table has no row for.

    Args:
        name: of the argument, for the error.
        ids: [...]; None is nothing to check.
        table: the embedding; a module without ``num_embeddings`` is the caller's own and is trusted.
        field: of the configuration that says how many rows there are.

    Raises:
        ValueError: names the argument, the first offending id, where it stands and what limits it.
    """
    size = getattr(table, "num_embeddings", None)
    if ids is not None and size is not None:
        _check_range(name, ids, size, field)


def _check_range(name: str, ids: Tensor, size: int, field: str) -> None:
    if not may_look_at(ids) or ids.numel() == 0:
        return
    low, high = torch.aminmax(ids)
    if low.item() >= 0 and high.item() < size:
        return
    place = ((ids < 0) | (ids >= size)).nonzero()[0].tolist()
    value = ids[tuple(place)].item()
    raise ValueError(f"{name} holds {value} at {place}; expected 0 to {size - 1} (config.{field}).")


def positions_of(
    layout: Layout,
    new: int,
    numbers: Tensor,
    field: str,
    *,
    cache: Cache | None = None,
    cache_position: Tensor | None = None,
) -> Tensor:
    """Where each given token stands, counted from the first real token of its row: int64 [batch | 1, new] or [tokens].

    Args:
        layout: of the given tokens and of those in the cache.
        new: how many columns are given; unused when packed.
        numbers: int64 [1, limit]: 0, 1, 2 and so on, one for each position that the model has an embedding for.
        field: of the configuration that says how many those are.
        cache: of earlier calls.
        cache_position: [new], the columns of the given tokens where they are not the last.

    Raises:
        ValueError: there are more positions than embeddings, or columns for another number of tokens.
    """
    limit = numbers.shape[1]
    columns = cache_position
    cursor = None if cache is None else cache.cursor
    if cursor is not None:
        columns = cursor.next_columns(new) if columns is None else columns
    elif layout.length > limit and not layout.is_packed:
        raise ValueError(
            f"The input is {layout.length} tokens long, cached ones included, but the model has positions for {limit} "
            f"(config.{field}). Shorten it, for instance with tokenizer(..., truncation=True)."
        )
    if columns is not None:
        if columns.shape != (new,):
            raise ValueError(
                f"cache_position has shape {tuple(columns.shape)}; expected [length] = ({new},), the columns of "
                "the given tokens."
            )
        positions = (columns - layout.first_real()[:, None]).clamp_min(0)
    elif layout.is_packed:
        positions = layout.positions()
    elif layout.mask is not None:
        return layout.positions(new)
    else:
        return numbers[:, layout.length - new : layout.length]
    _check_range("position_ids", positions, limit, field)
    return positions
