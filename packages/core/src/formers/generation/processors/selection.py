"""Which scores sampling keeps.

On the CPU, sorting or comparing a large vocabulary takes longer than a small model's forward, so a few candidates are
looked at first. Elsewhere plain sorts are fast, and nothing is read back.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from formers.layout import may_look_at

__all__ = ["farthest_needed", "keep_largest", "keep_nucleus", "kth_largest"]

# Smaller vocabularies are as fast without shortcuts.
LARGE = 2048
# How much of the vocabulary is looked at before all is sorted, and at most how many tokens.
FIRST, SECOND = (16, 512), (4, 4096)
# Lines of the table in which a row is laid out to find its largest scores, and the smallest row that gains by it.
LINES, LARGE_FOR_TABLE = 32, 8192


def kth_largest(scores: Tensor, k: int) -> Tensor:
    """The k-th largest score of each row, [rows, 1], with ``1 <= k <= vocabulary``."""
    if k == 1:
        return scores.amax(dim=-1, keepdim=True)
    return scores.topk(k, dim=-1).values[..., -1:]


def keep_largest(scores: Tensor, k: int, fill: float) -> Tensor:
    """``scores`` [rows, vocabulary] with ``fill`` where they are smaller than the k-th largest of their row.

    With the row laid out as a table of ``LINES`` lines, the k largest are in the k columns with the largest maxima;
    scores that equal the k-th may be elsewhere, too.
    """
    width = scores.shape[-1] // LINES
    if not _is_readable(scores, LARGE_FOR_TABLE) or k > width // 2:
        return scores.masked_fill(scores < kth_largest(scores, k), fill)
    table, rest = scores[:, : LINES * width].unflatten(-1, (LINES, width)), scores[:, LINES * width :]
    maxima = table.amax(dim=1)
    columns = maxima.topk(k, dim=-1, sorted=False).indices[:, None, :].expand(-1, LINES, -1)
    candidates = table.gather(2, columns)
    lowest = kth_largest(torch.cat((candidates.flatten(1), rest), dim=-1), k)
    if bool(((maxima >= lowest).sum(dim=-1) > k).any()):
        return scores.masked_fill(scores < lowest, fill)
    kept = torch.full_like(scores, fill)
    kept_table = kept[:, : LINES * width].unflatten(-1, (LINES, width))
    kept_table.scatter_(2, columns, candidates.masked_fill(candidates < lowest[:, :, None], fill))
    kept[:, LINES * width :] = rest.masked_fill(rest < lowest, fill)
    return kept


def keep_nucleus(scores: Tensor, mass: float, keep: int, fill: float) -> Tensor:
    """``scores`` [rows, vocabulary] with ``fill`` at tokens without which the others reach the mass.

    Those are the least likely ones as long as their probabilities sum to ``1 - mass`` at most; the ``keep`` best are
    never among them.
    """
    if mass >= 1:
        return scores
    for best, probabilities in _candidates(scores, mass, keep):
        candidates, tokens = scores.topk(best, dim=-1)
        reached = probabilities.gather(-1, tokens).cumsum(dim=-1, dtype=torch.float64)
        without = (1 - reached[:, :-1]).to(scores.dtype)
        outside = pad(without <= 1 - mass, (1, 0), value=False)
        if bool(outside[:, -1].all()):
            outside[:, :keep] = False
            return torch.full_like(scores, fill).scatter_(-1, tokens, candidates.masked_fill_(outside, fill))
        if float(reached[:, -1].amin()) < mass / 2:
            break
    ordered, order = scores.sort(dim=-1)
    outside = ordered.softmax(dim=-1).cumsum(dim=-1) <= 1 - mass
    outside[..., -keep:] = False
    return scores.masked_fill(outside.scatter(-1, order, outside), fill)


def farthest_needed(distance: Tensor, scores: Tensor, mass: float, keep: int) -> Tensor:
    """How far the tokens of each row must be taken, nearest first, to reach a mass and to be ``keep``: [rows, 1].

    Args:
        distance: [rows, vocabulary].
        scores: [rows, vocabulary], whose softmax is the mass.
        mass: below 1.
        keep: at least 1.
    """
    for nearest, probabilities in _candidates(scores, mass, keep):
        near, tokens = distance.topk(nearest, dim=-1, largest=False)
        reached = probabilities.gather(-1, tokens).cumsum(dim=-1, dtype=torch.float64)
        if bool((reached[:, -1] >= mass).all()):
            return _at_mass(near, reached.to(scores.dtype), mass, keep)
        if float(reached[:, -1].amin()) < mass / 2:
            break
    near, order = distance.sort(dim=-1)
    return _at_mass(near, scores.gather(-1, order).softmax(dim=-1).cumsum(dim=-1), mass, keep)


def _at_mass(near: Tensor, reached: Tensor, mass: float, keep: int) -> Tensor:
    highest = near.shape[-1] - 1
    last = (reached < mass).sum(dim=-1, keepdim=True).clamp(min=min(keep - 1, highest), max=highest)
    return near.gather(-1, last)


def _candidates(scores: Tensor, mass: float, keep: int) -> Iterator[tuple[int, Tensor]]:
    """How many tokens to look at before all, one number after the other, and the probabilities.

    A language model's nucleus has some hundred tokens as a rule, and sorting those takes a thirtieth of the time.
    """
    if not _is_readable(scores, LARGE):
        return
    probabilities = scores.softmax(dim=-1)
    highest = float(probabilities.amax(dim=-1).amin())
    for part, most in (FIRST, SECOND):
        number = min(scores.shape[-1] // part, most)
        if number * highest < mass:  # even if all were as likely as the likeliest
            return
        if number >= keep:
            yield number, probabilities


def _is_readable(scores: Tensor, size: int) -> bool:
    return scores.shape[-1] >= size and scores.dim() == 2 and may_look_at(scores)
