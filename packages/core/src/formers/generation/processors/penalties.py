"""Processors that make tokens less or more likely: repetition, length, diversity between groups of beams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .base import LogitsProcessor
from .checks import number, whole
from .token_ids import TokenIds, repeat_rows

__all__ = [
    "EncoderRepetitionPenaltyLogitsProcessor",
    "ExponentialDecayLengthPenalty",
    "HammingDiversityLogitsProcessor",
    "RepetitionPenaltyLogitsProcessor",
]


class RepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Divides positive and multiplies negative scores of tokens that have occurred, once each (Keskar et al. 2019).

    Args:
        penalty: above 0; above 1 discourages repetition, 1 changes nothing.
        prompt_ignore_length: tokens at the start that do not count, a number or int64 [batch].
    """

    def __init__(self, penalty: float, prompt_ignore_length: int | Tensor | None = None) -> None:
        self.penalty = number("penalty", penalty, "1.0 changes nothing", above=0)
        self.prompt_ignore_length: int | Tensor | None
        if prompt_ignore_length is None or isinstance(prompt_ignore_length, Tensor):
            self.prompt_ignore_length = prompt_ignore_length
        else:
            remedy = "the number of tokens of the prompt"
            self.prompt_ignore_length = whole("prompt_ignore_length", prompt_ignore_length, 0, remedy)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        ignored = self.prompt_ignore_length
        if isinstance(ignored, Tensor):
            return self._after(ignored, input_ids, scores)
        return _penalise(input_ids[:, ignored:], scores, self.penalty)

    def _after(self, ignored: Tensor, input_ids: Tensor, scores: Tensor) -> Tensor:
        positions = torch.arange(input_ids.shape[-1], device=input_ids.device)
        ignored = repeat_rows(
            "prompt_ignore_length", ignored.to(input_ids.device).view(-1, 1), scores.shape[0]
        )
        counts = (positions >= ignored).expand_as(input_ids).to(scores.dtype)
        occurred = torch.zeros_like(scores).scatter_reduce_(-1, input_ids, counts, "amax") > 0
        return torch.where(occurred, _penalised(scores, self.penalty), scores)


class EncoderRepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Multiplies positive and divides negative scores of tokens of the encoder's input, once each.

    Args:
        penalty: above 0; above 1 encourages copying, 1 changes nothing.
        encoder_input_ids: int64 [batch, length].
    """

    def __init__(self, penalty: float, encoder_input_ids: Tensor) -> None:
        self.penalty = 1 / number("penalty", penalty, "1.0 changes nothing", above=0)
        self.encoder_input_ids = encoder_input_ids

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        encoded = self.encoder_input_ids
        if encoded.shape[0] != scores.shape[0] or encoded.device != scores.device:
            encoded = repeat_rows("encoder_input_ids", encoded, scores.shape[0]).to(scores.device)
        return _penalise(encoded, scores, self.penalty)


class ExponentialDecayLengthPenalty(LogitsProcessor):
    """Makes the end ever more likely: by ``|score| * (factor ** n - 1)`` at the n-th token after the start.

    Args:
        exponential_decay_length_penalty: the number of new tokens after which it starts, and the factor, above 0.
        eos_token_id: what ends a sequence.
        input_ids_seq_length: tokens of the prompt.
    """

    def __init__(
        self,
        exponential_decay_length_penalty: tuple[int, float],
        eos_token_id: int | Iterable[int] | Tensor,
        input_ids_seq_length: int,
    ) -> None:
        name = "exponential_decay_length_penalty"
        pair = exponential_decay_length_penalty
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise ValueError(
                f"`{name}` is {pair!r}; expected a pair (start, factor): for example (20, 1.05)."
            )
        length = whole("input_ids_seq_length", input_ids_seq_length, 0, "the number of tokens of the prompt")
        self.regulation_start = length + whole(
            f"{name}[0]", pair[0], 0, "the number of new tokens before it starts"
        )
        self.regulation_factor = number(f"{name}[1]", pair[1], "1.0 changes nothing", above=0)
        self._eos = TokenIds("eos_token_id", eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The new scores, [rows, vocabulary]."""
        steps = input_ids.shape[-1] - self.regulation_start
        if steps <= 0:
            return scores
        # Growth without bound would turn the score into an infinity, and its softmax into NaN.
        highest = torch.finfo(scores.dtype).max
        try:
            growth = min(self.regulation_factor**steps - 1, highest)
        except OverflowError:
            growth = highest
        end = self._eos.on(scores)
        ending = scores.index_select(-1, end)
        raised = ending + (ending.abs() * growth).clamp(max=highest)
        return scores.index_copy(-1, end, raised.clamp(max=highest))


class HammingDiversityLogitsProcessor(LogitsProcessor):
    """Lowers the score of a token by ``diversity_penalty`` for each beam of an earlier group that chose it now.

    Group beam search calls it for one group at a time (Vijayakumar et al. 2018, diverse beam search).

    Args:
        diversity_penalty: above 0.
        num_beams: of all groups together.
        num_beam_groups: at least 2, a divisor of ``num_beams``.
    """

    def __init__(self, diversity_penalty: float, num_beams: int, num_beam_groups: int) -> None:
        self._diversity_penalty = number(
            "diversity_penalty", diversity_penalty, "leave groups out for plain beam search", above=0
        )
        self._num_beams = whole("num_beams", num_beams, 2, "groups of beams need several beams")
        groups = whole("num_beam_groups", num_beam_groups, 2, "leave groups out for plain beam search")
        if groups > self._num_beams or self._num_beams % groups:
            raise ValueError(
                f"`num_beam_groups` is {groups} for {self._num_beams} beams; expected a divisor of `num_beams`: groups "
                "are of one size."
            )
        self._num_sub_beams = self._num_beams // groups

    def __call__(  # type: ignore[override]  # the strategy fills the two further parameters
        self, input_ids: Tensor, scores: Tensor, current_tokens: Tensor, beam_group_idx: int
    ) -> Tensor:
        """The new scores of one group, [batch * beams of the group, vocabulary].

        Args:
            input_ids: not looked at.
            scores: [batch * beams of the group, vocabulary].
            current_tokens: int64 [batch * num_beams], what the beams of earlier groups chose at this step.
            beam_group_idx: the number of this group.
        """
        earlier = beam_group_idx * self._num_sub_beams
        if earlier == 0:
            return scores
        chosen = current_tokens.view(-1, self._num_beams)[:, :earlier]
        counts = scores.new_zeros(chosen.shape[0], scores.shape[-1])
        counts.scatter_add_(1, chosen, counts.new_ones(()).expand_as(chosen))
        lowered = (self._diversity_penalty * counts)[:, None]
        return (scores.view(chosen.shape[0], -1, scores.shape[-1]) - lowered).view_as(scores)


def _penalised(scores: Tensor, penalty: float) -> Tensor:
    return torch.where(scores < 0, scores * penalty, scores / penalty)


def _penalise(tokens: Tensor, scores: Tensor, penalty: float) -> Tensor:
    """Every copy of a token writes the same value, so duplicates do not matter."""
    return scores.scatter(-1, tokens, _penalised(scores.gather(-1, tokens), penalty))
