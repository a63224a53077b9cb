"""Processors that forbid to repeat a sequence of tokens; compared on the device, all positions at once."""

from __future__ import annotations

import torch
from torch import Tensor

from formers.layout import may_look_at

from .base import LogitsProcessor
from .checks import whole
from .token_ids import repeat_rows

__all__ = ["EncoderNoRepeatNGramLogitsProcessor", "NoRepeatNGramLogitsProcessor"]


class NoRepeatNGramLogitsProcessor(LogitsProcessor):
    """Forbids tokens that would complete ``ngram_size`` tokens that occurred before in the same order."""

    def __init__(self, ngram_size: int) -> None:
        self.ngram_size = whole("ngram_size", ngram_size, 1, "leave it out to allow repetition")

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        rows, length = input_ids.shape
        others = self.ngram_size - 1
        starts = length - others
        if starts < 1:
            return scores
        differs = input_ids.new_zeros((rows, starts), dtype=torch.bool)
        for place in range(others):
            differs |= input_ids[:, place : place + starts] != input_ids[:, starts + place, None]
        return _forbid(input_ids[:, others:], differs, scores)


class EncoderNoRepeatNGramLogitsProcessor(LogitsProcessor):
    """Forbids tokens that would complete ``encoder_ngram_size`` tokens of the encoder's input.

    Args:
        encoder_ngram_size: at least 1.
        encoder_input_ids: int64 [batch, length], or [length] for a batch of one.
    """

    def __init__(self, encoder_ngram_size: int, encoder_input_ids: Tensor) -> None:
        self.ngram_size = whole("encoder_ngram_size", encoder_ngram_size, 1, "leave it out to allow copying")
        text = encoder_input_ids[None] if encoder_input_ids.dim() == 1 else encoder_input_ids
        shorter = text.shape[-1] < self.ngram_size
        self._grams = text.new_empty(0, 0, 0) if shorter else text.unfold(1, self.ngram_size, 1)
        self._fitted: tuple[Tensor, Tensor] | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        end = input_ids.shape[1] - self.ngram_size + 1
        if end < 0 or not self._grams.numel():
            return scores
        others, last = self._for(scores)
        differs = (others != input_ids[:, end:].t()[:, :, None]).any(dim=0)
        return _forbid(last, differs, scores)

    def _for(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """All but the last token of each n-gram, [size - 1, rows, n-grams], and the last, [rows, n-grams]."""
        fitted = self._fitted
        if fitted is None or fitted[1].shape[0] != scores.shape[0] or fitted[1].device != scores.device:
            grams = repeat_rows("encoder_input_ids", self._grams, scores.shape[0]).to(scores.device)
            fitted = grams[..., :-1].permute(2, 0, 1).contiguous(), grams[..., -1].contiguous()
            self._fitted = fitted
        return fitted


def _forbid(tokens: Tensor, differs: Tensor, scores: Tensor) -> Tensor:
    """Forbids the tokens [rows, n] that are not marked."""
    if may_look_at(differs) and bool(differs.all()):
        return scores
    floor = scores.new_full(differs.shape, float("-inf")).masked_fill_(differs, float("inf"))
    return scores.scatter_reduce(-1, tokens, floor, "amin")
