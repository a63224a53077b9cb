"""The best finished sequences of each prompt, kept while a beam search goes on."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["NEVER", "Hypotheses"]

NEVER = -1e9
"""The score of what must lose against everything possible, and can still be added to."""


class Hypotheses:
    """At most ``kept`` finished sequences for each of ``batch`` prompts, best first.

    Attributes:
        scores: float [batch, kept], normalised by length; :data:`NEVER` in an empty place.
        filled: bool [batch, kept], which places hold a sequence.
        lengths: int64 [batch, kept].
        tokens: int64 [batch, kept, width], padded behind the end.
        trails: int64 [batch, kept, width], the row that each token came from, -1 for prompt and padding; None if
            nobody wants to know.
    """

    def __init__(
        self, batch: int, kept: int, *, padding: int, with_trails: bool, device: torch.device
    ) -> None:
        self._padding = padding
        self.scores = torch.full((batch, kept), NEVER, device=device)
        self.filled = torch.zeros(batch, kept, dtype=torch.bool, device=device)
        self.lengths = torch.zeros(batch, kept, dtype=torch.long, device=device)
        self.tokens = torch.empty(batch, kept, 0, dtype=torch.long, device=device)
        self.trails = self.tokens.clone() if with_trails else None

    def offer(self, tokens: Tensor, trails: Tensor | None, scores: Tensor, valid: Tensor) -> None:
        """Take in what is better than the worst that is kept.

        Args:
            tokens: int64 [batch, candidates, length].
            trails: like ``tokens``.
            scores: float [batch, candidates], :data:`NEVER` or less where not to be taken.
            valid: bool [batch, candidates], which candidates are finished sequences.
        """
        kept, length = self.scores.shape[1], tokens.shape[2]
        self.scores, places = torch.topk(torch.cat((self.scores, scores), dim=1), kept, dim=1)
        lengths = torch.full_like(scores, length, dtype=torch.long)
        self.lengths = torch.cat((self.lengths, lengths), dim=1).gather(1, places)
        self.filled = torch.cat((self.filled, valid), dim=1).gather(1, places)
        self.tokens = _merged(self.tokens, tokens, places, self._padding)
        if self.trails is not None and trails is not None:
            self.trails = _merged(self.trails, trails, places, -1)


def _merged(held: Tensor, offered: Tensor, places: Tensor, padding: int) -> Tensor:
    """The chosen ones of what is held and what is offered; [batch, kept, length] each."""
    length = offered.shape[2]
    held = torch.nn.functional.pad(held, (0, length - held.shape[2]), value=padding)
    return torch.cat((held, offered), dim=1).gather(1, places[:, :, None].expand(-1, -1, length))
