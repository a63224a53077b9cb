"""The finished sequences of one prompt, as a beam scorer keeps them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["BeamHypotheses", "Hypothesis"]

_WORST = 1e9


class Hypothesis(NamedTuple):
    """A finished sequence.

    Attributes:
        score: the sum of its log-probabilities, divided by a power of its length.
        tokens: int64 [length], without the token that ended it.
        beam_indices: the row that each token came from, the ending one included; None if nobody wants to know.
        end_token_id: the token that ended it; None if the search did.
    """

    score: float
    tokens: Tensor
    beam_indices: tuple[int, ...] | None = None
    end_token_id: int | None = None


class BeamHypotheses:
    """The best ``num_beams`` finished sequences of one prompt.

    Args:
        num_beams: how many are kept.
        length_penalty: exponent of the length that a sum of log-probabilities is divided by.
        early_stopping: see :meth:`is_done`.
        max_length: tokens that a sequence can have, for ``early_stopping="never"``.

    Attributes:
        beams: what is kept, in the order in which it came.
        worst_score: the lowest score that is kept.

    Raises:
        ValueError: ``early_stopping`` is a text, and there is no ``max_length``.
    """

    def __init__(
        self,
        num_beams: int,
        length_penalty: float,
        early_stopping: bool | str | None,
        max_length: int | None = None,
    ) -> None:
        if isinstance(early_stopping, str) and max_length is None:
            raise ValueError(
                f"do_early_stopping={early_stopping!r} looks ahead to the longest possible sequence; pass max_length."
            )
        self.num_beams = num_beams
        self.length_penalty = length_penalty
        self.early_stopping = early_stopping
        self.max_length = max_length
        self.beams: list[Hypothesis] = []
        self.worst_score = _WORST

    def __len__(self) -> int:
        return len(self.beams)

    def add(
        self,
        hyp: Tensor,
        sum_logprobs: float,
        beam_indices: tuple[int, ...] | None = None,
        generated_len: int | None = None,
        end_token_id: int | None = None,
    ) -> None:
        """Take in a finished sequence, if it is better than the worst or there is room.

        Args:
            hyp: int64 [length], without the token that ended it.
            sum_logprobs: of all its tokens.
            beam_indices: the row that each token came from.
            generated_len: tokens that count for the score; by default all of ``hyp``.
            end_token_id: what ended it.
        """
        length = hyp.shape[-1] if generated_len is None else generated_len
        score = sum_logprobs / length**self.length_penalty
        if len(self.beams) >= self.num_beams and score <= self.worst_score:
            return
        self.beams.append(Hypothesis(score, hyp, beam_indices, end_token_id))
        if len(self.beams) > self.num_beams:
            del self.beams[min(range(len(self.beams)), key=lambda place: self.beams[place].score)]
        self.worst_score = min(kept.score for kept in self.beams)

    def is_done(self, best_sum_logprobs: float, cur_len: int, decoder_prompt_len: int = 0) -> bool:
        """Whether nothing better is to be expected.

        With fewer than ``num_beams`` sequences never; with ``early_stopping=True`` then always. Otherwise, when the
        best candidate would not beat the worst sequence: at the length that it has now, or with ``"never"`` and a
        positive ``length_penalty`` at the greatest possible one.

        Args:
            best_sum_logprobs: of the best candidate.
            cur_len: tokens that it has.
            decoder_prompt_len: those among them that do not count.
        """
        if len(self.beams) < self.num_beams:
            return False
        if self.early_stopping is True:
            return True
        if self.early_stopping == "never" and self.length_penalty > 0.0 and self.max_length is not None:
            cur_len = self.max_length
        reachable: float = best_sum_logprobs / (cur_len - decoder_prompt_len) ** self.length_penalty
        return self.worst_score >= reachable
