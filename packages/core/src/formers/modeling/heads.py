"""What heads of several architectures do with hidden states and scores."""

from __future__ import annotations

import torch
from torch import Tensor

from formers.layout import Layout

__all__ = [
    "first_tokens",
    "kept_positions",
    "last_tokens",
    "number_of_choices",
    "one_row_each",
    "span_scores",
]


def first_tokens(hidden_states: Tensor, layout: Layout | None) -> Tensor:
    """[batch, hidden], each row's first real token of [batch, length, hidden], or of a packed [tokens, hidden]."""
    if layout is None or (layout.mask is None and not layout.is_packed):
        return hidden_states.select(1, 0)
    return _at(hidden_states, layout, layout.first_real())


def last_tokens(hidden_states: Tensor, layout: Layout) -> Tensor:
    """[batch, hidden], each row's last real token of [batch, length, hidden], or of a packed [tokens, hidden]."""
    if layout.mask is None and not layout.is_packed:
        return hidden_states[:, -1]
    return _at(hidden_states, layout, layout.last_real())


def _at(hidden_states: Tensor, layout: Layout, place: Tensor) -> Tensor:
    if layout.is_packed:
        return hidden_states.index_select(0, place)
    cached = layout.length - hidden_states.shape[1]  # columns that were given to earlier calls
    if cached:
        place = (place - cached).clamp_min(0)
    return hidden_states[torch.arange(layout.batch, device=place.device), place]


def kept_positions(logits_to_keep: int | Tensor) -> slice | Tensor:
    """The index that ``logits_to_keep`` stands for: all positions (0), the last n, or those given."""
    return slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep


def span_scores(scores: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Scores [..., 2] as those of the first and of the last token of a span, [...] each.

    Padding scores the lowest finite number, so that no span can start or end there.
    """
    start, end = scores.unbind(-1)
    if layout.mask is None:
        return start, end
    padding, lowest = ~layout.mask, torch.finfo(scores.dtype).min
    return start.masked_fill(padding, lowest), end.masked_fill(padding, lowest)


def number_of_choices(input_ids: Tensor | None, inputs_embeds: Tensor | None) -> int:
    """How many choices each question has: the second axis of the inputs.

    Raises:
        ValueError: the inputs have no such axis.
    """
    for name, given, axes in (
        ("input_ids", input_ids, "[batch, choices, length]"),
        ("inputs_embeds", inputs_embeds, "[batch, choices, length, hidden]"),
    ):
        if given is not None and given.dim() != axes.count(",") + 1:
            raise ValueError(f"{name} has shape {tuple(given.shape)}; expected {axes}.")
    given = inputs_embeds if input_ids is None else input_ids
    return 1 if given is None else given.shape[1]


def one_row_each(given: Tensor | None) -> Tensor | None:
    """[batch, choices, length] as [batch * choices, length]."""
    return None if given is None else given.view(-1, given.shape[-1])
