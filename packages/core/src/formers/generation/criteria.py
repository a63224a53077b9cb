"""Conditions that end rows: called as ``criterion(input_ids, scores)`` after each token, bool [rows] comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from formers.errors import GenerationWarning, warn
from formers.generation.processors.checks import number, whole
from formers.generation.processors.token_ids import TokenIds
from formers.generation.stop_strings import StopStringTable

__all__ = [
    "ConfidenceCriteria",
    "EosTokenCriteria",
    "MaxLengthCriteria",
    "MaxTimeCriteria",
    "StopStringCriteria",
    "StoppingCriteria",
    "StoppingCriteriaList",
]

Scores = Tensor | Sequence[Tensor] | None


class StoppingCriteria:
    """Tells which rows have ended; a subclass defines ``__call__``."""

    def __call__(self, input_ids: Tensor, scores: Scores, **kwargs: Any) -> Tensor:
        """Which rows are done, bool [rows].

        Args:
            input_ids: int64 [rows, length], every token so far, the newest last.
            scores: those that the newest token was chosen by, or those of all steps, or None.
            kwargs: whatever else the decoding strategy says.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define __call__(input_ids, scores, **kwargs); a stopping criterion must."
        )


class StoppingCriteriaList(list[Callable[..., Any]]):
    """Ends a row when any member does; members may also return one bool for all rows."""

    def __call__(self, input_ids: Tensor, scores: Scores, **kwargs: Any) -> Tensor:
        """Which rows are done, bool [rows]."""
        done = torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)
        for criterion in self:
            answer = criterion(input_ids, scores, **kwargs)
            done |= answer.to(done.device) if isinstance(answer, Tensor) else bool(answer)
        return done

    @property
    def max_length(self) -> int | None:
        """The limit of the first member that has one."""
        return next((one.max_length for one in self if isinstance(one, MaxLengthCriteria)), None)


class MaxLengthCriteria(StoppingCriteria):
    """Ends every row that has ``max_length`` tokens, prompt included.

    Args:
        max_length: tokens.
        max_position_embeddings: tokens that the model is made for; going on beyond them warns once.
    """

    def __init__(self, max_length: int, max_position_embeddings: int | None = None) -> None:
        self.max_length = whole("max_length", max_length, 0, "the number of tokens of the longest sequence")
        self.max_position_embeddings = max_position_embeddings
        self._warned = False

    def __call__(self, input_ids: Tensor, scores: Scores, **kwargs: Any) -> Tensor:
        """Which rows are done, bool [rows]."""
        length = input_ids.shape[1]
        done = length >= self.max_length
        positions = self.max_position_embeddings
        if positions is not None and not done and length >= positions and not self._warned:
            self._warned = True
            warn(
                f"The text has reached {length} tokens, and the model has {positions} positions: it will fail or "
                f"talk nonsense. Set max_length to at most {positions}.",
                GenerationWarning,
            )
        return torch.full((input_ids.shape[0],), done, device=input_ids.device)


class MaxTimeCriteria(StoppingCriteria):
    """Ends all rows at the first call after ``max_time`` seconds.

    Args:
        max_time: seconds.
        initial_timestamp: ``time.time()`` of the start; by default now.
    """

    def __init__(self, max_time: float, initial_timestamp: float | None = None) -> None:
        self.max_time = number("max_time", max_time, "leave it out for no limit", minimum=0)
        self.initial_timestamp = time.time() if initial_timestamp is None else initial_timestamp

    def __call__(self, input_ids: Tensor, scores: Scores, **kwargs: Any) -> Tensor:
        """Which rows are done, bool [rows]."""
        done = time.time() - self.initial_timestamp > self.max_time
        return torch.full((input_ids.shape[0],), done, device=input_ids.device)


class EosTokenCriteria(StoppingCriteria):
    """Ends a row at one of some tokens."""

    def __init__(self, eos_token_id: int | Iterable[int] | Tensor) -> None:
        self._eos = TokenIds("eos_token_id", eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Scores, new_token_length: int = 1, **kwargs: Any) -> Tensor:
        """Which rows are done, bool [rows]; ``new_token_length`` is how many of the last tokens are new."""
        new = input_ids[:, -new_token_length:]
        return torch.isin(new, self._eos.all_on(input_ids.device)).any(dim=-1)


class ConfidenceCriteria(StoppingCriteria):
    """Ends an assistant's draft where the token that it chose had a low probability.

    Args:
        assistant_confidence_threshold: from 0 to 1.
    """

    def __init__(self, assistant_confidence_threshold: float) -> None:
        self.assistant_confidence_threshold = number(
            "assistant_confidence_threshold",
            assistant_confidence_threshold,
            "0 never ends a draft",
            minimum=0,
            maximum=1,
        )

    def __call__(self, input_ids: Tensor, scores: Scores, **kwargs: Any) -> Tensor:
        """Which rows are done, bool [rows].

        Raises:
            ValueError: there are no scores.
        """
        newest = scores if scores is None or isinstance(scores, Tensor) else scores[-1]
        if newest is None:
            raise ValueError(
                "ConfidenceCriteria needs the scores that the newest token was chosen by; got None."
            )
        chosen = newest.softmax(dim=-1).gather(-1, input_ids[:, -1:]).squeeze(-1)
        return chosen < self.assistant_confidence_threshold


class StopStringCriteria(StoppingCriteria):
    """Ends a row when its newest token completes one of some strings.

    The string may begin inside a token, and the newest token may go on behind it. What special tokens are written
    like counts, too. Nothing is decoded: a table, made once for a tokenizer and its strings, tells what each token
    does to a partial match, and stays on the device.

    Args:
        tokenizer: that the ids are of.
        stop_strings: one or several.
    """

    def __init__(self, tokenizer: Any, stop_strings: str | Sequence[str]) -> None:
        self._table = StopStringTable.of(tokenizer, stop_strings)
        self.stop_strings = self._table.strings

    def __call__(self, input_ids: Tensor, scores: Scores, **kwargs: Any) -> Tensor:
        """Which rows are done, bool [rows]."""
        return self._table.completed_by_last(input_ids)
