"""Where the documents of a batch lie in ``[tokens, ...]``, in the one form that every kernel takes.

A packed batch, rows of equal length and rows with padding are all *spans*: document n is ``tokens[start:end]``. Made
once per forward, on the device, without waiting for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from formers.layout import Layout

__all__ = ["Arrangement", "Spans", "arrange", "spans_of"]


class Spans(NamedTuple):
    """Documents as slices of a flat tensor.

    Attributes:
        bounds: int32 [2, documents], where each begins and where it ends.
        longest: at least the length of the longest document; the grid of a launch comes from it.
        full: every token belongs to a document. Where it is False, a kernel's output must start as zeros.
    """

    bounds: Tensor
    longest: int
    full: bool = True


class Arrangement(NamedTuple):
    """Spans, and how tokens must be ordered for them.

    Attributes:
        spans: where the documents lie among the ordered tokens.
        order: int64 [tokens], the token that comes to each place; None if they stay where they are.
        back: int64 [tokens], the inverse of ``order``.
    """

    spans: Spans
    order: Tensor | None = None
    back: Tensor | None = None

    def gather(self, tokens: Tensor) -> Tensor:
        """[tokens, ...] in the order of the spans."""
        return tokens if self.order is None else tokens.index_select(0, self.order)

    def scatter(self, tokens: Tensor) -> Tensor:
        """The inverse of :meth:`gather`."""
        return tokens if self.back is None else tokens.index_select(0, self.back)


def spans_of(layout: Layout) -> Spans:
    """The documents of a packed layout, or the rows of a padded one, whatever its mask says."""
    if layout.cu_seqlens is not None:
        bounds = torch.stack([layout.cu_seqlens[:-1], layout.cu_seqlens[1:]])
        return Spans(bounds, layout.length)
    starts = torch.arange(layout.batch, dtype=torch.int32, device=layout.device) * layout.length
    return Spans(torch.stack([starts, starts + layout.length]), layout.length)


def arrange(layout: Layout) -> Arrangement:
    """Spans of the real tokens only: in each row they come to the front, in their order.

    Raises:
        ValueError: a 3-D or 4-D mask, which spans cannot express.
    """
    if layout.pairwise is not None:
        raise ValueError("Spans cannot express an attention_mask of 3 or 4 dimensions.")
    spans = spans_of(layout)
    if layout.mask is None:
        return Arrangement(spans)
    first = spans.bounds[0]
    within = layout.mask.logical_not().to(torch.uint8).argsort(dim=1, stable=True)
    order = (within + first[:, None]).flatten()
    back = torch.empty_like(order)
    back[order] = torch.arange(layout.tokens, device=order.device)
    ends = first + layout.mask.sum(dim=1, dtype=torch.int32)
    return Arrangement(Spans(torch.stack([first, ends]), layout.length, full=False), order, back)
