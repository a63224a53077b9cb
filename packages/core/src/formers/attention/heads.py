"""From the contract's ``[tokens, heads, head_dim]`` to ``[batch, heads, length, head_dim]``, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from formers.cache import CacheLayer
    from formers.layout import Layout

    from .contract import AttentionPass

__all__ = ["heads_of_keys", "heads_of_queries", "tokens_of"]


def heads_of_queries(q: Tensor, step: AttentionPass) -> Tensor:
    """[query tokens, heads, head_dim] as [batch, heads, queries, head_dim]."""
    return _heads_of(q, step.query, step.query.length)


def heads_of_keys(
    k: Tensor | None, v: Tensor | None, step: AttentionPass, cache: CacheLayer | None
) -> tuple[Tensor, Tensor]:
    """All keys and values that the queries may read, [batch, key heads, keys, head_dim]; new ones enter the cache.

    Raises:
        ValueError: there are neither new keys nor a cache, or their number is not what the layout says.
    """
    layout = step.key
    if k is not None and v is not None:
        if cache is None:
            return _heads_of(k, layout, layout.length), _heads_of(v, layout, layout.length)
        # The layout counts the past keys too.
        new = layout.length - cache.length if cache.cursor is None else step.query.length
        key, value = cache.append(_heads_of(k, layout, new), _heads_of(v, layout, new))
    elif cache is not None:
        key, value = cache.read()
    else:
        raise ValueError("Attention was called without keys and values, and without a cache that holds them.")
    if key.shape[2] != layout.length:
        raise ValueError(f"Attention has {key.shape[2]} keys, but its layout says {layout.length}.")
    return key, value


def _heads_of(tokens: Tensor, layout: Layout, length: int) -> Tensor:
    if layout.cu_seqlens is not None:
        return layout.rows(tokens).transpose(1, 2)
    if length == 1:  # as in each step of decoding, where every operation of this size counts
        return tokens.unsqueeze(2)
    # By name, since a view takes half as long again with a slice of the shape.
    _, heads, head_dim = tokens.shape
    return tokens.view(layout.batch, length, heads, head_dim).transpose(1, 2)


def tokens_of(out: Tensor, step: AttentionPass) -> Tensor:
    """[batch, heads, queries, head_dim] as [query tokens, heads, head_dim]."""
    query = step.query
    if query.length == 1 and query.cu_seqlens is None:
        return out.squeeze(2)
    return query.flat(out.transpose(1, 2))
