"""Processors that shape the distribution that a token is drawn from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import LogitsProcessor
from .checks import number, whole
from .selection import farthest_needed, keep_largest, keep_nucleus, kth_largest

__all__ = [
    "EpsilonLogitsWarper",
    "EtaLogitsWarper",
    "MinPLogitsWarper",
    "TemperatureLogitsWarper",
    "TopHLogitsWarper",
    "TopKLogitsWarper",
    "TopPLogitsWarper",
    "TypicalLogitsWarper",
]

NOTHING = -math.inf
LOWEST_TEMPERATURE = 1e-30
"""Scores of a few hundred, divided by less, are no longer finite in float32."""


class TemperatureLogitsWarper(LogitsProcessor):
    """Divides the scores; a temperature below 1 favours likely tokens, one above 1 levels the distribution."""

    uses_input_ids = False

    def __init__(self, temperature: float) -> None:
        remedy = "do_sample=False always takes the best token, as a temperature of 0 would"
        self.temperature = number("temperature", temperature, remedy, minimum=LOWEST_TEMPERATURE)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        return scores / self.temperature


class _Filter(LogitsProcessor):
    """Replaces the scores of some tokens by ``filter_value``, but never those of the best ``min_tokens_to_keep``."""

    uses_input_ids = False

    def __init__(self, filter_value: float, min_tokens_to_keep: int) -> None:
        self.filter_value = filter_value
        remedy = "at least one token must be left to draw from"
        self.min_tokens_to_keep = whole("min_tokens_to_keep", min_tokens_to_keep, 1, remedy)

    def _unless_best(self, unlikely: Tensor, scores: Tensor) -> Tensor:
        return unlikely & (scores < kth_largest(scores, min(self.min_tokens_to_keep, scores.shape[-1])))


class TopKLogitsWarper(_Filter):
    """Keeps the ``top_k`` likeliest tokens, and those as likely as the last of them (Fan et al. 2018)."""

    def __init__(self, top_k: int, filter_value: float = NOTHING, min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep)
        remedy = "leave it out, or set top_k=0 in the generation configuration, to keep every token"
        self.top_k = max(whole("top_k", top_k, 1, remedy), self.min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        if self.top_k >= scores.shape[-1]:
            return scores
        return keep_largest(scores, self.top_k, self.filter_value)


class TopPLogitsWarper(_Filter):
    """Keeps the smallest set of likeliest tokens whose probabilities reach ``top_p`` (Holtzman et al. 2020)."""

    def __init__(self, top_p: float, filter_value: float = NOTHING, min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep)
        self.top_p = number("top_p", top_p, "1.0 keeps every token", minimum=0, maximum=1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        return keep_nucleus(scores, self.top_p, self.min_tokens_to_keep, self.filter_value)


class TopHLogitsWarper(_Filter):
    """Keeps the likeliest tokens whose share of the entropy is ``top_h`` (Potraghloo et al. 2025).

    Only the 100 likeliest are looked at.
    """

    top_n = 100

    def __init__(self, top_h: float, filter_value: float = NOTHING) -> None:
        super().__init__(filter_value, 1)
        self.top_h = number("top_h", top_h, "leave it out to keep every token", above=0, maximum=1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        best, tokens = scores.topk(min(self.top_n, scores.shape[-1]), dim=-1)
        logs = best.log_softmax(dim=-1)
        surprise = -(logs.exp() * logs).nan_to_num(nan=0.0)
        kept = surprise.cumsum(dim=-1) <= self.top_h * surprise.sum(dim=-1, keepdim=True)
        kept[..., 0] = True
        # A token that is not kept writes what is there already.
        return torch.full_like(scores, self.filter_value).scatter_(
            -1, tokens, best.masked_fill(~kept, self.filter_value)
        )


class MinPLogitsWarper(_Filter):
    """Keeps tokens at least ``min_p`` times as likely as the likeliest (Nguyen et al. 2025)."""

    def __init__(self, min_p: float, filter_value: float = NOTHING, min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep)
        self.min_p = number("min_p", min_p, "0 keeps every token", minimum=0, maximum=1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        probabilities = scores.softmax(dim=-1)
        unlikely = probabilities < self.min_p * probabilities.amax(dim=-1, keepdim=True)
        if self.min_tokens_to_keep > 1:
            unlikely = self._unless_best(unlikely, scores)
        return scores.masked_fill(unlikely, self.filter_value)


class TypicalLogitsWarper(_Filter):
    """Keeps the tokens whose surprise is closest to the expected one, up to a mass (Meister et al. 2022)."""

    def __init__(self, mass: float = 0.9, filter_value: float = NOTHING, min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep)
        self.mass = number("typical_p", mass, "leave it out to keep every token", above=0, below=1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        logs = scores.log_softmax(dim=-1)
        entropy = -(logs * logs.exp()).nansum(dim=-1, keepdim=True)
        distance = (-logs - entropy).abs()
        farthest = farthest_needed(distance, scores, self.mass, self.min_tokens_to_keep)
        return scores.masked_fill(distance > farthest, self.filter_value)


class EpsilonLogitsWarper(_Filter):
    """Keeps tokens with a probability of at least ``epsilon`` (Hewitt et al. 2022)."""

    def __init__(self, epsilon: float, filter_value: float = NOTHING, min_tokens_to_keep: int = 1) -> None:
        super().__init__(filter_value, min_tokens_to_keep)
        self.epsilon = number("epsilon_cutoff", epsilon, "leave it out to keep every token", above=0, below=1)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        unlikely = self._unless_best(scores.softmax(dim=-1) < self.epsilon, scores)
        return scores.masked_fill(unlikely, self.filter_value)


class EtaLogitsWarper(_Filter):
    """Keeps tokens with a probability of ``min(epsilon, sqrt(epsilon) * exp(-entropy))`` (Hewitt et al. 2022).

    ``device`` is where transformers keeps the number.
    """

    def __init__(
        self,
        epsilon: float,
        filter_value: float = NOTHING,
        min_tokens_to_keep: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(filter_value, min_tokens_to_keep)
        given = number("eta_cutoff", epsilon, "leave it out to keep every token", above=0, below=1)
        single = torch.tensor(given, dtype=torch.float32)
        # Rounded as float32 does, for the threshold is compared with probabilities.
        self.epsilon, self._root = single.item(), single.sqrt().item()

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        logs = scores - scores.logsumexp(dim=-1, keepdim=True)
        probabilities = scores.softmax(dim=-1)
        lowest = torch.finfo(scores.dtype).min
        entropy = -(logs.clamp(min=lowest) * logs.softmax(dim=-1)).sum(dim=-1, keepdim=True)
        eta = (self._root * (-entropy).exp()).clamp(max=self.epsilon)
        return scores.masked_fill(self._unless_best(probabilities < eta, scores), self.filter_value)
