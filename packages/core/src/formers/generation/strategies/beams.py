"""Beam search and beam sampling; ``docs/beam-search.md`` specifies them on one page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .base import Generated, Tokens
from .hypotheses import NEVER, Hypotheses
from .sampling import draw

if TYPE_CHECKING:
    from formers.generation.state import Decoding

__all__ = ["BeamSample", "BeamSearch", "Choose", "best_candidates", "drawn_candidates"]

Choose = Callable[["Decoding", Tensor, int], tuple[Tensor, Tensor]]
"""From scores [batch, beams * vocabulary], the scores and the places of so many candidates, [batch, count] each."""


class BeamSearch:
    """Keeps the ``num_beams`` best continuations of each prompt."""

    name = "beam_search"
    priority = 0

    def decode(self, run: Decoding) -> Tokens:
        """See :meth:`Strategy.decode`."""
        return Beams(run, best_candidates).decode()


class BeamSample:
    """Beam search whose candidates are drawn, without putting back, instead of taken from the top."""

    name = "beam_sample"
    priority = 0

    def decode(self, run: Decoding) -> Tokens:
        """See :meth:`Strategy.decode`."""
        return Beams(run, drawn_candidates).decode()


def best_candidates(run: Decoding, scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The candidates with the highest scores, the best one first."""
    best, places = torch.topk(scores, count, dim=1)
    run.expect_finite(best[:, 0])
    return best, places


def drawn_candidates(run: Decoding, scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Candidates drawn from the softmax of the scores, without putting back."""
    run.expect_finite(scores.amax(dim=1))
    places = draw(scores.softmax(dim=-1), count)
    return scores.gather(1, places), places


class Beams:
    """One beam search over a run.

    The rows of the run are the beams, ``num_beams`` after one another for each prompt.
    """

    def __init__(self, run: Decoding, choose: Choose) -> None:
        plan = run.plan
        self._run = run
        self._choose = choose
        self._batch, self._beams = run.rows, plan.num_beams
        ends = run.stopping.eos_token_ids
        # Even if each end-of-text token of each beam is among the candidates, enough others are left to go on with.
        self._candidates = max(2, 1 + (0 if ends is None else ends.shape[0])) * self._beams
        device = run.device
        self._finished = Hypotheses(
            self._batch,
            self._beams,
            padding=plan.pad_token_id or 0,
            with_trails=run.record is not None,
            device=device,
        )
        # All beams are equal at first; only one of them may go on.
        self._scores = torch.full((self._batch, self._beams), NEVER, device=device)
        self._scores[:, 0] = 0.0
        self._improvable = torch.ones(self._batch, 1, dtype=torch.bool, device=device)
        self._first_row = torch.arange(self._batch, device=device)[:, None] * self._beams

    def decode(self) -> Tokens:
        """Search until no prompt's result can get better; a sequence is decided only then."""
        run = self._run
        logits = run.next_logits()
        run.expand(self._beams)
        if run.record is not None:
            run.follow_rows()
        logits = logits.repeat_interleave(self._beams, dim=0)
        while run.goes_on(self._step(logits)):
            logits = run.next_logits()
        result = self._result()
        run.finished.fill_(True)
        yield result.sequences[:, run.prompt_length :]
        return result

    def _step(self, logits: Tensor) -> bool:
        """Extend every beam by one token; whether to go on."""
        run, batch, beams = self._run, self._batch, self._beams
        log_probs = run.processed(logits, logits.log_softmax(dim=-1))
        vocabulary = log_probs.shape[-1]
        totals = (self._scores[:, :, None] + log_probs.view(batch, beams, vocabulary)).view(batch, -1)
        scores, places = self._choose(run, totals, self._candidates)
        parents = self._first_row + places.div(vocabulary, rounding_mode="floor")
        tokens = places % vocabulary
        ended = run.stopping.ends_candidates(run, parents, tokens)
        self._collect(scores, parents, tokens, ended)
        self._scores, chosen = torch.topk(scores + ended * NEVER, beams, dim=1)
        run.select(parents.gather(1, chosen).view(-1))
        run.append(tokens.gather(1, chosen).view(-1))
        return self._goes_on(ended)

    def _collect(self, scores: Tensor, parents: Tensor, tokens: Tensor, ended: Tensor) -> None:
        """Keep the sequences that ended among each prompt's best ``num_beams`` candidates."""
        run, beams = self._run, self._beams
        ended = ended[:, :beams] & self._improvable
        if run.plan.early_stopping is True:
            ended &= ~self._finished.filled.all(dim=1, keepdim=True)
        if run.device.type == "cpu" and not bool(ended.any()):
            return
        new = run.length + 1 - run.prompt_length
        normalised = scores[:, :beams] / new**run.plan.length_penalty + ~ended * NEVER
        rows, last = parents[:, :beams], tokens[:, :beams, None]
        trails = None if run.trails is None else torch.cat((run.trails[rows], rows[:, :, None]), dim=2)
        self._finished.offer(torch.cat((run.tokens[rows], last), dim=2), trails, normalised, ended)

    def _goes_on(self, ended: Tensor) -> bool:
        """Whether a running beam may still beat a finished sequence."""
        plan, run = self._run.plan, self._run
        length = run.length - run.prompt_length
        if (
            plan.early_stopping == "never"
            and plan.length_penalty > 0.0
            and run.stopping.max_length is not None
        ):
            length = run.stopping.max_length - run.prompt_length
        reachable = self._scores[:, :1] / length**plan.length_penalty
        worst = torch.where(self._finished.filled, self._finished.scores.amin(dim=1, keepdim=True), NEVER)
        self._improvable = self._improvable & (reachable > worst).any(dim=1, keepdim=True)
        at_limit = run.stopping.at_limit(run)
        if not at_limit and not run.stopping.may_look(run):
            return True
        run.stopping.expect_valid(run)
        if at_limit:
            return False
        open_place = plan.early_stopping is not True or not bool(self._finished.filled.all())
        return bool(self._improvable.any()) and open_place and not bool(ended.all())

    def _result(self) -> Generated:
        """The best ``num_return_sequences`` of each prompt; running beams where none has finished."""
        run, finished, kept = self._run, self._finished, self._run.plan.num_return_sequences
        unfinished = ~finished.filled.any(dim=1, keepdim=True)
        if bool(unfinished.any()):
            rows = self._first_row + torch.arange(self._beams, device=run.device)
            new = max(run.length - run.prompt_length, 1)
            scores = self._scores / new**run.plan.length_penalty + ~unfinished * NEVER
            trails = None if run.trails is None else run.trails[rows]
            finished.offer(run.tokens[rows], trails, scores, unfinished.expand_as(scores))
        width = int(finished.lengths[:, :kept].max())
        sequences = finished.tokens[:, :kept, :width].reshape(-1, width)
        trails = finished.trails
        if trails is not None:
            trails = trails[:, :kept, run.prompt_length : width].reshape(sequences.shape[0], -1)
        return Generated(sequences, finished.scores[:, :kept].reshape(-1), trails)
