"""Attention of packed documents on a CPU: each is computed by itself, so that nothing is computed for padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .contract import OutOfScope
from .sdpa import Sdpa

if TYPE_CHECKING:
    from formers.cache import CacheLayer
    from formers.layout import Layout

    from .contract import AttentionPass, AttentionRequest, ScoreBias

__all__ = ["VarlenCpu"]

_MEMO = "varlen_cpu"


class _Group(NamedTuple):
    """Neighbouring documents of one size, which one call serves."""

    first: int
    documents: int
    queries: int
    keys: int


class VarlenCpu(Sdpa):
    """torch's kernel on one document after the other, without a mask; neighbours of one length share a call.

    Where lengths cannot be looked at, as in a graph that is traced, it does what ``sdpa`` does.
    """

    name = "varlen_cpu"
    priority = 20

    def supports(self, request: AttentionRequest) -> tuple[str, ...]:
        """Refuses what is not packed, what is cached, and what ``sdpa`` refuses."""
        if "packed" not in request.needs:
            return (OutOfScope("it is for packed batches"),)
        reasons = list(super().supports(request))
        if request.device != "cpu":
            reasons.append(OutOfScope(f"it is for the CPU, not for {request.device}"))
        if "cache" in request.needs:
            reasons.append(OutOfScope("a cache keeps its keys padded"))
        return tuple(reasons)

    def prepare(self, step: AttentionPass, bias: ScoreBias | None, dtype: torch.dtype) -> None:
        """Find the groups of documents, and make the shared bias dense once, for the longest of them."""
        groups = _groups(step)
        if groups is None:
            super().prepare(step, bias, dtype)
        elif bias is not None:
            step.share(bias)
            step.memo[_MEMO, "added"] = bias, torch.is_grad_enabled(), _added(step, bias, dtype)

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
        """See :meth:`formers.attention.contract.AttentionImplementation.__call__`."""
        groups = _groups(step)
        if groups is None or k is None or v is None or cache is not None or step.need_probs:
            return super().__call__(q, k, v, step, scale=scale, cache=cache, bias=bias, head_mask=head_mask)
        added = None if bias is None else self._shared(step, bias, q.dtype)
        grouped = k.shape[1] != q.shape[1]
        outs = []
        queries = q.split([group.documents * group.queries for group in groups])
        keys, values = (given.split([group.documents * group.keys for group in groups]) for given in (k, v))
        for group, query, key, value in zip(groups, queries, keys, values, strict=True):
            if not group.queries:
                continue
            if not group.keys:  # nothing to read: exactly 0, and 0 back
                outs.append(query.new_zeros(len(query), q.shape[1], v.shape[2]))
                continue
            out = scaled_dot_product_attention(
                _heads(query, group.documents, group.queries),
                _heads(key, group.documents, group.keys),
                _heads(value, group.documents, group.keys),
                None if added is None else _part(added, group),
                step.dropout,
                added is None and step.causal and group.queries > 1,
                scale=scale,
                enable_gqa=grouped,
            )
            outs.append(out.transpose(1, 2).flatten(0, 1))
        return outs[0] if len(outs) == 1 else torch.cat(outs), None

    @staticmethod
    def _shared(step: AttentionPass, bias: ScoreBias, dtype: torch.dtype) -> Tensor:
        known = step.memo.get((_MEMO, "added"))
        if known is not None and known[0] is bias and known[1] == torch.is_grad_enabled():
            added: Tensor = known[2]
            return added
        return _added(step, bias, dtype)


def _added(step: AttentionPass, bias: ScoreBias, dtype: torch.dtype) -> Tensor:
    """The bias of the longest document, -inf where a causal query may not look; the others' is a part of it."""
    dense = step.dense(bias).to(dtype)
    if not step.causal:
        return dense
    later = torch.ones(dense.shape[-2:], dtype=torch.bool, device=dense.device).triu(1)
    return dense.masked_fill(later, -torch.inf)


def _groups(step: AttentionPass) -> list[_Group] | None:
    """The documents as neighbours of one size; None for padded keys, where sizes cannot be looked
    at, and where there is nothing to compute."""
    if not step.key.is_packed or torch.compiler.is_compiling():  # sizes would be constants of the graph
        return None
    if _MEMO not in step.memo:
        queries, keys = _sizes(step.query), _sizes(step.key)
        groups: list[_Group] | None = None
        if queries is not None and keys is not None:
            groups = []
            for index, (query, key) in enumerate(zip(queries, keys, strict=True)):
                last = groups[-1] if groups else None
                if last is not None and (last.queries, last.keys) == (query, key):
                    groups[-1] = last._replace(documents=last.documents + 1)
                else:
                    groups.append(_Group(index, 1, query, key))
            if not any(group.queries and group.keys for group in groups):
                groups = None
        step.memo[_MEMO] = groups
    found: list[_Group] | None = step.memo[_MEMO]
    return found


def _sizes(layout: Layout) -> tuple[int, ...] | None:
    """How many tokens each row gives to a flat tensor."""
    if layout.is_packed:
        return layout.lengths
    return (layout.length,) * layout.batch


def _heads(tokens: Tensor, documents: int, length: int) -> Tensor:
    """[documents * length, heads, head_dim] as [documents, heads, length, head_dim]."""
    _, heads, head_dim = tokens.shape
    return tokens.view(documents, length, heads, head_dim).transpose(1, 2)


def _part(added: Tensor, group: _Group) -> Tensor:
    """What is added to the scores of a group's documents, [documents | 1, heads | 1, queries, keys]."""
    rows = added if added.shape[0] == 1 else added[group.first : group.first + group.documents]
    return rows[..., : group.queries, : group.keys]
