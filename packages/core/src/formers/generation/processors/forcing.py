"""Processors that forbid or force tokens by position: lengths, first and last tokens, suppressed ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .base import LogitsProcessor
from .checks import whole
from .token_ids import TokenIds

__all__ = [
    "ForcedBOSTokenLogitsProcessor",
    "ForcedEOSTokenLogitsProcessor",
    "MinLengthLogitsProcessor",
    "MinNewTokensLengthLogitsProcessor",
    "SuppressTokensAtBeginLogitsProcessor",
    "SuppressTokensLogitsProcessor",
]

Ids = int | Iterable[int] | Tensor
Device = str | torch.device
NOTHING = float("-inf")


class MinLengthLogitsProcessor(LogitsProcessor):
    """Forbids the end until a sequence has ``min_length`` tokens, prompt included.

    ``device`` is where transformers keeps the ids; here they follow the scores.
    """

    def __init__(self, min_length: int, eos_token_id: Ids, device: Device = "cpu") -> None:
        self.min_length = whole("min_length", min_length, 0, "0 sets no minimum")
        self._eos = TokenIds("eos_token_id", eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        if input_ids.shape[-1] >= self.min_length:
            return scores
        return scores.index_fill(-1, self._eos.on(scores), NOTHING)


class MinNewTokensLengthLogitsProcessor(LogitsProcessor):
    """Forbids the end until ``min_new_tokens`` tokens follow the first ``prompt_length_to_skip``."""

    def __init__(
        self, prompt_length_to_skip: int, min_new_tokens: int, eos_token_id: Ids, device: Device = "cpu"
    ) -> None:
        self.prompt_length_to_skip = whole(
            "prompt_length_to_skip", prompt_length_to_skip, 0, "the number of tokens of the prompt"
        )
        self.min_new_tokens = whole("min_new_tokens", min_new_tokens, 0, "0 sets no minimum")
        self._eos = TokenIds("eos_token_id", eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        if input_ids.shape[-1] - self.prompt_length_to_skip >= self.min_new_tokens:
            return scores
        return scores.index_fill(-1, self._eos.on(scores), NOTHING)


class ForcedBOSTokenLogitsProcessor(LogitsProcessor):
    """Leaves only ``bos_token_id`` to choose when a sequence has one token."""

    def __init__(self, bos_token_id: int) -> None:
        self.bos_token_id = whole("bos_token_id", bos_token_id, 0, "give the id of one token")
        self._bos = TokenIds("bos_token_id", self.bos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        if input_ids.shape[-1] != 1:
            return scores
        return _only(self._bos, scores)


class ForcedEOSTokenLogitsProcessor(LogitsProcessor):
    """Leaves only the end to choose when a sequence is one token short of ``max_length``."""

    def __init__(self, max_length: int, eos_token_id: Ids, device: Device = "cpu") -> None:
        self.max_length = whole("max_length", max_length, 1, "the number of tokens of the longest sequence")
        self._eos = TokenIds("eos_token_id", eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        if input_ids.shape[-1] != self.max_length - 1:
            return scores
        return _only(self._eos, scores)


class SuppressTokensLogitsProcessor(LogitsProcessor):
    """Forbids some tokens always."""

    uses_input_ids = False

    def __init__(self, suppress_tokens: Ids, device: Device = "cpu") -> None:
        self._suppressed = TokenIds("suppress_tokens", suppress_tokens)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        return scores.index_fill(-1, self._suppressed.on(scores), NOTHING)


class SuppressTokensAtBeginLogitsProcessor(LogitsProcessor):
    """Forbids some tokens when a sequence has ``begin_index`` tokens."""

    def __init__(
        self, begin_suppress_tokens: Sequence[int] | Tensor, begin_index: int, device: Device = "cpu"
    ) -> None:
        self._suppressed = TokenIds("begin_suppress_tokens", begin_suppress_tokens)
        self.set_begin_index(begin_index)

    def set_begin_index(self, begin_index: int) -> None:
        """Say again how many tokens come before the first that is generated."""
        self.begin_index = whole(
            "begin_index", begin_index, 0, "the number of tokens before the first new one"
        )

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        if input_ids.shape[-1] != self.begin_index:
            return scores
        return scores.index_fill(-1, self._suppressed.on(scores), NOTHING)


def _only(tokens: TokenIds, scores: Tensor) -> Tensor:
    """Score 0 for the tokens, nothing for all others."""
    return torch.full_like(scores, NOTHING).index_fill_(-1, tokens.require(scores), 0.0)
