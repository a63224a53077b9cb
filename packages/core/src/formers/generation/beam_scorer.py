"""What decides which beams go on: a class of its own, so that callers can bring theirs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .beam_hypotheses import BeamHypotheses, Hypothesis
from .processors.checks import whole

__all__ = ["BeamScorer", "BeamSearchScorer"]

Ids = int | Iterable[int] | Tensor | None


class BeamScorer(ABC):
    """Builds, stores and sorts the sequences of a beam search; see ``docs/beam-search.md``."""

    @abstractmethod
    def process(
        self,
        input_ids: Tensor,
        next_scores: Tensor,
        next_tokens: Tensor,
        next_indices: Tensor,
        **kwargs: Any,
    ) -> dict[str, Tensor]:
        """Choose the beams that go on, and keep what has ended.

        Args:
            input_ids: int64 [batch * beams, length], the beams of one group.
            next_scores: float [batch, candidates], best first.
            next_tokens: int64 [batch, candidates].
            next_indices: int64 [batch, candidates], which beam of its prompt each candidate continues.
            kwargs: as :meth:`BeamSearchScorer.process` has them.

        Returns:
            ``next_beam_scores``, ``next_beam_tokens`` and ``next_beam_indices`` (rows of ``input_ids``), each
            [batch * beams].
        """

    @abstractmethod
    def finalize(
        self,
        input_ids: Tensor,
        final_beam_scores: Tensor,
        final_beam_tokens: Tensor,
        final_beam_indices: Tensor,
        max_length: int | None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Choose the result, when the search is over.

        Args:
            input_ids: int64 [batch * beams, length], all beams, their last tokens included.
            final_beam_scores: float [batch * beams].
            final_beam_tokens: int64 [batch * beams], the last tokens.
            final_beam_indices: int64 [batch * beams], the rows that they continued.
            max_length: columns that the result can have; None without a limit.
            kwargs: as :meth:`BeamSearchScorer.finalize` has them.

        Returns:
            ``sequences`` int64 [results, length], ``sequence_scores`` [results], and ``beam_indices``.
        """


class BeamSearchScorer(BeamScorer):
    """Beam search over ``batch_size`` prompts, in one group of beams or in several (Vijayakumar et al. 2018).

    Args:
        batch_size: prompts.
        num_beams: of all groups together, for each prompt.
        device: of the results.
        length_penalty: exponent of the length that a sum of log-probabilities is divided by.
        do_early_stopping: when a prompt is done; see :meth:`BeamHypotheses.is_done`.
        num_beam_hyps_to_keep: results for each prompt.
        num_beam_groups: a divisor of ``num_beams``.
        max_length: columns that a sequence can have, for ``do_early_stopping="never"``.

    Raises:
        ValueError: the numbers do not fit together.
    """

    def __init__(
        self,
        batch_size: int,
        num_beams: int,
        device: torch.device | str | None = None,
        length_penalty: float | None = 1.0,
        do_early_stopping: bool | str | None = False,
        num_beam_hyps_to_keep: int | None = 1,
        num_beam_groups: int | None = 1,
        max_length: int | None = None,
    ) -> None:
        whole("batch_size", batch_size, 1, "the number of prompts")
        self.num_beams = whole("num_beams", num_beams, 2, "one beam is greedy_search")
        self.device = torch.device("cpu" if device is None else device)
        self.length_penalty = 1.0 if length_penalty is None else length_penalty
        self.do_early_stopping = do_early_stopping
        self.num_beam_hyps_to_keep = whole(
            "num_beam_hyps_to_keep", num_beam_hyps_to_keep or 1, 1, "the number of results for each prompt"
        )
        self.num_beam_groups = whole(
            "num_beam_groups", 1 if num_beam_groups is None else num_beam_groups, 1, "1 for plain beam search"
        )
        if self.num_beams % self.num_beam_groups:
            raise ValueError(
                f"`num_beam_groups` is {num_beam_groups} for {num_beams} beams; expected a divisor of `num_beams`: "
                "groups are of one size."
            )
        self.group_size = self.num_beams // self.num_beam_groups
        self.max_length = max_length
        self.batch_size = batch_size
        self._done = [False] * (batch_size * self.num_beam_groups)
        self._beam_hyps = [
            BeamHypotheses(self.group_size, self.length_penalty, do_early_stopping, max_length)
            for _ in self._done
        ]

    @property
    def is_done(self) -> bool:
        """Whether nothing better is to be expected for any prompt."""
        return all(self._done)

    def process(  # type: ignore[override]
        self,
        input_ids: Tensor,
        next_scores: Tensor,
        next_tokens: Tensor,
        next_indices: Tensor,
        pad_token_id: int | Tensor | None = None,
        eos_token_id: Ids = None,
        beam_indices: Sequence[Sequence[int]] | Tensor | None = None,
        group_index: int = 0,
        decoder_prompt_len: int = 0,
    ) -> dict[str, Tensor]:
        """Choose the beams of one group that go on, and keep what has ended; see :meth:`BeamScorer.process`.

        Args:
            pad_token_id: what beams of a prompt that is done get.
            eos_token_id: the tokens that end a sequence.
            beam_indices: for each row of ``input_ids`` the rows that its tokens came from.
            group_index: which group.
            decoder_prompt_len: columns that do not count for the length.

        Raises:
            ValueError: a shape does not fit, or too many candidates end to go on with.
        """
        size = self.group_size
        batch = self.batch_size
        if input_ids.shape[0] != batch * size:
            of_group = " of a group" if self.num_beam_groups > 1 else ""
            raise ValueError(
                f"input_ids has {input_ids.shape[0]} rows; expected {batch * size}: {batch} prompts with {size} "
                f"beams{of_group} each."
            )
        ends, length = ids_of(eos_token_id), input_ids.shape[-1] + 1
        going: list[list[int]] = []
        candidates = zip(next_scores.tolist(), next_tokens.tolist(), next_indices.tolist(), strict=True)
        for item, (scores, tokens, beams) in enumerate(candidates):
            number = item * self.num_beam_groups + group_index
            if self._done[number]:
                going.append([])
                continue
            kept = self._beam_hyps[number]
            for place in range(size):
                if tokens[place] in ends:
                    row = item * size + beams[place]
                    trail = _trail(beam_indices, row, number * size + beams[place])
                    new = length - decoder_prompt_len
                    kept.add(input_ids[row].clone(), scores[place], trail, new, tokens[place])
            going.append(_first_going(tokens, ends, size))
            self._done[number] = kept.is_done(max(scores), length, decoder_prompt_len)
        return _chosen(going, size, next_scores, next_tokens, next_indices, pad_token_id)

    def finalize(  # type: ignore[override]
        self,
        input_ids: Tensor,
        final_beam_scores: Tensor,
        final_beam_tokens: Tensor,
        final_beam_indices: Tensor,
        max_length: int | None = None,
        pad_token_id: int | Tensor | None = None,
        eos_token_id: Ids = None,
        beam_indices: Sequence[Sequence[int]] | Tensor | None = None,
        decoder_prompt_len: int = 0,
    ) -> dict[str, Any]:
        """The best sequences of each prompt, the running beams of one that is not done among them.

        See :meth:`BeamScorer.finalize`; further arguments are as of :meth:`process`, with rows of all groups.

        Returns:
            ``sequences`` and ``beam_indices`` int64 [results, length], padded behind the end, the latter with -1 and
            None if none were given; ``sequence_scores`` float [results]. Best first for each prompt.
        """
        scores, length = final_beam_scores.tolist(), input_ids.shape[-1]
        for number, kept in enumerate(self._beam_hyps):
            if self._done[number]:
                continue
            for row in range(number * self.group_size, (number + 1) * self.group_size):
                trail = _trail(beam_indices, row)
                kept.add(input_ids[row], scores[row], trail, length - decoder_prompt_len)
        best = [hypothesis for item in range(self.batch_size) for hypothesis in self._best_of(item)]
        padding = 0 if pad_token_id is None else int(pad_token_id)
        rows = [_with_end(one, max_length) for one in best]
        trails = None if beam_indices is None else [list(one.beam_indices or ()) for one in best]
        width = max(map(len, rows))
        device = input_ids.device
        return {
            "sequences": _padded(rows, width, padding, device),
            "sequence_scores": torch.tensor([one.score for one in best], device=device),
            "beam_indices": None if trails is None else _padded(trails, width, -1, device),
        }

    def _best_of(self, item: int) -> list[Hypothesis]:
        """The results of one prompt, from all of its groups."""
        groups = self._beam_hyps[item * self.num_beam_groups : (item + 1) * self.num_beam_groups]
        kept = sorted((one for group in groups for one in group.beams), key=lambda one: one.score)
        return kept[::-1][: self.num_beam_hyps_to_keep]


