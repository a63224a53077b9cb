"""What heads of several architectures do with hidden states and scores."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from formers.layout import Layout
from formers.losses import LossTerm, cross_entropy_term, next_token_labels

__all__ = [
    "first_tokens",
    "kept_positions",
    "last_tokens",
    "next_token_scores",
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
        return _of_documents(hidden_states, layout, place)
    cached = layout.length - hidden_states.shape[1]  # columns that were given to earlier calls
    if cached:
        place = (place - cached).clamp_min(0)
    return hidden_states[torch.arange(layout.batch, device=place.device), place]


def _of_documents(hidden_states: Tensor, layout: Layout, place: Tensor) -> Tensor:
    """[documents, hidden]; 0 for a document without tokens."""
    if layout.lengths is not None and all(layout.lengths):
        return hidden_states.index_select(0, place)
    if hidden_states.shape[0] == 0:
        return hidden_states.new_zeros(layout.batch, *hidden_states.shape[1:])
    assert layout.cu_seqlens is not None
    empty = layout.cu_seqlens.diff() == 0
    read = hidden_states.index_select(0, place.clamp_max(hidden_states.shape[0] - 1))
    return read.masked_fill(empty[:, None], 0.0)


def kept_positions(logits_to_keep: int | Tensor) -> slice | Tensor:
    """The index that ``logits_to_keep`` stands for: all positions (0), the last n, or those given."""
    return slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep


def next_token_scores(
    head: Callable[[Tensor], Tensor],
    hidden_states: Tensor,
    layout: Layout,
    labels: Tensor | None,
    logits_to_keep: int | Tensor = 0,
) -> tuple[Tensor, dict[str, LossTerm]]:
    """A language model's scores, arranged as the caller's tensors, and with labels the term ``"next_token"``.

    Args:
        head: gives each hidden state its scores.
        hidden_states: [..., hidden], laid out as ``layout``; scores of a packed batch are computed for its tokens only.
        layout: of the call.
        labels: see :func:`formers.losses.next_token_labels`.
        logits_to_keep: see :func:`kept_positions`; columns of the caller's tensors.
    """
    following = None if labels is None else next_token_labels(labels, layout)
    if isinstance(logits_to_keep, int) and logits_to_keep == 0:
        scores = head(hidden_states)
        logits = layout.unpack(scores)
        following = None if following is None else layout.pack(following, "labels")
    else:
        kept = kept_positions(logits_to_keep)
        scores = logits = head(layout.unpack(hidden_states)[..., kept, :])
        following = None if following is None else following[..., kept]
    return logits, {} if following is None else {"next_token": cross_entropy_term(scores, following)}


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
    return None if given is None else given.reshape(-1, given.shape[-1])
