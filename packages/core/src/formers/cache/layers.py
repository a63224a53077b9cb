"""One layer's keys and values: growing, or in room that the caller has set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CacheLayer", "Cursor", "DynamicLayer", "StaticLayer"]


_SMALL = 8192  # numbers; about as many are copied in the time that four views take


class CacheLayer:
    """Keys and values of one attention layer, each [batch, heads, length, head_dim].

    Attributes:
        length: how many positions are held.
        cursor: set while a :class:`~formers.cache.StaticCache` keeps all shapes fixed; :meth:`append` then gives the
            whole room.
    """

    is_compileable: ClassVar[bool] = False
    is_sliding: ClassVar[bool] = False
    cursor: Cursor | None = None

    __slots__ = ("_key_room", "_value_room", "length")

    def __init__(self) -> None:
        self._key_room: Tensor | None = None
        self._value_room: Tensor | None = None
        self.length = 0

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add new positions [batch, heads, new, head_dim] and return all of them.

        Raises:
            ValueError: the batch differs from what is held, or there is no room left.
        """
        raise NotImplementedError

    def read(self) -> tuple[Tensor, Tensor]:
        """All keys and all values held.

        Raises:
            ValueError: nothing has been stored yet.
        """
        if self._key_room is None or self._value_room is None:
            raise ValueError("This cache layer is empty; append keys and values before reading it.")
        if self.length == self._key_room.shape[2]:
            return self._key_room, self._value_room
        return self._key_room.narrow(2, 0, self.length), self._value_room.narrow(2, 0, self.length)

    @property
    def keys(self) -> Tensor | None:
        """All keys held, or None before the first."""
        return None if self._key_room is None else self.read()[0]

    @property
    def values(self) -> Tensor | None:
        """All values held, or None before the first."""
        return None if self._value_room is None else self.read()[1]

    @property
    def is_filled(self) -> bool:
        """Whether anything has been stored; a cross-attention layer then needs no new keys."""
        return self._key_room is not None

    @property
    def is_initialized(self) -> bool:
        """Whether there are tensors, the name of transformers."""
        return self._key_room is not None

    @property
    def batch_size(self) -> int:
        """Rows held; -1 before the first."""
        return -1 if self._key_room is None else self._key_room.shape[0]

    def get_seq_length(self) -> int:
        """How many positions are held."""
        return self.length

    def get_max_length(self) -> int:
        """How many positions can be held; -1 without a limit."""
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many keys the next ``query_length`` queries will see, and the position of the first of them."""
        return self.length + query_length, 0

    def reset(self) -> None:
        """Forget everything."""
        self._key_room = self._value_room = None
        self.length = 0

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last positions.

        What is appended next is written where they were, also in tensors that :meth:`read` gave earlier.

        Args:
            tokens_to_remove: how many, as a negative number; 0 removes nothing.

        Raises:
            ValueError: the number is positive.
        """
        if tokens_to_remove > 0:
            raise ValueError(
                f"crop({tokens_to_remove}): the number of positions to remove is given as a negative number; to "
                f"keep only the first {tokens_to_remove}, call crop({tokens_to_remove} - cache.get_seq_length())."
            )
        self.length = max(self.length + tokens_to_remove, 0)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take row ``beam_idx[i]`` as the new row i; int64 [rows]."""
        self._replace_rows(lambda room: room.index_select(0, beam_idx.to(room.device)))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep only these rows, int64 or bool [rows]."""
        self._replace_rows(lambda room: room[indices.to(room.device)])

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row so many times."""
        self._replace_rows(lambda room: room.repeat_interleave(repeats, dim=0))

    def _replace_rows(self, change: Callable[[Tensor], Tensor]) -> None:
        # The spare room goes along, so that a beam search does not allocate anew at each step.
        if self._key_room is not None and self._value_room is not None:
            self._key_room, self._value_room = change(self._key_room), change(self._value_room)

    def _write(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        keys, values, start, new = self._key_room, self._value_room, self.length, key.shape[2]
        assert keys is not None
        assert values is not None
        end = start + new
        keys.narrow(2, start, new).copy_(key)
        values.narrow(2, start, new).copy_(value)
        self.length = end
        return keys.narrow(2, 0, end), values.narrow(2, 0, end)

    def _check_batch(self, key: Tensor) -> None:
        if self._key_room is not None and key.shape[0] != self._key_room.shape[0]:
            raise ValueError(
                f"The cache holds {self._key_room.shape[0]} rows, but {key.shape[0]} are appended."
            )


class DynamicLayer(CacheLayer):
    """Grows with its content.

    Without gradients it keeps spare room behind its content and writes into it, so that a token costs a token's
    copy. With gradients, and while a graph is traced, it concatenates: a stored tensor may be part of a graph, and
    is never written to. It also does while it is small, since that takes a third of the time of the views of a room.
    """

    __slots__ = ("_is_ours",)

    def __init__(self) -> None:
        super().__init__()
        self._is_ours = False

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add new positions [batch, heads, new, head_dim] and return all of them."""
        self._check_batch(key)
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or self._stays_small(key):
            return self._concatenate(key, value)
        end = self.length + key.shape[2]
        if not self._has_room(end, key):
            self._make_room(end, key, value)
        return self._write(key, value)

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._is_ours = False

    def _concatenate(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if self.length:
            held_key, held_value = self.read()
            key, value = torch.cat((held_key, key), dim=2), torch.cat((held_value, value), dim=2)
        else:
            key, value = key.clone(), value.clone()
        self._key_room, self._value_room, self.length, self._is_ours = key, value, key.shape[2], False
        return key, value

    def _stays_small(self, key: Tensor) -> bool:
        held = self._key_room
        return not self._is_ours and key.numel() + (0 if held is None else held.numel()) <= _SMALL

    def _has_room(self, end: int, key: Tensor) -> bool:
        room = self._key_room
        return (
            room is not None
            and self._is_ours
            and end <= room.shape[2]
            and room.dtype == key.dtype
            # Outside of inference mode torch refuses to write to a tensor that was made inside of it.
            and (not room.is_inference() or torch.is_inference_mode_enabled())
        )

    def _make_room(self, end: int, key: Tensor, value: Tensor) -> None:
        capacity = end + max(end // 2, 32)
        held = self.read() if self.length else (None, None)
        rooms = []
        for new, old in zip((key, value), held, strict=True):
            batch, heads, _, head_dim = new.shape
            dtype = new.dtype if old is None else torch.promote_types(new.dtype, old.dtype)
            room = new.new_empty(batch, heads, capacity, head_dim, dtype=dtype)
            if old is not None:
                room[:, :, : self.length] = old
            rooms.append(room)
        self._key_room, self._value_room = rooms
        self._is_ours = True


class Cursor:
    """How far the layers of one static cache are filled, where a compiled step can read and change it.

    Attributes:
        length: int64 [1], on the device of the cache.
        columns: int64 [new], where the tokens of the current step go.
        room: positions that fit.
    """

    __slots__ = ("columns", "length", "room")

    def __init__(self, room: int, device: torch.device) -> None:
        self.length = torch.zeros(1, dtype=torch.int64, device=device)
        self.columns = self.length
        self.room = room

    def next_columns(self, new: int) -> Tensor:
        """int64 [new], where the next tokens will go."""
        return self.length + torch.arange(new, device=self.length.device)

    def claim(self, new: int) -> None:
        """Give the next tokens their places; once per forward, before any layer."""
        self.columns = self.next_columns(new)
        self.length.add_(new)


class StaticLayer(CacheLayer):
    """Writes into room of a fixed size, allocated once and kept by :meth:`reset`.

    Args:
        max_cache_len: positions that can be held.
    """

    is_compileable = True

    __slots__ = ("_length", "cursor", "max_cache_len")

    def __init__(self, max_cache_len: int) -> None:
        self.cursor = None
        super().__init__()
        if max_cache_len < 1:
            raise ValueError(f"max_cache_len is {max_cache_len}; expected at least 1.")
        self.max_cache_len = max_cache_len

    @property
    def length(self) -> int:
        """How many positions are held; with fixed shapes it is read from the device."""
        return self._length if self.cursor is None else int(self.cursor.length)

    @length.setter
    def length(self, value: int) -> None:
        self._length = value

    def allocate(
        self, batch: int, heads: int, key_dim: int, value_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Set the room aside; otherwise the first append does."""
        shape = batch, heads, self.max_cache_len
        self._key_room = torch.zeros(*shape, key_dim, dtype=dtype, device=device)
        self._value_room = torch.zeros(*shape, value_dim, dtype=dtype, device=device)

    @property
    def room(self) -> tuple[Tensor, Tensor] | None:
        """The whole buffers of keys and values, filled or not, for a kernel that writes to them itself."""
        if self._key_room is None or self._value_room is None:
            return None
        return self._key_room, self._value_room

    @property
    def is_filled(self) -> bool:
        """Whether anything has been stored."""
        return self._length > 0

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write new positions [batch, heads, new, head_dim] and return all that are held; with fixed shapes, all room.

        Raises:
            ValueError: the batch differs from what is held, or there is no room left.
        """
        self._check_batch(key)
        if self.cursor is not None:
            assert self._key_room is not None
            assert self._value_room is not None
            self._key_room.index_copy_(2, self.cursor.columns, key)
            self._value_room.index_copy_(2, self.cursor.columns, value)
            return self._key_room, self._value_room
        end = self._length + key.shape[2]
        if end > self.max_cache_len:
            raise ValueError(
                f"The static cache has room for {self.max_cache_len} positions and holds {self._length}; "
                f"{key.shape[2]} more do not fit. Make it with a larger max_cache_len."
            )
        if self._key_room is None or self._value_room is None:
            batch, heads, _, key_dim = key.shape
            self.allocate(batch, heads, key_dim, value.shape[-1], key.dtype, key.device)
        return self._write(key, value)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take row ``beam_idx[i]`` as the new row i, in place."""
        if self._key_room is not None and self._value_room is not None:
            self._key_room.copy_(self._key_room[beam_idx.to(self._key_room.device)])
            self._value_room.copy_(self._value_room[beam_idx.to(self._value_room.device)])

    def get_max_length(self) -> int:
        """How many positions can be held."""
        return self.max_cache_len

    def reset(self) -> None:
        """Forget the content and keep the room."""
        self.length = 0
        if self._key_room is not None and self._value_room is not None:
            self._key_room, self._value_room = self._key_room.detach(), self._value_room.detach()
