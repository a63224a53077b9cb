"""Attention by blocks of queries: exact, and linear in memory (Rabe and Staats 2021, arXiv 2112.05682).

Scores are formed for a block of queries at a time and thrown away; the backward pass forms them again. What is kept
for it are queries, keys and values, so memory grows with the length of the text, not with its square. A bias by
distance and the masks are made for one block at a time too. The price is one more product of queries and keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import dropout, softmax
from torch.utils.checkpoint import checkpoint

from formers.attention import AttentionImplementation, TableBias
from formers.attention.heads import heads_of_keys, heads_of_queries, tokens_of

if TYPE_CHECKING:
    from formers.attention import AttentionPass, AttentionRequest, ScoreBias
    from formers.cache import CacheLayer

__all__ = ["Blockwise"]


class Blockwise(AttentionImplementation):
    """Every mask, bias, head mask and dropout; by name only, since it is slower than torch's fused kernels.

    Args:
        block: how many queries are looked at together.

    Raises:
        ValueError: ``block`` is not positive.
    """

    name = "blockwise"
    priority = -10

    def __init__(self, block: int = 128) -> None:
        if block < 1:
            raise ValueError(f"block={block}; expected the number of queries in a block, 1 or more.")
        self.block = block

    def supports(self, request: AttentionRequest) -> tuple[str, ...]:
        """Refuses to return the probabilities, which are never in memory together."""
        if "probs" in request.needs:
            return ("probabilities exist for one block of queries at a time (output_attentions=True)",)
        return ()

    def prepare(self, step: AttentionPass, bias: ScoreBias | None, dtype: torch.dtype) -> None:
        """Make a bias that depends on more than the distance once for all layers."""
        if bias is not None and bias.table() is None:
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
    ) -> tuple[Tensor, None]:
        """See :meth:`formers.attention.AttentionImplementation.__call__`.

        Raises:
            ValueError: the probabilities are asked for, which :meth:`supports` refuses.
        """
        if step.need_probs:
            raise ValueError(
                "Blockwise attention does not return the probabilities; use attn_implementation='eager'."
            )
        query = heads_of_queries(q, step)  # [batch, heads, queries, head_dim]
        key, value = heads_of_keys(k, v, step, cache)  # [batch, key heads, keys, head_dim]
        if key.shape[1] != query.shape[1]:
            groups = query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)

        def attend(part: Tensor, key: Tensor, value: Tensor, start: int) -> Tensor:
            return _attend(part, key, value, step, start, scale, bias, head_mask)

        parts = []
        for start, part in enumerate(query.split(self.block, dim=2)):
            start *= self.block
            if torch.is_grad_enabled():
                parts.append(checkpoint(attend, part, key, value, start, use_reentrant=False))
            else:
                parts.append(attend(part, key, value, start))
        return tokens_of(torch.cat(parts, dim=2), step), None


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    step: AttentionPass,
    start: int,
    scale: float,
    bias: ScoreBias | None,
    head_mask: Tensor | None,
) -> Tensor:
    """The output [batch, heads, block, head_dim] of the queries from ``start`` on."""
    end = start + query.shape[2]
    precise = torch.promote_types(query.dtype, torch.float32)
    scores = query.to(precise) @ key.to(precise).transpose(2, 3) * scale
    if bias is not None:
        scores = scores + _bias_of_block(bias, step, start, end)
    if step.key.additive is not None:
        scores = scores + step.key.additive[:, :, start:end]
    allowed = _allowed_of_block(step, start, end)
    if allowed is None:
        probs = softmax(scores, dim=-1)
    else:
        scores = torch.where(allowed, scores, torch.finfo(precise).min)
        probs = torch.where(
            allowed, softmax(scores, dim=-1), 0.0
        )  # a query without keys: 0, forward and backward
    probs = dropout(probs.to(value.dtype), step.dropout) if step.dropout else probs.to(value.dtype)
    if head_mask is not None:
        probs = probs * (head_mask if head_mask.shape[-2] == 1 else head_mask[..., start:end, :]).to(
            probs.dtype
        )
    return probs @ value


def _bias_of_block(bias: ScoreBias, step: AttentionPass, start: int, end: int) -> Tensor:
    by_distance = bias.table()
    if by_distance is None:
        return step.dense(bias)[:, :, start:end]
    table = TableBias(*by_distance, end - start, step.key.length, step.offset + start)
    return table.dense()


def _allowed_of_block(step: AttentionPass, start: int, end: int) -> Tensor | None:
    """Bool [batch | 1, heads | 1, block | 1, keys], True where a query of the block may read; None: everywhere."""
    if step.key.pairwise is not None:
        return step.key.pairwise[:, :, start:end]
    mask = step.key.key_mask()
    allowed = None if mask is None else mask[:, None, None, :]
    if step.causal and step.query.length > 1:
        keys = torch.arange(step.key.length, device=step.key.device)
        causal = (keys <= torch.arange(start, end, device=step.key.device)[:, None] + step.offset)[None, None]
        allowed = causal if allowed is None else allowed & causal
    return allowed
