"""The score of each token that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["compute_transition_scores"]


def compute_transition_scores(
    self: Any,
    sequences: Tensor,
    scores: Sequence[Tensor],
    beam_indices: Tensor | None = None,
    normalize_logits: bool = False,
) -> Tensor:
    """The score of each generated token, from the ``scores`` that ``generate`` returned.

    Args:
        sequences: int64 [rows, length], as returned.
        scores: one tensor [rows or beams, vocabulary] for each generated token.
        beam_indices: int64 [rows, new], as returned by beam search; None without beams.
        normalize_logits: turn the scores into log-probabilities first.

    Returns:
        float [rows, new]; 0 behind the end of a sequence of beam search.

    Raises:
        ValueError: the shapes do not belong together.
    """
    stacked = torch.stack(tuple(scores), dim=1)
    rows, new = stacked.shape[:2]
    if normalize_logits:
        stacked = stacked.log_softmax(dim=-1)
    if beam_indices is None:
        if sequences.shape[0] != rows:
            raise ValueError(
                f"sequences has {sequences.shape[0]} rows and scores {rows}; pass the beam_indices that generate "
                "returned if there were beams."
            )
        chosen = sequences[:, sequences.shape[1] - new :]
        return stacked.gather(2, chosen[:, :, None]).squeeze(2)
    ended = beam_indices < 0
    longest = int((~ended).sum(dim=1).max())
    beams, ended = beam_indices[:, :longest].clamp_min(0), ended[:, :longest]
    start = sequences.shape[1] - longest
    chosen = sequences[:, start : start + longest]
    steps = torch.arange(longest, device=chosen.device).expand_as(chosen)
    return stacked[beams, steps, chosen].masked_fill(ended, 0.0)
