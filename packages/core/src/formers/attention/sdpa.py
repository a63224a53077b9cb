"""Attention through :func:`torch.nn.functional.scaled_dot_product_attention`, which picks a fused kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .contract import AttentionImplementation
from .heads import heads_of_keys, heads_of_queries, tokens_of

if TYPE_CHECKING:
    import torch

    from formers.cache import CacheLayer

    from .contract import AttentionPass, AttentionRequest, ScoreBias

__all__ = ["Sdpa"]

_REFUSED = {
    "probs": "torch's kernels do not return the probabilities (output_attentions=True)",
    "head_mask": "head_mask weights the probabilities, which torch's kernels do not form",
}

# Where torch gives zeros for a query that may read nothing, as our tests check; elsewhere it depends on the kernel.
_ZERO_FOR_DEAD_QUERIES = frozenset({"cpu"})


class Sdpa(AttentionImplementation):
    """No mask where nothing is masked; ``is_causal`` where causality is all; else one mask for the whole forward."""

    name = "sdpa"
    priority = 10

    def supports(self, request: AttentionRequest) -> tuple[str, ...]:
        """Refuses what needs the probabilities themselves."""
        return tuple(reason for need, reason in _REFUSED.items() if need in request.needs)

    def prepare(self, step: AttentionPass, bias: ScoreBias | None, dtype: torch.dtype) -> None:
        """Merge the shared bias with the masks once."""
        if bias is not None:
            step.share(bias, dtype, revive=_must_revive(step))

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
        """See :meth:`formers.attention.contract.AttentionImplementation.__call__`.

        Raises:
            ValueError: probabilities or a head mask are asked for, which :meth:`supports` refuses.
        """
        if step.need_probs or head_mask is not None:
            raise ValueError("; ".join(_REFUSED.values()) + ".")
        query = heads_of_queries(q, step)
        key, value = heads_of_keys(k, v, step, cache)
        mask, revive = None, False
        if bias is not None or not (step.unmasked or step.only_causal):
            revive = _must_revive(step)
            mask = step.added(bias, query.dtype, revive=revive)
        causal = mask is None and step.only_causal
        grouped = bool(key.shape[1] != query.shape[1])  # torch.jit.trace makes tensors of sizes
        out = scaled_dot_product_attention(
            query, key, value, mask, step.dropout, causal, scale=scale, enable_gqa=grouped
        )
        if revive and (dead := step.dead()) is not None:
            out = out.masked_fill(dead, 0.0)
        return tokens_of(out, step), None


def _must_revive(step: AttentionPass) -> bool:
    device = step.key.device
    return device is not None and device.type not in _ZERO_FOR_DEAD_QUERIES
