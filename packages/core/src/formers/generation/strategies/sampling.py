"""One token after the other: the best one, or one drawn from the distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .base import Generated, Tokens

if TYPE_CHECKING:
    from formers.generation.state import Decoding

__all__ = ["Greedy", "Multinomial"]


class Greedy:
    """Takes the token with the highest score."""

    name = "greedy_search"
    priority = 0

    def decode(self, run: Decoding) -> Tokens:
        """See :meth:`Strategy.decode`."""
        over = run.is_over
        while not over:
            scores = run.processed(_first_expanded(run, run.next_logits()))
            best, tokens = scores.max(dim=-1)
            run.expect_finite(best)
            tokens = run.append(tokens)
            run.end_rows(scores)
            over = run.is_over
            yield tokens[:, None]
        return Generated(run.trimmed())


class Multinomial:
    """Draws each token from the softmax of the processed scores."""

    name = "sample"
    priority = 0

    def decode(self, run: Decoding) -> Tokens:
        """See :meth:`Strategy.decode`."""
        over = run.is_over
        while not over:
            scores = run.processed(_first_expanded(run, run.next_logits()))
            run.expect_finite(scores.amax(dim=-1))
            tokens = run.append(draw(scores.softmax(dim=-1)).squeeze(1))
            run.end_rows(scores)
            over = run.is_over
            yield tokens[:, None]
        return Generated(run.trimmed())


def draw(probabilities: Tensor, count: int = 1) -> Tensor:
    """Indices drawn without putting back from each row of [rows, choices]: int64 [rows, count]."""
    if probabilities.device.type != "cpu":
        # There an invalid distribution is an assertion that ends the process's use of the device.
        valid = probabilities.sum(dim=-1, keepdim=True).isfinite()
        probabilities = torch.where(valid, probabilities, 1.0)
    return torch.multinomial(probabilities, num_samples=count)


def _first_expanded(run: Decoding, logits: Tensor) -> Tensor:
    """At the first step, make of each prompt as many rows as are to be returned for it."""
    if run.steps:
        return logits
    copies = run.plan.num_return_sequences
    run.expand(copies)
    run.fix_shapes()
    return logits if copies == 1 else logits.repeat_interleave(copies, dim=0)
