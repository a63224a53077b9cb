"""When generation ends: for a row, or for all of them.

Limits that the host knows (lengths, time) cost no look at the device. What depends on the tokens is kept on the
device, and is read at every token on the CPU, and once in a block of tokens elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .criteria import EosTokenCriteria, MaxLengthCriteria, MaxTimeCriteria, StoppingCriteriaList

if TYPE_CHECKING:
    from .state import Decoding

__all__ = ["BLOCK", "Stopping"]

BLOCK = 8
"""Tokens between two looks at flags on an accelerator."""


class Stopping:
    """The conditions of one run.

    Args:
        max_length: columns at which every row ends, the prompt's included; None without a limit.
        max_time: seconds after which no further token is begun.
        eos_token_ids: tokens that end their row.
        criteria: further conditions, called as ``criterion(tokens, scores)``.
        synced: go on until every process of the default group is done.
    """

    __slots__ = ("_checked", "_criteria", "_deadline", "_eos", "_invalid", "_needed", "_synced", "max_length")

    def __init__(
        self,
        *,
        max_length: int | None,
        max_time: float | None = None,
        eos_token_ids: Sequence[int] = (),
        criteria: Sequence[Callable[..., Any]] = (),
        synced: bool = False,
        device: torch.device | None = None,
    ) -> None:
        self.max_length = max_length
        self._deadline = None if max_time is None else time.monotonic() + max_time
        self._eos = torch.tensor(list(eos_token_ids), device=device) if eos_token_ids else None
        self._criteria = list(criteria)
        self._synced = synced and torch.distributed.is_available() and torch.distributed.is_initialized()
        self._invalid: Tensor | None = None
        self._checked = 0
        self._needed: Tensor | None = None

    @property
    def can_end_rows(self) -> bool:
        """Whether a row may end before the others."""
        return self._eos is not None or bool(self._criteria)

    @property
    def is_synced(self) -> bool:
        """Whether the run goes on until every process is done; see :mod:`formers.generation.synced`."""
        return self._synced

    @property
    def eos_token_ids(self) -> Tensor | None:
        """int64 [ids], the tokens that end their row; None if none does."""
        return self._eos

    def as_criteria(self) -> StoppingCriteriaList:
        """The same conditions in the form that transformers gives to functions."""
        listed: list[Callable[..., Any]] = []
        if self.max_length is not None:
            listed.append(MaxLengthCriteria(self.max_length))
        if self._deadline is not None:
            listed.append(MaxTimeCriteria(self._deadline - time.monotonic()))
        listed += self._criteria
        if self._eos is not None:
            listed.append(EosTokenCriteria(self._eos))
        return StoppingCriteriaList(listed)

    def ends(self, tokens: Tensor) -> Tensor | None:
        """Which of these tokens end their row: bool like ``tokens``; None if none can."""
        eos = self._eos
        if eos is None:
            return None
        return tokens == eos if eos.shape[0] == 1 else torch.isin(tokens, eos)

    def update(self, run: Decoding, scores: Tensor | None) -> None:
        """Mark the rows that end with their last token."""
        if self.can_end_rows and run.device.type != "cpu":
            live = (~run.finished).any().long()
            self._needed = live if self._needed is None else self._needed + live
        if self._eos is not None:
            ends = self.ends(run.last_tokens)
            assert ends is not None
            run.finished |= ends
        for criterion in self._criteria:
            run.finished |= _as_rows(criterion(run.tokens, scores), run.tokens)

    def kept(self, run: Decoding, new: int, scores: Tensor) -> int:
        """How many of the last ``new`` tokens of the only row stay: those up to the first that ends it.

        Marks the row as ended if one does.

        Args:
            scores: [new, vocabulary], those that the tokens were chosen by.
        """
        first = run.length - new
        ends = self.ends(run.tokens[0, first:])
        ending = [False] * new if ends is None else ends.tolist()
        for place, ended in enumerate(ending):
            text, chosen_by = run.tokens[:, : first + place + 1], scores[place : place + 1]
            # Every criterion is asked, as it is for one token after the other.
            asked = [bool(_as_rows(one(text, chosen_by), text)) for one in self._criteria]
            if ended or any(asked):
                run.finished.fill_(True)
                return place + 1
        return new

    def is_over(self, run: Decoding) -> bool:
        """Whether every row has ended, or a limit is reached."""
        if self.at_limit(run):
            run.finished.fill_(True)
            self.expect_valid(run)
            return True
        if not self.may_look(run):
            return False
        self.expect_valid(run)
        return self.can_end_rows and bool(run.finished.all())

    def notice_invalid(self, best: Tensor, run: Decoding) -> None:
        """Take note of rows whose best score is not finite; raise at the next look at the device."""
        invalid = ~best.isfinite()
        if best.device.type == "cpu":
            if invalid.any():
                self._invalid = invalid
                self.expect_valid(run)
            return
        self._invalid = invalid if self._invalid is None else self._invalid | invalid

    def expect_valid(self, run: Decoding) -> None:
        """Raise if an invalid score was noticed.

        Raises:
            GenerationError: names the first such row.
        """
        if self._invalid is None or not bool(self._invalid.any()):
            return
        row = int(self._invalid.int().argmax())
        where = (
            f"at step {run.steps}"
            if run.device.type == "cpu"
            else f"within {BLOCK} steps before step {run.steps}"
        )
        raise run.error(
            f"Row {row} has no finite score to choose a token by, {where}: the model gave NaN or infinity, or a "
            "processor forbade every token. Likely causes: weights or activations that overflow in float16 (load the "
            "model with dtype=torch.bfloat16 or float32), a prompt that is all padding, a constraint that allows "
            "nothing, or a tiny temperature. remove_invalid_values=True replaces such scores; what was generated so "
            "far is in this exception's .sequences.",
            row=row,
        )

    def needed_steps(self, run: Decoding) -> int:
        """Steps until the last row ended; those after it were begun before anyone had looked."""
        return run.steps if self._needed is None else int(self._needed)

    def ends_candidates(self, run: Decoding, parents: Tensor, tokens: Tensor) -> Tensor:
        """Which candidates of a beam search end: a row's text, and one more token.

        Args:
            parents: int64 [batch, candidates], rows of the run.
            tokens: int64 [batch, candidates].

        Returns:
            bool [batch, candidates].
        """
        if (self.max_length is not None and run.length + 1 >= self.max_length) or self._time_is_up():
            return torch.ones_like(tokens, dtype=torch.bool)
        ended = self.ends(tokens)
        ended = torch.zeros_like(tokens, dtype=torch.bool) if ended is None else ended
        if self._criteria:
            texts = torch.cat((run.tokens[parents], tokens[:, :, None]), dim=2).flatten(0, 1)
            for criterion in self._criteria:
                ended = ended | _as_rows(criterion(texts, None), texts).view_as(ended)
        return ended

    def all_meet(self, run: Decoding, scores: Tensor | None) -> bool:
        """Whether every row meets one of the further criteria now; unlike :meth:`update` it marks none."""
        if not self._criteria:
            return False
        met = torch.zeros_like(run.finished)
        for criterion in self._criteria:
            met |= _as_rows(criterion(run.tokens, scores), run.tokens)
        return bool(met.all())

    def at_limit(self, run: Decoding) -> bool:
        """Whether a length or time that the host knows of is reached."""
        if self.max_length is not None and run.length >= self.max_length:
            return True
        return self._time_is_up()

    def _time_is_up(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def may_look(self, run: Decoding) -> bool:
        """Whether to read a flag now: always on the CPU; elsewhere once in a block, as reading waits for the device."""
        if run.device.type == "cpu":
            return True
        if run.steps - self._checked < BLOCK:
            return False
        self._checked = run.steps
        return True


def _as_rows(value: Any, texts: Tensor) -> Tensor:
    """What a criterion returned, as bool [rows]; plain booleans speak for all rows."""
    if isinstance(value, Tensor):
        return value.to(texts.device)
    return torch.full((texts.shape[0],), bool(value), device=texts.device)
