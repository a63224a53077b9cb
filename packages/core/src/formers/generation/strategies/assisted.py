"""Assisted decoding: guesses at several next tokens, which the model checks in one forward.

The result is what the model generates alone: token for token without sampling, and with it in distribution; as far as
rounding lets a forward over several tokens give the scores of one over each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from formers.errors import GenerationArgumentError

from .base import Generated, Tokens
from .candidates import Candidates, CandidateSource, PromptLookup
from .draft import DraftModel
from .sampling import draw

if TYPE_CHECKING:
    from formers.generation.state import Decoding

__all__ = ["Assisted"]

_LONGEST_MATCH = 2


class Assisted:
    """Takes guesses from an assistant model or from the text itself, and keeps those that the model agrees with."""

    name = "assisted_generation"
    priority = 0

    def decode(self, run: Decoding) -> Tokens:
        """See :meth:`Strategy.decode`."""
        _check(run)
        source = _source(run)
        over = run.is_over
        while not over:
            start = run.length
            over = _advance(run, source) or run.is_over
            yield run.tokens[:, start:].clone()
        return Generated(run.trimmed())


def _check(run: Decoding) -> None:
    wanted = run.rows * run.plan.num_return_sequences
    if wanted != 1:
        raise GenerationArgumentError(
            f"Assisted generation works on one sequence, because each would take another number of guesses; got "
            f"{run.rows} rows and num_return_sequences={run.plan.num_return_sequences}. Call generate for each "
            "sequence, or leave out assistant_model and prompt_lookup_num_tokens."
        )
    if run.stopping.is_synced:
        raise GenerationArgumentError(
            "Assisted generation runs the model as often as guesses fail, which differs between processes; leave out "
            "synced_gpus=True or the assistant."
        )
    if run.cache is not None and not run.cache.is_croppable:
        raise GenerationArgumentError(
            f"Assisted generation takes wrong guesses out of the cache again, which a {type(run.cache).__name__} does "
            "not allow; leave past_key_values or the assistant out."
        )


def _source(run: Decoding) -> CandidateSource:
    plan = run.plan
    copied = plan.prompt_lookup_num_tokens
    if run.assistant is not None:
        if copied is not None and plan.is_callers("prompt_lookup_num_tokens"):
            raise GenerationArgumentError(
                f"generate() got assistant_model and prompt_lookup_num_tokens={copied}, two sources of guesses; give "
                "one of them."
            )
        return DraftModel(run)
    if copied is None:
        raise GenerationArgumentError(
            "Assisted generation needs guesses: pass assistant_model, or prompt_lookup_num_tokens."
        )
    return PromptLookup(copied, plan.max_matching_ngram_size or _LONGEST_MATCH, plan.eos_token_ids)


def _advance(run: Decoding, source: CandidateSource) -> bool:
    """Add the guesses that hold and one token more; whether the row has ended."""
    start, limit = run.length, run.stopping.max_length
    # The model adds a token of its own behind the last guess.
    room = sys.maxsize if limit is None else limit - start - 1
    guesses = source.propose(run.tokens, room)
    count = guesses.tokens.shape[1]
    held = None if run.cache is None else run.cache.get_seq_length()
    run.rewrite(start, guesses.tokens)
    output = run.forward(logits_to_keep=count + 1)
    rule = _rule(run, guesses)
    accepted, logits, scores = _verified(run, output.logits[0, -count - 1 :].to(torch.float32), rule, start)
    run.rewrite(start + accepted, rule.instead(accepted))
    source.learn(accepted)
    kept = run.stopping.kept(run, accepted + 1, scores)
    if kept <= accepted:
        run.rewrite(start + kept, guesses.tokens[:, :0])
    if run.record is not None:
        for one in range(kept):
            run.record.add_scores(logits[one : one + 1], scores[one : one + 1])
        run.record.add_split(output, _parts(run.prompt.offset + start, held, kept))
    return bool(run.finished)


def _verified(run: Decoding, logits: Tensor, rule: _Rule, start: int) -> tuple[int, Tensor, Tensor]:
    """How many guesses hold, and with which logits and processed scores [accepted + 1 or more, vocabulary].

    Processors that look at the tokens are run for one guess after the other, and not for those behind the first that
    fails, so that they see what they see without guesses.

    Args:
        logits: [guesses + 1, vocabulary], of every guess and of the token behind the last one.
        start: columns before the first guess.
    """
    accepted, step = 0, 1 if run.scores_need_tokens else logits.shape[0]
    kept_logits, kept_scores = [], []
    for first in range(0, logits.shape[0], step):
        column = start + first
        part = run.adjusted(logits[first : first + step], column)
        scores = run.processors(run.tokens[:, :column], part) if run.processors else part
        kept_logits.append(part)
        kept_scores.append(scores)
        best = scores.amax(dim=-1)
        finite = best.isfinite()
        holds = rule.holds(scores, first)
        flags: list[bool] = torch.cat((holds & finite[: holds.shape[0]], finite)).tolist()
        holding = flags[: holds.shape[0]]
        good = holding.index(False) if False in holding else len(holding)
        accepted += good
        if good < scores.shape[0]:
            if not flags[len(holding) + good]:
                run.rewrite(start + accepted, run.tokens[:, :0])
                run.expect_finite(best[good : good + 1])
                run.stopping.expect_valid(run)
            break
    return accepted, torch.cat(kept_logits), torch.cat(kept_scores)


class _Rule(Protocol):
    """Decides about guesses."""

    def holds(self, scores: Tensor, first: int) -> Tensor:
        """Which guesses are taken: bool [guesses], from number ``first`` on.

        Args:
            scores: the model's [rows, vocabulary]; behind the last guess there is one row more.
        """
        ...

    def instead(self, place: int) -> Tensor:
        """int64 [1, 1], the token in the place of the first guess that failed, or behind the last one."""
        ...


def _rule(run: Decoding, guesses: Candidates) -> _Rule:
    if guesses.probabilities is not None:
        return _Speculative(guesses.tokens[0], guesses.probabilities)
    return _Matching(guesses.tokens[0], _draw if run.plan.do_sample else _best)


class _Matching:
    """Takes guesses that are what the model chooses itself, in one way or another.

    Args:
        guesses: int64 [count], which were not drawn.
        choose: from scores [rows, vocabulary] to tokens [rows].
    """

    def __init__(self, guesses: Tensor, choose: Callable[[Tensor], Tensor]) -> None:
        self._guesses, self._choose = guesses, choose
        self._first, self._chosen = 0, guesses

    def holds(self, scores: Tensor, first: int) -> Tensor:
        """See :meth:`_Rule.holds`."""
        self._first, self._chosen = first, self._choose(scores)
        guesses = self._guesses[first : first + scores.shape[0]]
        return self._chosen[: guesses.shape[0]] == guesses

    def instead(self, place: int) -> Tensor:
        """See :meth:`_Rule.instead`."""
        return self._chosen[place - self._first].view(1, 1)


class _Speculative:
    """Speculative sampling (Leviathan et al. 2022, algorithm 1): tokens have exactly the model's distribution.

    A guess x, drawn from q, is taken with the probability min(1, p(x) / q(x)); in the place of the first that is not, a
    token is drawn from what p has more than q.

    Args:
        guesses: int64 [count].
        probabilities: [count, vocabulary], q.
    """

    def __init__(self, guesses: Tensor, probabilities: Tensor) -> None:
        self._guesses, self._q = guesses, probabilities
        self._uniforms = torch.rand(guesses.shape[0], device=guesses.device)
        self._first, self._p = 0, probabilities

    def holds(self, scores: Tensor, first: int) -> Tensor:
        """See :meth:`_Rule.holds`."""
        self._first, self._p = first, scores.softmax(dim=-1)
        asked = slice(first, first + scores.shape[0])
        guesses = self._guesses[asked, None]
        ratio = self._p[: guesses.shape[0]].gather(1, guesses) / self._q[asked].gather(1, guesses)
        return self._uniforms[asked] < ratio[:, 0]

    def instead(self, place: int) -> Tensor:
        """See :meth:`_Rule.instead`."""
        p = self._p[place - self._first][None]
        if place < self._guesses.shape[0]:
            more = (p - self._q[place]).clamp_min(0.0)
            total = more.sum()
            p = torch.where(total > 0.0, more / total, p)  # none, where p and q differ by rounding only
        return draw(p)


def _best(scores: Tensor) -> Tensor:
    return scores.argmax(dim=-1)


def _draw(scores: Tensor) -> Tensor:
    probabilities = scores.softmax(dim=-1)
    # Scores behind a wrong guess may be anything; what is drawn from them is not used.
    valid = probabilities.sum(dim=-1, keepdim=True).isfinite()
    return draw(torch.where(valid, probabilities, 1.0)).squeeze(1)


def _parts(before: int, held: int | None, kept: int) -> list[tuple[slice, int]]:
    """For each token of a forward the queries that were its own and the keys before it, as if it had been alone.

    Args:
        before: positions before the first guess.
        held: positions in the cache before the forward; None without a cache, when each token runs all of them.
    """
    if held is None:
        return [(slice(0, before + one), before + one) for one in range(kept)]
    lead = before - held
    ahead = [(slice(lead + one - 1, lead + one), before + one) for one in range(1, kept)]
    return [(slice(0, lead), before), *ahead]
