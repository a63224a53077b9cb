"""What callers give to ``forward``, checked once before any layer runs.

Values are looked at on the CPU only and never while a graph is traced, so that a forward on an accelerator does not
wait for the device.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from formers.cache import Cache, EncoderDecoderCache, LegacyCache
from formers.layout import Layout, may_look_at, may_wait_for

__all__ = ["check_ids", "documents_of", "labels_of_documents", "layout_of", "positions_of", "source_layout"]


def layout_of(
    input_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    attention_mask: Tensor | Layout | None,
    cache: Cache | None = None,
    *,
    prefix: str = "",
) -> Layout:
    """The layout of one call: of the given tokens and of those in the cache.

    Args:
        input_ids: [batch, length].
        inputs_embeds: [batch, length, hidden], in place of ``input_ids``.
        attention_mask: see :meth:`formers.layout.Layout.from_attention_mask`. A layout is returned as it is; with a
            packed one the inputs are [tokens] or [tokens, hidden], or have an axis of 1 before that.
        cache: of earlier calls. With one of fixed shapes the layout is that of its whole room, and a mask is
            [batch, room].
        prefix: of the arguments' names in errors, such as ``"decoder_"``.

    Raises:
        ValueError: both or neither of ``input_ids`` and ``inputs_embeds`` are given, or a shape does not fit.
    """
    if input_ids is not None and inputs_embeds is None:
        name, shape, device = f"{prefix}input_ids", input_ids.shape, input_ids.device
    elif input_ids is None and inputs_embeds is not None:
        name, shape, device = f"{prefix}inputs_embeds", inputs_embeds.shape[:-1], inputs_embeds.device
    else:
        given = "neither" if input_ids is None else "both"
        raise ValueError(f"Give exactly one of {prefix}input_ids and {prefix}inputs_embeds; got {given}.")
    cursor = None if cache is None else cache.cursor
    past = 0 if cache is None or cursor is not None else cache.get_seq_length()
    if isinstance(attention_mask, Layout):
        return attention_mask if cursor is not None else _checked_layout(attention_mask, name, shape, past)
    if len(shape) != 2:
        raise ValueError(f"{name} is for a batch of shape {tuple(shape)}; expected [batch, length].")
    batch, length = shape
    try:
        if cursor is not None:
            return _fixed_layout(attention_mask, batch, cursor.next_columns(length), cursor.room)
        return Layout.from_attention_mask(attention_mask, batch, past + length, length, device=device)
    except ValueError as error:
        raise _renamed(error, prefix) from None


def _checked_layout(layout: Layout, name: str, shape: tuple[int, ...], past: int) -> Layout:
    """The layout, if it is one of tensors of this shape; packed documents may come as one row."""
    if layout.is_packed and layout.origin is None and tuple(shape) == (1, layout.tokens):
        return replace(layout, origin=Layout(1, layout.tokens, device=layout.device))
    whole = layout if layout.origin is None else layout.origin
    described = (whole.tokens,) if whole.is_packed else (whole.batch, whole.length - past)
    if tuple(shape) != described:
        raise ValueError(
            f"{name} is for a batch of shape {tuple(shape)}; the given layout describes {described}."
        )
    return layout


def documents_of(
    position_ids: Tensor | None,
    attention_mask: Tensor | Layout | None,
    rows: int,
    cache: Cache | LegacyCache | None = None,
    *,
    causal: bool,
) -> Tensor | Layout | None:
    """``attention_mask``, or the layout of the documents that the positions of a single row tell apart.

    They do so if they begin with 0 and each is one more than the one before, or 0 again: then documents lie one after
    another in the row, as collators for packed training arrange them. This takes a look at the positions, also on an
    accelerator.

    Args:
        position_ids: as the caller gave them.
        attention_mask: as the caller gave it; if there is one, positions tell nothing apart.
        rows: how many rows the inputs have.
        cache: as the caller gave it; with one, positions tell nothing apart either.
        causal: whether a position reads no later one.
    """
    if position_ids is None or attention_mask is not None or cache is not None or rows != 1:
        return attention_mask
    if position_ids.dim() != 2 or position_ids.shape[0] != 1 or position_ids.shape[1] < 2:
        return attention_mask
    length = position_ids.shape[1]
    begins, apart = _documents(position_ids)
    if may_wait_for(position_ids):
        if not bool(apart):
            return None
        bounds = torch.cat((begins.nonzero().squeeze(1), begins.new_full((1,), length, dtype=torch.int64)))
        return Layout.packed(bounds, total=length)
    numbers = begins.cumsum(
        0
    )  # no shape may depend on values, so that a mask has to keep the documents apart
    pairwise = (numbers == numbers[:, None]) | ~apart
    pairwise = (pairwise.tril() if causal else pairwise)[None, None]
    return Layout(1, length, pairwise=pairwise, device=position_ids.device)


def labels_of_documents(
    labels: Tensor | None, position_ids: Tensor | None, attention_mask: Tensor | Layout | None, layout: Layout
) -> Tensor | None:
    """Labels of next tokens without those that the last token of another document would have to predict.

    A packed layout leaves them out by itself; this is for the mask that :func:`documents_of` makes where a graph is
    recorded.

    Args:
        labels: [1, length].
        position_ids: as the caller gave them.
        attention_mask: as the caller gave it.
        layout: what was made of both.
    """
    if labels is None or position_ids is None or attention_mask is not None or layout.pairwise is None:
        return labels
    begins, apart = _documents(position_ids)
    return labels.masked_fill(begins & apart, -100)


def _documents(position_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Where documents would begin, bool [length], and whether the positions [1, length] tell any apart, bool []."""
    positions = position_ids[0]
    begins = positions == 0
    follows = positions[1:] == positions[:-1] + 1
    return begins, begins[0] & (follows | begins[1:]).all() & begins[1:].any() & follows.any()


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
    encoder_attention_mask: Tensor | Layout | None,
    cache: Cache | None,
    target: Layout,
    *,
    crosses: bool,
) -> Layout | None:
    """The layout of what cross-attention reads, given now or cached by an earlier call; None without any.

    Args:
        encoder_hidden_states: [batch, source length, hidden]; [source tokens, hidden] of a packed source.
        encoder_attention_mask: [batch, source length], 1 where a source position is real; or the source's layout,
            which is returned as it is.
        cache: of earlier calls. Where rows in it share those of the encoder, states and mask have as many as that.
        target: the layout of what attends.
        crosses: whether the model has cross-attention.

    Raises:
        ValueError: the model has no cross-attention, or a shape does not fit.
    """
    given = isinstance(encoder_attention_mask, Layout)
    rows = _source_rows(cache, target)
    length = 0
    if encoder_hidden_states is not None:
        if not crosses:
            raise ValueError(
                "encoder_hidden_states were given, but the model has no cross-attention; "
                "build it with config.add_cross_attention=True."
            )
        shape = tuple(encoder_hidden_states.shape)
        if not given and (len(shape) != 3 or shape[0] != rows):
            raise ValueError(
                f"encoder_hidden_states have shape {shape}; "
                f"expected [batch, source length, hidden] with a batch of {rows}."
            )
        length = shape[-2]
    elif isinstance(cache, EncoderDecoderCache):
        length = cache.cross_attention_cache.get_seq_length()
    if length == 0:
        return None
    if isinstance(encoder_attention_mask, Layout):
        _check_source(encoder_attention_mask, encoder_hidden_states, length, rows)
        return encoder_attention_mask
    try:
        return Layout.from_attention_mask(encoder_attention_mask, rows, length, device=target.device)
    except ValueError as error:
        raise _renamed(error, "encoder_") from None


