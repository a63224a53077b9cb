"""Classifier-free guidance: away from what the model would say without the prompt.

Ho & Salimans 2022; for language models Sanchez et al. 2023.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .base import LogitsProcessor
from .checks import number
from .token_ids import repeat_rows

__all__ = ["ClassifierFreeGuidanceLogitsProcessor", "UnbatchedClassifierFreeGuidanceLogitsProcessor"]


class ClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """Mixes both halves of a batch: conditional rows first, unconditional rows after them.

    Args:
        guidance_scale: above 1; 1 would be the conditional scores alone.
    """

    def __init__(self, guidance_scale: float) -> None:
        remedy = "leave guidance out for the conditional scores alone"
        self.guidance_scale = number("guidance_scale", guidance_scale, remedy, above=1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The mixed scores, [rows, vocabulary], of scores [2 * rows, vocabulary].

        Raises:
            ValueError: there are not twice as many rows of scores as of ids.
        """
        rows = input_ids.shape[0]
        if scores.shape[0] != 2 * rows:
            raise ValueError(
                f"There are {scores.shape[0]} rows of scores for {rows} rows of ids; expected {2 * rows}: the "
                "conditional rows, then the unconditional ones."
            )
        conditional, unconditional = scores[:rows], scores[rows:]
        return unconditional + (conditional - unconditional) * self.guidance_scale


class UnbatchedClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """Runs the model a second time at each step, on a text without the prompt or with a negative one.

    With ``use_cache`` it keeps the model's cache between calls, and starts anew when a text is not one token longer
    than before; so rows must keep their places. Without, each call stands alone, as beam search needs.

    Args:
        guidance_scale: above 1 is closer to the prompt; 1 changes nothing but normalises.
        model: what the scores come from.
        unconditional_ids: int64 [batch, length], what comes before the generated tokens instead of the prompt; by
            default the prompt's last token.
        unconditional_attention_mask: [batch, length], 1 where there is a token; by default everywhere.
        use_cache: whether to keep the model's cache.
    """

    def __init__(
        self,
        guidance_scale: float,
        model: Any,
        unconditional_ids: Tensor | None = None,
        unconditional_attention_mask: Tensor | None = None,
        use_cache: bool = True,
    ) -> None:
        self.guidance_scale = number("guidance_scale", guidance_scale, "1.0 changes nothing")
        if unconditional_attention_mask is not None:
            _same_shape(unconditional_ids, unconditional_attention_mask)
        self.model = model
        self.unconditional_ids = unconditional_ids
        self.unconditional_attention_mask = unconditional_attention_mask
        self.use_cache = use_cache
        self._start: Tensor | None = None
        self._prompt_length = 0
        self._length = 0
        self._cache: Any = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, normalised, [rows, vocabulary]."""
        scores = scores.log_softmax(dim=-1)
        if self.guidance_scale == 1:
            return scores
        unconditional = self._logits(input_ids).to(scores.dtype).log_softmax(dim=-1)
        mixed: Tensor = self.guidance_scale * (scores - unconditional) + unconditional
        return mixed

    def _logits(self, input_ids: Tensor) -> Tensor:
        """The model's scores for the next token of the unconditional text, [rows, vocabulary]."""
        rows, length = input_ids.shape
        goes_on = self._start is not None and length == self._length + 1 and self._start.shape[0] == rows
        if not goes_on:
            self._begin(input_ids)
        self._length = length
        assert self._start is not None
        mask = self.unconditional_attention_mask
        if mask is not None:
            mask = repeat_rows("unconditional_attention_mask", mask, rows).to(input_ids.device)
            mask = torch.cat((mask, mask.new_ones(rows, length - self._prompt_length)), dim=1)
        if self._cache is not None:
            new = input_ids[:, -1:]
        else:
            new = torch.cat((self._start, input_ids[:, self._prompt_length :]), dim=1)
        output = self.model(
            new, attention_mask=mask, past_key_values=self._cache, use_cache=self.use_cache, return_dict=True
        )
        self._cache = output.past_key_values if self.use_cache else None
        logits: Tensor = output.logits[:, -1]
        return logits

    def _begin(self, input_ids: Tensor) -> None:
        rows, self._prompt_length = input_ids.shape
        self._cache = None
        if self.unconditional_ids is None:
            self._start = input_ids[:, -1:].clone()
        else:
            self._start = repeat_rows("unconditional_ids", self.unconditional_ids, rows).to(input_ids.device)


def _same_shape(ids: Tensor | None, mask: Tensor) -> None:
    shape = None if ids is None else tuple(ids.shape)
    if shape != tuple(mask.shape):
        raise ValueError(
            f"`unconditional_attention_mask` has shape {tuple(mask.shape)} for `unconditional_ids` of shape {shape}; "
            "expected the same shape."
        )
