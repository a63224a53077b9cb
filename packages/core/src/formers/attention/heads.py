"""From the contract's ``[tokens, heads, head_dim]`` to ``[batch, heads, length, head_dim]``, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from formers.cache import CacheLayer

    from .contract import AttentionPass

__all__ = ["heads_of_keys", "heads_of_queries", "tokens_of"]


def heads_of_queries(q: Tensor, step: AttentionPass) -> Tensor:
    """[query tokens, heads, head_dim] as [batch, heads, queries, head_dim]."""
    return step.query.rows(q).transpose(1, 2)


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
            return layout.rows(k).transpose(1, 2), layout.rows(v).transpose(1, 2)
        if layout.is_packed:
            key, value = layout.rows(k), layout.rows(v)
        else:
            new = layout.length - cache.length  # the layout counts the past keys too
            key, value = k.view(layout.batch, new, *k.shape[1:]), v.view(layout.batch, new, *v.shape[1:])
        key, value = cache.append(key.transpose(1, 2), value.transpose(1, 2))
    elif cache is not None:
        key, value = cache.read()
    else:
        raise ValueError("Attention was called without keys and values, and without a cache that holds them.")
    if key.shape[2] != layout.length:
        raise ValueError(f"Attention has {key.shape[2]} keys, but its layout says {layout.length}.")
    return key, value


def tokens_of(out: Tensor, step: AttentionPass) -> Tensor:
    """[batch, heads, queries, head_dim] as [query tokens, heads, head_dim]."""
    return step.query.flat(out.transpose(1, 2))