def _source_rows(cache: Cache | None, target: Layout) -> int:
    """How many rows a source has: those that attend to it, unless a cache says that several share one."""
    if cache is None or cache.copies == 1:
        return target.batch
    if target.batch % cache.copies:
        raise ValueError(
            f"{target.batch} rows are given, but in the cache {cache.copies} rows share each of the encoder's."
        )
    return target.batch // cache.copies


def _check_source(layout: Layout, states: Tensor | None, length: int, rows: int) -> None:
    """Refuse the layout of another source, or of one for another number of rows."""
    if layout.batch != rows:
        raise ValueError(
            f"The encoder read {layout.batch} rows, as encoder_attention_mask says; expected {rows}, for those that "
            "the decoder is given."
        )
    if states is not None:
        alone = layout if layout.origin is None else replace(layout, origin=None, places=None)
        _checked_layout(alone, "encoder_hidden_states", states.shape[:-1], 0)
    elif length != layout.length:
        raise ValueError(
            f"encoder_attention_mask is a layout of {layout.length} positions, but the cache holds {length} of the "
            "encoder."
        )


def _renamed(error: ValueError, prefix: str) -> ValueError:
    """What is wrong with an ``attention_mask``, as the caller's argument is called."""
    return ValueError(str(error).replace("attention_mask", f"{prefix}attention_mask", 1))


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
        layout: of the given tokens and of those in the cache, as the caller arranged them.
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
        positions = layout.unpack(layout.positions())
    elif layout.mask is not None:
        return layout.positions(new)
    else:
        return numbers[:, layout.length - new : layout.length]
    _check_range("position_ids", positions, limit, field)
    return positions
