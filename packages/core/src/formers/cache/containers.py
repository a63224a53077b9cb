"""Caches of whole models: one layer of keys and values for each attention layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from formers.errors import shorten

from .layers import CacheLayer, Cursor, DynamicLayer, StaticLayer

if TYPE_CHECKING:
    import torch

    from formers.config import PreTrainedConfig

__all__ = ["Cache", "DynamicCache", "LegacyCache", "StaticCache"]

LegacyCache = tuple[tuple[Tensor, ...], ...]
"""Keys and values as nested tuples, layer by layer, as transformers 4 passed them."""


class Cache:
    """The keys and values of every layer of a model.

    A model takes the cache it is given, appends to it and returns that same object. ``cache[i]`` and iteration give
    a layer's keys and values, [batch, heads, length, head_dim] each.

    Args:
        layers: the layers, if their number is known.
        layer_class_to_replicate: makes a further layer when one is first asked for.

    Attributes:
        copies: how many consecutive rows read each row of what belongs to an encoder, see
            :class:`EncoderDecoderCache`.

    Raises:
        ValueError: not exactly one of the two is given.
    """

    copies: int = 1

    def __init__(
        self,
        layers: Sequence[CacheLayer] | None = None,
        layer_class_to_replicate: Callable[[], CacheLayer] | None = None,
    ) -> None:
        if (layers is None) == (layer_class_to_replicate is None):
            raise ValueError("A Cache needs exactly one of layers and layer_class_to_replicate.")
        self.layers = list(layers or ())
        self.layer_class_to_replicate = layer_class_to_replicate

    def layer(self, index: int) -> CacheLayer:
        """The layer of that number, made now if the cache grows with its model.

        Raises:
            IndexError: the cache has fewer layers.
        """
        layers = self.layers
        if index >= len(layers):
            if self.layer_class_to_replicate is None:
                raise IndexError(f"Layer {index} was asked for; the cache has {len(layers)} layers.")
            while index >= len(layers):
                layers.append(self.layer_class_to_replicate())
        return layers[index]

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        cache_kwargs: Mapping[str, Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Append to a layer, [batch, heads, new, head_dim] each, and return all it holds.

        ``cache_kwargs`` is accepted for transformers 4 and has no effect: a layer knows its length.
        """
        return self.layer(layer_idx).append(key_states, value_states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """How many positions a layer holds; 0 for one that was never used."""
        return self.layers[layer_idx].length if layer_idx < len(self.layers) else 0

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """How many positions fit, -1 without a limit: of one layer, or of the smallest."""
        if layer_idx is not None:
            return self.layer(layer_idx).get_max_length()
        return min((layer.get_max_length() for layer in self.layers), default=-1)

    def get_max_cache_shape(self) -> int | None:
        """How many positions fit, None without a limit; the name of transformers 4."""
        limit = self.get_max_length()
        return None if limit < 0 else limit

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """How many keys the next queries will see, and the position of the first of them."""
        return self.get_seq_length(layer_idx) + query_length, 0

    def reset(self) -> None:
        """Forget all content; set-aside room is kept."""
        for layer in self.layers:
            layer.reset()

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last positions of every layer; their number is given as a negative number."""
        for layer in self.layers:
            layer.crop(tokens_to_remove)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take row ``beam_idx[i]`` as the new row i."""
        for layer in self.layers:
            layer.reorder_cache(beam_idx)

    def reorder_within_prompts(self, rows: Tensor) -> None:
        """:meth:`reorder_cache` where row i and row ``rows[i]`` continue the same prompt."""
        self.reorder_cache(rows)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row so many times."""
        for layer in self.layers:
            layer.batch_repeat_interleave(repeats)

    def fork_rows(self, copies: int) -> bool:
        """Make of each row so many that continue the same prompt, one after another; whether they share its source."""
        self.batch_repeat_interleave(copies)
        return False

    def unshare(self) -> None:
        """Give each row a copy of its own of what rows share."""

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep only these rows."""
        for layer in self.layers:
            layer.batch_select_indices(indices)

    @property
    def batch_size(self) -> int:
        """Rows held; -1 before the first.

        Raises:
            ValueError: the layers hold different numbers of rows.
        """
        sizes = {layer.batch_size for layer in self.layers} - {-1}
        if len(sizes) > 1:
            raise ValueError(f"The layers hold different numbers of rows: {sorted(sizes)}.")
        return next(iter(sizes), -1)

    @property
    def is_compileable(self) -> bool:
        """Whether tensors keep their place and shape from step to step."""
        return bool(self.layers) and all(layer.is_compileable for layer in self.layers)

    @property
    def cursor(self) -> Cursor | None:
        """The length on the device while all shapes are fixed, see :meth:`StaticCache.fix_shapes`; else None."""
        return None

    @property
    def is_initialized(self) -> bool:
        """Whether every layer holds something."""
        return bool(self.layers) and all(layer.is_filled for layer in self.layers)

    @property
    def is_croppable(self) -> bool:
        """Whether :meth:`crop` works; every cache here can."""
        return True

    @property
    def is_sliding(self) -> list[bool]:
        """For each layer, whether it forgets what is far back."""
        return [layer.is_sliding for layer in self.layers]

    def to_legacy_cache(self) -> LegacyCache:
        """Per layer its keys and values, as transformers 4 passed them."""
        return tuple(self)

    def __len__(self) -> int:
        return len(self.layers)

    def __bool__(self) -> bool:
        # `past_key_values or DynamicCache()` must not throw away an empty cache that the caller wants filled.
        return True

    def __getitem__(self, layer_idx: int) -> tuple[Tensor, ...]:
        return self.layers[layer_idx].read()

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return (layer.read() for layer in self.layers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(layers={len(self)}, length={self.get_seq_length()})"


class DynamicCache(Cache):
    """A cache that grows as tokens come.

    Args:
        ddp_cache_data: content to start from: per layer its keys and values; further entries are ignored.
        config: if given, the cache has its ``num_hidden_layers`` from the start.
        offloading: not supported; only False.
        offload_only_non_sliding: without effect.

    Raises:
        ValueError: offloading is asked for.
    """

    def __init__(
        self,
        ddp_cache_data: Iterable[Sequence[Tensor | None]] | None = None,
        config: PreTrainedConfig | None = None,
        offloading: bool = False,
        offload_only_non_sliding: bool = False,
    ) -> None:
        _refuse_offloading(offloading)
        super().__init__(layer_class_to_replicate=DynamicLayer)
        if config is not None:
            self.layers.extend(DynamicLayer() for _ in range(_layers_of(config)))
        for index, (key, value, *_) in enumerate(ddp_cache_data or ()):
            layer = self.layer(index)
            if key is not None and value is not None:
                layer.append(key, value)

    @classmethod
    def from_legacy_cache(cls, past_key_values: LegacyCache | None = None) -> DynamicCache:
        """A cache with the content of nested tuples: per layer its keys and values."""
        return cls(past_key_values)


class StaticCache(Cache):
    """A cache of fixed capacity, owned by the caller and reusable after :meth:`reset`.

    Args:
        config: of the model; says how many layers there are.
        max_cache_len: positions that each layer can hold.
        offloading: not supported; only False.
        offload_only_non_sliding: without effect.
        max_batch_size: rows; with ``device`` and ``dtype`` the room is set aside now instead of at first use.
        device: where.
        dtype: of keys and values.

    Raises:
        ValueError: offloading is asked for, or the capacity is not positive.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        max_cache_len: int,
        offloading: bool = False,
        offload_only_non_sliding: bool = True,
        *,
        max_batch_size: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _refuse_offloading(offloading)
        super().__init__(layers=[StaticLayer(max_cache_len) for _ in range(_layers_of(config))])
        self._cursor: Cursor | None = None
        if max_batch_size is not None and device is not None and dtype is not None:
            text = config.get_text_config(decoder=True)
            heads = text.num_attention_heads
            head_dim = getattr(text, "head_dim", None) or text.hidden_size // heads
            key_heads = getattr(text, "num_key_value_heads", None) or heads
            self.early_initialization(max_batch_size, key_heads, head_dim, dtype, device)

    def early_initialization(
        self,
        batch_size: int,
        num_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        """Set the room of every layer aside now, [batch_size, num_heads, max_cache_len, head_dim] each."""
        import torch

        for layer in self._static_layers():
            layer.allocate(batch_size, num_heads, head_dim, head_dim, dtype, torch.device(device))

    def fix_shapes(self) -> None:
        """From now on every step has the same shapes, so that one compiled or captured graph serves them all.

        The length lives on the device: a step attends to the whole room through a mask, and its own mask, if rows are
        padded, is [batch, room]. Nothing checks for a full cache, as that would wait for the device. Fill the cache
        with the prompts first; :meth:`release_shapes` and :meth:`reset` end it.

        Raises:
            ValueError: the room is not set aside yet.
        """
        layers = self._static_layers()
        for layer in layers:
            if layer.room is None:
                raise ValueError("fix_shapes() needs the room of every layer; run the prompts first.")
            if self._cursor is None:
                self._cursor = Cursor(layer.max_cache_len, layer.room[0].device)
        if self._cursor is not None and self.cursor is None:
            self._cursor.length.fill_(self.get_seq_length())
            for layer in layers:
                layer.cursor = self._cursor

    def release_shapes(self) -> None:
        """The end of :meth:`fix_shapes`; reads the length from the device."""
        if self.cursor is not None:
            length = self.get_seq_length()
            for layer in self._static_layers():
                layer.cursor, layer.length = None, length

    @property
    def cursor(self) -> Cursor | None:
        """The length on the device while all shapes are fixed, see :meth:`fix_shapes`; else None."""
        return self.layers[0].cursor if self.layers else None

    def reset(self) -> None:
        """Forget all content; the room is kept."""
        self.release_shapes()
        super().reset()

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last positions of every layer; their number is given as a negative number."""
        fixed = self.cursor is not None
        self.release_shapes()
        super().crop(tokens_to_remove)
        if fixed:
            self.fix_shapes()

    def _static_layers(self) -> list[StaticLayer]:
        return [layer for layer in self.layers if isinstance(layer, StaticLayer)]


def _layers_of(config: PreTrainedConfig) -> int:
    text = config.get_text_config(decoder=True)
    layers = getattr(text, "num_hidden_layers", None)
    if not isinstance(layers, int):
        raise ValueError(f"A cache needs config.num_hidden_layers, which is {shorten(layers)} here.")
    return layers


def _refuse_offloading(offloading: bool) -> None:
    if offloading:
        raise ValueError("Cache(offloading=True) is not supported; keep the cache on the model's device.")
