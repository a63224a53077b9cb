"""Beam search whose beams a :class:`~formers.generation.beam_scorer.BeamScorer` chooses, in groups or in one.

``docs/beam-search.md`` says what that scorer does and where it differs from the core's own beam search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .base import Generated, Tokens
from .beams import Choose, drawn_candidates
from .hypotheses import NEVER

if TYPE_CHECKING:
    from formers.generation.state import Decoding

__all__ = ["Scored", "ScoredBeams", "drawn_best_first"]


def drawn_best_first(run: Decoding, scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Candidates drawn from the softmax of the scores without putting back, the best one first."""
    drawn, places = drawn_candidates(run, scores, count)
    drawn, order = drawn.sort(dim=1, descending=True)
    return drawn, places.gather(1, order)


class Scored:
    """A search with a caller's scorer, as a strategy; the run has a row for each beam.

    Args:
        scorer: and the others: as of :class:`ScoredBeams`.
    """

    name = "scored_beams"
    priority = 0

    def __init__(self, scorer: Any, choose: Choose, groups: int) -> None:
        self._scorer, self._choose, self._groups = scorer, choose, groups

    def decode(self, run: Decoding) -> Tokens:
        """See :meth:`Strategy.decode`."""
        return ScoredBeams(run, self._scorer, self._choose, groups=self._groups).decode()


class ScoredBeams:
    """One search over a run.

    The rows of the run are the beams, those of a prompt after one another, and among them those of a group.

    Args:
        run: with a row for each prompt, or for each beam.
        scorer: has the attributes ``num_beams``, of all groups, and ``is_done`` beside its methods.
        choose: which candidates it gets to see.
        groups: of beams; each sees what the beams of earlier groups chose in the same step.
        expand: make of each prompt's row one for each beam.
    """

    def __init__(
        self, run: Decoding, scorer: Any, choose: Choose, *, groups: int = 1, expand: bool = False
    ) -> None:
        self._run, self._scorer, self._choose = run, scorer, choose
        self._copies = scorer.num_beams if expand else 1
        rows = run.rows * self._copies
        self._size = scorer.num_beams // groups
        self._batch = rows // scorer.num_beams
        ends = len(run.plan.eos_token_ids)
        # Even if each end token of each beam is among the candidates, enough others are left to go on with.
        self._candidates = max(2, 1 + ends) * self._size
        self._rows = torch.arange(rows, device=run.device)
        by_group = self._rows.view(self._batch, groups, self._size).unbind(dim=1)
        self._groups: list[Tensor | slice] = (
            [slice(None)] if groups == 1 else [group.flatten() for group in by_group]
        )
        # The beams of a group are equal at first; only one of them may go on.
        self._scores = torch.full((rows,), NEVER, device=run.device)
        self._scores[:: self._size] = 0.0
        self._settings = {
            "pad_token_id": run.plan.pad_token_id,
            "eos_token_id": list(run.plan.eos_token_ids) or None,
            "decoder_prompt_len": run.prompt_length,
        }
        self._tokens = self._parents = self._rows

    def decode(self) -> Tokens:
        """Search until the scorer, a limit or a criterion ends it; every sequence is decided only then."""
        run = self._run
        logits = run.next_logits()
        run.expand(self._copies)
        if run.record is not None:
            run.follow_rows()
        logits = logits.repeat_interleave(self._copies, dim=0)
        while run.goes_on(self._step(logits)):
            logits = run.next_logits()
        result = self._result()
        run.finished.fill_(True)
        yield result.sequences[:, run.prompt_length :]
        return result

    def _step(self, logits: Tensor) -> bool:
        """Extend every beam by one token; whether to go on."""
        run = self._run
        log_probs = logits.log_softmax(dim=-1)
        self._tokens, self._parents = torch.zeros_like(self._rows), self._rows.clone()
        scores = self._in_row_order([self._extend(group, log_probs) for group in range(len(self._groups))])
        run.stopping.expect_valid(run)
        if run.record is not None:
            run.record.add_scores(logits, scores)
        run.select(self._parents)
        run.append(self._tokens)
        return not (self._scorer.is_done or run.stopping.at_limit(run) or run.stopping.all_meet(run, scores))

    def _extend(self, group: int, log_probs: Tensor) -> Tensor:
        """Choose the next tokens of one group; returns its processed scores."""
        run, rows = self._run, self._groups[group]
        facts = {"current_tokens": self._tokens, "beam_group_idx": group} if len(self._groups) > 1 else {}
        tokens = run.tokens[rows]
        scores: Tensor = run.processors(tokens, log_probs[rows], **facts)
        vocabulary = scores.shape[-1]
        totals = (scores + self._scores[rows, None]).view(self._batch, self._size * vocabulary)
        values, places = self._choose(run, totals, self._candidates)
        trails = None if run.trails is None else run.trails[rows, run.prompt_length :]
        chosen = self._scorer.process(
            tokens,
            values,
            places % vocabulary,
            places.div(vocabulary, rounding_mode="floor"),
            beam_indices=trails,
            group_index=group,
            **self._settings,
        )
        self._scores[rows] = chosen["next_beam_scores"]
        self._tokens[rows] = chosen["next_beam_tokens"]
        self._parents[rows] = self._rows[rows][chosen["next_beam_indices"]]
        return scores

    def _in_row_order(self, groups: list[Tensor]) -> Tensor:
        """What was made group by group, [batch * size, vocabulary] each, as rows of the run."""
        if len(groups) == 1:
            return groups[0]
        vocabulary = groups[0].shape[-1]
        parts = [part.view(self._batch, self._size, vocabulary) for part in groups]
        return torch.stack(parts, dim=1).view(-1, vocabulary)

    def _result(self) -> Generated:
        run = self._run
        trails = None if run.trails is None else run.trails[:, run.prompt_length :]
        result = self._scorer.finalize(
            run.tokens,
            self._scores,
            self._tokens,
            self._parents,
            max_length=run.stopping.max_length,
            beam_indices=trails,
            **self._settings,
        )
        sequences, trails = result["sequences"], result.get("beam_indices")
        if trails is not None:
            trails = trails[:, : sequences.shape[1] - run.prompt_length]
        return Generated(sequences, result["sequence_scores"], trails)
