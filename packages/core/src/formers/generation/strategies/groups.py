"""Diverse beam search (Vijayakumar et al. 2018): groups of beams, each kept from what the earlier ones chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from formers.generation.beam_scorer import BeamSearchScorer

from .base import Tokens
from .beams import best_candidates
from .scored import ScoredBeams

if TYPE_CHECKING:
    from formers.generation.state import Decoding

__all__ = ["GroupBeamSearch"]


class GroupBeamSearch:
    """Searches with ``num_beam_groups`` groups of beams for each prompt, one after the other at each step.

    What keeps them apart is :class:`~formers.generation.processors.penalties.HammingDiversityLogitsProcessor`, one of
    the run's processors: a score in the result contains its penalty.
    """

    name = "group_beam_search"
    priority = 0

    def decode(self, run: Decoding) -> Tokens:
        """See :meth:`Strategy.decode`."""
        plan = run.plan
        scorer = BeamSearchScorer(
            batch_size=run.rows,
            num_beams=plan.num_beams,
            device=run.device,
            length_penalty=plan.length_penalty,
            do_early_stopping=plan.early_stopping,
            num_beam_hyps_to_keep=plan.num_return_sequences,
            num_beam_groups=plan.num_beam_groups,
            max_length=run.stopping.max_length,
        )
        return ScoredBeams(run, scorer, best_candidates, groups=plan.num_beam_groups, expand=True).decode()
