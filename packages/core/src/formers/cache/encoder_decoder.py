"""The cache of a decoder that also reads an encoder, and the nested tuples of old."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from formers.errors import shorten

from .containers import Cache, DynamicCache, LegacyCache

if TYPE_CHECKING:
    from torch import Tensor

    from .layers import CacheLayer, Cursor

__all__ = ["EncoderDecoderCache", "as_cache"]


class EncoderDecoderCache(Cache):
    """Two caches: the decoder's own keys and values, and those of the encoder, which are stored once.

    Everything about length and layers speaks of the decoder's own part.

    Args:
        caches: the self-attention and the cross-attention cache; or one sequence with four tensors for each layer.
        shares: whether the rows that :meth:`fork_rows` makes of one share its encoder's part. A model that is given
            such a cache must read it so, as those do that begin with :func:`formers.modeling.runs.begin_run`.

    Raises:
        TypeError: one of the two is not a cache.
        ValueError: neither one nor two arguments.
    """

    def __init__(self, *caches: Any, shares: bool = False) -> None:
        if len(caches) == 1:
            content = [tuple(layer) for layer in caches[0]]
            if any(len(layer) != 4 for layer in content):
                raise ValueError(
                    "EncoderDecoderCache expects four tensors for each layer (own keys and values, the "
                    f"encoder's keys and values), got {[len(layer) for layer in content]}."
                )
            caches = (
                DynamicCache(layer[:2] for layer in content),
                DynamicCache(layer[2:] for layer in content),
            )
        if len(caches) != 2:
            raise ValueError(f"EncoderDecoderCache takes one or two arguments, got {len(caches)}.")
        for cache in caches:
            if not isinstance(cache, Cache):
                raise TypeError(f"EncoderDecoderCache expects two caches, got {shorten(cache)}.")
        super().__init__(layers=())
        self.self_attention_cache: Cache = caches[0]
        self.cross_attention_cache: Cache = caches[1]
        self._shares = shares
        # The same list, so that layers made later are seen here too.
        self.layers = self.self_attention_cache.layers

    def layer(self, index: int) -> CacheLayer:
        """The decoder's own keys and values of that layer."""
        return self.self_attention_cache.layer(index)

    def cross_layer(self, index: int) -> CacheLayer:
        """The encoder's keys and values of that layer; ``is_filled`` says whether they are there."""
        return self.cross_attention_cache.layer(index)

    @property
    def is_updated(self) -> Mapping[int, bool]:
        """For each layer, whether the encoder's keys and values are stored."""
        return {index: layer.is_filled for index, layer in enumerate(self.cross_attention_cache.layers)}

    @classmethod
    def from_legacy_cache(cls, past_key_values: LegacyCache | None) -> EncoderDecoderCache:
        """A cache with the content of nested tuples: per layer two or four tensors."""
        content = past_key_values or ()
        own = DynamicCache(layer[:2] for layer in content)
        return cls(own, DynamicCache(layer[2:] for layer in content if len(layer) > 2))

    @property
    def cursor(self) -> Cursor | None:
        """That of the decoder's own part."""
        return self.self_attention_cache.cursor

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the decoder's last positions; their number is given as a negative number."""
        self.self_attention_cache.crop(tokens_to_remove)

    def reset(self) -> None:
        """Forget all content of both parts."""
        self.self_attention_cache.reset()
        self.cross_attention_cache.reset()
        self.copies = 1

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take row ``beam_idx[i]`` as the new row i, in both parts."""
        self.unshare()
        self.self_attention_cache.reorder_cache(beam_idx)
        self.cross_attention_cache.reorder_cache(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row so many times, in both parts."""
        self.unshare()
        self.self_attention_cache.batch_repeat_interleave(repeats)
        self.cross_attention_cache.batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep only these rows, in both parts."""
        self.unshare()
        self.self_attention_cache.batch_select_indices(indices)
        self.cross_attention_cache.batch_select_indices(indices)

    def reorder_within_prompts(self, rows: Tensor) -> None:
        """Like :meth:`reorder_cache`; the encoder's part is the same for all rows of a prompt, and is left alone."""
        self.self_attention_cache.reorder_within_prompts(rows)

    def fork_rows(self, copies: int) -> bool:
        """Make of each row so many that continue the same prompt; whether the encoder's part keeps its rows."""
        if not self._shares:
            self.batch_repeat_interleave(copies)
            return False
        self.self_attention_cache.batch_repeat_interleave(copies)
        self.copies *= copies
        return True

    def unshare(self) -> None:
        """Give each row of the decoder a copy of its own of the encoder's part."""
        if self.copies > 1:
            self.cross_attention_cache.batch_repeat_interleave(self.copies)
            self.copies = 1

    def __getitem__(self, layer_idx: int) -> tuple[Tensor, ...]:
        cross = self.cross_attention_cache.layers
        filled = layer_idx < len(cross) and cross[layer_idx].is_filled
        return self.self_attention_cache[layer_idx] + (cross[layer_idx].read() if filled else ())

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.self_attention_cache!r}, {self.cross_attention_cache!r})"


def as_cache(value: Cache | Sequence[Sequence[Tensor]] | None, *, cross: bool = False) -> Cache | None:
    """What a caller gave as ``past_key_values``, as a cache.

    Args:
        value: a cache, which is returned itself; None; or nested tuples of two (own keys and values) or four (the
            encoder's too) tensors for each layer.
        cross: whether the model reads an encoder, so that nested tuples become an :class:`EncoderDecoderCache`.

    Raises:
        TypeError: anything else.
        ValueError: the encoder's keys and values are given to a model that has no cross-attention.
    """
    if value is None or isinstance(value, Cache):
        return value
    if not isinstance(value, (tuple, list)) or not all(
        isinstance(layer, (tuple, list)) and len(layer) in (2, 4) for layer in value
    ):
        raise TypeError(
            f"past_key_values is {shorten(value)}; expected a Cache of formers, such as DynamicCache(), or a tuple "
            "with two or four tensors for each layer."
        )
    content = tuple(tuple(layer) for layer in value)
    if cross:
        return EncoderDecoderCache.from_legacy_cache(content)
    if any(len(layer) == 4 for layer in content):
        raise ValueError(
            "past_key_values holds an encoder's keys and values, but this model has no cross-attention."
        )
    return DynamicCache.from_legacy_cache(content)
