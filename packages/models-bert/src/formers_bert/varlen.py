"""The attention ``bert_varlen``: fused kernels over documents of any length, which never compute padding.

This module imports no Triton; :mod:`.kernels.ops`, which does, is imported when the implementation is first selected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from formers.attention.contract import AttentionImplementation
from formers.kernels.spans import Arrangement, arrange
from formers.kernels.support import priority, reasons_against

if TYPE_CHECKING:
    import torch

    from formers.attention.contract import AttentionPass, AttentionRequest, ScoreBias
    from formers.cache import CacheLayer

__all__ = ["VARLEN", "BertVarlen"]

_REFUSED = {
    "probs": "fused kernels do not form the probabilities (output_attentions=True)",
    "head_mask": "head_mask weights the probabilities, which fused kernels do not form",
    "dense_mask": "a mask of 3 or 4 dimensions is not about documents",
    "bias": "nothing can be added to the scores (position_embedding_type is not 'absolute')",
    "cache": "keys and values in a cache are not read",
}


class BertVarlen(AttentionImplementation):
    """Triton kernels, forward and backward, with dropout inside; on a GPU, or by name in Triton's interpreter.

    A packed batch is used as it is. Rows with padding are packed on the way in and unpacked on the way out, in every
    layer: padding among the queries then costs nothing and gets 0, where other implementations compute something that
    nobody reads. Packing the batch before the model saves these copies, and the padding of everything else.
    """

    name = "bert_varlen"
    priority: int

    def __init__(self) -> None:
        self.priority = priority()

    def supports(self, request: AttentionRequest) -> tuple[str, ...]:
        """Refuses what needs the probabilities, a bias, a mask by pairs, or a cache; needs a GPU."""
        reasons = reasons_against(request, _REFUSED)
        if not reasons:
            from .kernels import ops  # noqa: F401  a graph that is traced later cannot import it
        return reasons

    def prepare(self, step: AttentionPass, bias: ScoreBias | None, dtype: torch.dtype) -> None:
        """Find the documents once."""
        self._arrangements(step)

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
            ValueError: the call needs something that :meth:`supports` refuses.
        """
        from .kernels.ops import varlen_attention

        if k is None or v is None or cache is not None:
            raise ValueError(f"{self.name}: {_REFUSED['cache']}.")
        if bias is not None:
            raise ValueError(f"{self.name}: {_REFUSED['bias']}.")
        if step.need_probs or head_mask is not None:
            raise ValueError(f"{self.name}: {_REFUSED['probs']}; {_REFUSED['head_mask']}.")
        query, key = self._arrangements(step)
        out = varlen_attention(
            query.gather(q),
            key.gather(k),
            key.gather(v),
            query.spans,
            key.spans,
            scale=scale,
            causal=step.causal,
            dropout=step.dropout,
        )
        return query.scatter(out), None

    def _arrangements(self, step: AttentionPass) -> tuple[Arrangement, Arrangement]:
        known: tuple[Arrangement, Arrangement] | None = step.memo.get(self.name)
        if known is None:
            known = _arrange(step)
            step.memo[self.name] = known
        return known


def _arrange(step: AttentionPass) -> tuple[Arrangement, Arrangement]:
    key = arrange(step.key)
    if step.query is step.key:
        return key, key
    if step.causal and step.key.mask is not None:
        raise ValueError(
            "Causal attention over padded keys needs one layout for queries and keys: the columns of the padding "
            "count, and packing removes them."
        )
    return arrange(step.query), key


VARLEN = BertVarlen()
"""The one instance, which selection remembers."""