def ids_of(value: Ids) -> list[int]:
    """One id, several, or none, as a list."""
    if value is None:
        return []
    if isinstance(value, Tensor):
        return [int(token) for token in value.flatten().tolist()]
    return [value] if isinstance(value, int) else [int(token) for token in value]


def _trail(trails: Sequence[Sequence[int]] | Tensor | None, row: int, *last: int) -> tuple[int, ...] | None:
    return None if trails is None else (*ids_of(trails[row]), *last)


def _first_going(tokens: list[int], ends: list[int], wanted: int) -> list[int]:
    """The places of the best candidates that do not end."""
    going = [place for place, token in enumerate(tokens) if token not in ends][:wanted]
    if len(going) < wanted:
        raise ValueError(
            f"Of {len(tokens)} candidates of a prompt {len(going)} do not end; expected at least {wanted}, one for "
            "each beam. As many candidates for each beam as there are end tokens, and one more, are always enough."
        )
    return going


def _chosen(
    going: list[list[int]],
    size: int,
    scores: Tensor,
    tokens: Tensor,
    beams: Tensor,
    pad_token_id: int | Tensor | None,
) -> dict[str, Tensor]:
    """The candidates at these places as the next beams; a prompt without any gets padding."""
    device = scores.device
    places = torch.tensor([one or [0] * size for one in going], device=device)
    first_rows = torch.arange(len(going), device=device)[:, None] * size
    chosen = [scores.gather(1, places), tokens.gather(1, places), beams.gather(1, places) + first_rows]
    if not all(going):
        if pad_token_id is None:
            raise ValueError(
                "A prompt is done before the others, and there is no pad_token_id to go on with."
            )
        done = torch.tensor([not one for one in going], device=device)[:, None]
        fill = (0, int(pad_token_id), 0)
        chosen = [value.masked_fill(done, blank) for value, blank in zip(chosen, fill, strict=True)]
    names = ("next_beam_scores", "next_beam_tokens", "next_beam_indices")
    return {name: value.flatten() for name, value in zip(names, chosen, strict=True)}


def _with_end(hypothesis: Hypothesis, max_length: int | None) -> list[int]:
    """All tokens of a sequence, its end among them if there is room."""
    tokens = ids_of(hypothesis.tokens)
    if hypothesis.end_token_id is not None:
        tokens.append(hypothesis.end_token_id)
    return tokens[:max_length]


def _padded(rows: list[list[int]], width: int, padding: int, device: torch.device) -> Tensor:
    padded = [(row + [padding] * width)[:width] for row in rows]
    return torch.tensor(padded, dtype=torch.long, device=device)
