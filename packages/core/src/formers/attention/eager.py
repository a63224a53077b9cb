"""Attention written out step by step: the reference that every other implementation is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import dropout, softmax

from .contract import AttentionImplementation
from .heads import heads_of_keys, heads_of_queries, tokens_of

if TYPE_CHECKING:
    from formers.cache import CacheLayer

    from .contract import AttentionPass, AttentionRequest, ScoreBias

__all__ = ["Eager"]


class Eager(AttentionImplementation):
    """Serves every request and returns the probabilities if asked.

    Scores and probabilities are computed in float32 at least, whatever the dtype of the queries.
    """

    name = "eager"
    priority = 0

    def supports(self, request: AttentionRequest) -> tuple[str, ...]:
        """No reason against anything."""
        return ()

    def prepare(self, step: AttentionPass, bias: ScoreBias | None, dtype: torch.dtype) -> None:
        """Make the shared bias dense once."""
        if bias is not None:
            step.share(bias)

    def __call__(
        self,
        q: Tensor,
        k: Tensor | None,
        v: Tensor | None,
        step: AttentionPass,
        *,
        scale: float,
        cache: CacheLayer | None = None,
        bias: ScoreBias | None = None,
        head_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """See :meth:`formers.attention.contract.AttentionImplementation.__call__`."""
        query = heads_of_queries(q, step)  # [batch, heads, queries, head_dim]
        key, value = heads_of_keys(k, v, step, cache)  # [batch, key heads, keys, head_dim]
        if key.shape[1] != query.shape[1]:
            groups = query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)

        precise = torch.promote_types(query.dtype, torch.float32)
        scores = query.to(precise) @ key.to(precise).transpose(2, 3) * scale  # [batch, heads, queries, keys]
        if bias is not None:
            scores = scores + step.dense(bias)
        if step.key.additive is not None:
            scores = scores + step.key.additive
        allowed = step.allowed()
        if allowed is None:
            probs = softmax(scores, dim=-1)
        else:
            # The lowest finite score keeps a row without any allowed key free of NaN, forward and backward; its
            # uniform probabilities are then taken away.
            scores = torch.where(allowed, scores, torch.finfo(precise).min)
            probs = torch.where(allowed, softmax(scores, dim=-1), 0.0)
        probs = probs.to(value.dtype)
        if step.dropout:
            probs = dropout(probs, step.dropout)
        if head_mask is not None:
            probs = probs * head_mask.to(probs.dtype)
        return tokens_of(probs @ value, step), probs if step.need_probs else None
