"""Which positions are real, and whose: one value, built once per forward and given to every layer.

A padded batch is ``[batch, length]`` with a mask; a packed batch lays its documents one after another in
``[tokens]`` and says where each begins. Both number their positions, find their first and last real token,
and show themselves as ``[batch, length]``, so that the code behind them is written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Literal

import torch
from torch import Tensor

from formers.errors import shorten

from .masks import FORBIDDEN, as_bool, check_additive, may_look_at, sent, wrong_shape

__all__ = ["Layout"]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The arrangement of one batch; made by one of the class methods.

    Attributes:
        batch: number of rows; of documents when packed.
        length: padded length of a row; the longest document when packed.
        mask: bool [batch, length], True where a token is real; None when packed, and where all are (seen on the
            CPU, known elsewhere only if no mask was given).
        cu_seqlens: int32 [batch + 1], where each document begins and the last one ends; None when padded.
        pairwise: bool [batch | 1, heads | 1, queries, length], which query may read which position; None
            unless the caller gave a 3-D or 4-D mask. It is complete: a causal model adds nothing to it, as in
            transformers.
        additive: the caller's floating 4-D mask of the same shape, which is added to the scores.
        device: where masks and positions live.
        total: number of tokens when packed.
        origin: the arrangement of the caller's tensors, where it is another: :meth:`pack` takes them out of it,
            :meth:`unpack` puts results back. None where they come as they are used.
        places: int64 [tokens], where each packed token stands in ``origin`` with its rows one after another; None
            where it is the order of the tokens.
    """

    batch: int
    length: int
    mask: Tensor | None = None
    cu_seqlens: Tensor | None = None
    pairwise: Tensor | None = None
    additive: Tensor | None = None
    device: torch.device | None = None
    total: int | None = None
    origin: Layout | None = None
    places: Tensor | None = None
    _lengths: tuple[int, ...] | None = field(default=None, repr=False)
    _host_mask: Tensor | None = field(default=None, repr=False)
    _slots: Tensor | None = field(default=None, init=False, repr=False)
    _key_mask: Tensor | None = field(default=None, init=False, repr=False)

    @classmethod
    def padded(
        cls, batch: int, length: int, mask: Tensor | None = None, *, device: torch.device | None = None
    ) -> Layout:
        """Rows of equal length; ``mask`` is [batch, length], nonzero where a token is real (None: all are).

        Raises:
            ValueError: the mask has another shape, or negative values, which an additive mask would have.
        """
        if mask is None:
            return cls(batch, length, device=device)
        if mask.shape != (batch, length):
            raise wrong_shape(mask, f"[batch, length] = ({batch}, {length})")
        if mask.is_floating_point():
            mask = as_bool(mask)
        seen = may_look_at(mask)
        if seen and bool(mask.all()):  # hides nothing: the fastest kernels can serve
            return cls(batch, length, device=mask.device if device is None else device)
        mask = as_bool(mask)
        host = mask if seen else None
        if device is not None and mask.device != device:
            mask = mask.to(device)
        return cls(batch, length, mask=mask, device=mask.device, _host_mask=host)

    @classmethod
    def from_lengths(
        cls,
        lengths: Sequence[int],
        length: int | None = None,
        *,
        side: Literal["right", "left"] = "right",
        device: torch.device | str | None = None,
    ) -> Layout:
        """Padded rows of which it is known how long they are, so that nobody has to ask an accelerator.

        Args:
            lengths: the number of real tokens of each row.
            length: of the padded rows; that of the longest by default.
            side: where the padding is.
            device: where the tensors of the batch live; the CPU by default.

        Raises:
            ValueError: a row is longer than ``length``, or a length is negative.
        """
        longest = max(lengths, default=0) if length is None else length
        if min(lengths, default=0) < 0 or max(lengths, default=0) > longest:
            raise ValueError(
                f"lengths are {shorten(list(lengths))}; expected 0 to {longest}, the padded length."
            )
        columns, real = torch.arange(longest), torch.tensor(lengths, dtype=torch.int64)[:, None]
        mask = columns < real if side == "right" else columns >= longest - real
        return cls.padded(len(lengths), longest, mask, device=torch.device(device or "cpu"))

    @classmethod
    def from_attention_mask(
        cls,
        mask: Tensor | None,
        batch: int,
        length: int,
        queries: int | None = None,
        *,
        device: torch.device | None = None,
    ) -> Layout:
        """The layout that a caller's ``attention_mask`` describes.

        Args:
            mask: [batch, length] or [batch, queries, length], nonzero = attend, of any dtype; or
                [batch | 1, heads | 1, queries | 1, length], where bool and integers say the same, and floating
                values are added to the scores (0 = attend, at or below -10000 = never).
            batch: rows.
            length: positions that may be attended to, cached ones included.
            queries: positions that ask; ``length`` by default.
            device: where masks and positions shall live; where the mask is by default.

        Raises:
            ValueError: the shape is none of these, or (seen on the CPU only) the values contradict it.
        """
        if mask is None or mask.dim() == 2:
            return cls.padded(batch, length, mask, device=device)
        if device is not None and mask.device != device:
            mask = mask.to(device)
        queries = length if queries is None else queries
        if mask.dim() == 3 and mask.shape == (batch, queries, length):
            return cls(batch, length, pairwise=as_bool(mask)[:, None], device=mask.device)
        if (
            mask.dim() == 4
            and mask.shape[0] in (1, batch)
            and mask.shape[2:] in ((queries, length), (1, length))
        ):
            if mask.shape[2] != queries:
                mask = mask.expand(-1, -1, queries, -1)
            if not mask.is_floating_point():
                return cls(batch, length, pairwise=as_bool(mask), device=mask.device)
            check_additive(mask)
            allowed = mask > FORBIDDEN
            return cls(batch, length, pairwise=allowed, additive=mask, device=mask.device)
        raise wrong_shape(
            mask,
            f"[batch, length] = ({batch}, {length}), "
            f"[batch, queries, length] = ({batch}, {queries}, {length}) or "
            f"[batch or 1, heads or 1, queries or 1, length] = ({batch}, *, {queries}, {length})",
        )

    @classmethod
    def packed(cls, cu_seqlens: Tensor, max_length: int | None = None, total: int | None = None) -> Layout:
        """Documents one after another, isolated from each other.

        Args:
            cu_seqlens: int32 [documents + 1]: 0, the end of the first document, ..., ``total``.
            max_length: at least the length of the longest document; a bucket is fine. It and ``total`` may be left
                out, and are then read from ``cu_seqlens``, for which an accelerator has to finish its work first.
            total: number of tokens.

        Raises:
            ValueError: not a 1-D integer tensor, or (checked on the CPU only) not ascending from 0 to
                ``total`` in steps of at most ``max_length``.
        """
        if (
            cu_seqlens.dim() != 1
            or cu_seqlens.shape[0] < 1
            or cu_seqlens.dtype not in (torch.int32, torch.int64)
        ):
            raise ValueError(
                f"cu_seqlens has shape {tuple(cu_seqlens.shape)} and dtype {cu_seqlens.dtype}; expected "
                "[documents + 1] integers."
            )
        lengths = None
        if may_look_at(cu_seqlens) or max_length is None or total is None:
            bounds = cu_seqlens.tolist()
            steps = [end - start for start, end in pairwise(bounds)]
            total = bounds[-1] if total is None else total
            max_length = max(steps, default=0) if max_length is None else max_length
            lengths = tuple(steps)
            if bounds[0] != 0 or bounds[-1] != total or min(steps, default=0) < 0:
                raise ValueError(
                    f"cu_seqlens is {bounds}; expected to ascend from 0 to the {total} tokens given."
                )
            if max(steps, default=0) > max_length:
                raise ValueError(
                    f"cu_seqlens holds a document of {max(steps)} tokens; max_length is {max_length}."
                )
        return cls(
            cu_seqlens.shape[0] - 1,
            max_length,
            cu_seqlens=cu_seqlens.int(),
            device=cu_seqlens.device,
            total=total,
            _lengths=lengths,
        )

    def without_padding(self) -> Layout:
        """A padded layout with its real tokens one after another; it knows this one as its ``origin``.

        Waits for an accelerator if the mask is known to that alone.
        """
        host = self._seen_mask()
        lengths = tuple(host.sum(dim=1).tolist())
        places = host.flatten().nonzero().squeeze(1)
        bounds = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
        return Layout(
            self.batch,
            max(lengths, default=0),
            cu_seqlens=sent(bounds, self.device),
            device=self.device,
            total=sum(lengths),
            origin=self,
            places=sent(places, self.device),
            _lengths=lengths,
        )

    @property
    def is_packed(self) -> bool:
        """Whether tokens lie one after another without padding."""
        return self.cu_seqlens is not None

    @property
    def arranged(self) -> Layout:
        """The layout of the caller's tensors: ``origin`` of a padded batch that was packed, else this."""
        return self if self.places is None or self.origin is None else self.origin

    @property
    def tokens(self) -> int:
        """How many rows a flat ``[tokens, ...]`` tensor of this layout has."""
        return self.batch * self.length if self.total is None else self.total

    def has_gaps(self) -> bool:
        """Whether some padded row has padding between its real tokens. Waits like :meth:`without_padding`."""
        host = self._seen_mask()
        begins = (host[:, 1:] & ~host[:, :-1]).sum(dim=1) + host[:, :1].sum(dim=1)
        return bool((begins > 1).any())

    def _seen_mask(self) -> Tensor:
        """The mask on the CPU."""
        if self._host_mask is None:
            mask = (
                torch.ones(self.batch, self.length, dtype=torch.bool)
                if self.mask is None
                else self.mask.cpu()
            )
            object.__setattr__(self, "_host_mask", mask)
        assert self._host_mask is not None
        return self._host_mask

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """The real tokens of each row or document, where that is known without waiting for an accelerator."""
        if torch.compiler.is_compiling():  # they would be constants of the graph
            return None
        if self._lengths is None and self._host_mask is not None and may_look_at(self._host_mask):
            object.__setattr__(self, "_lengths", tuple(self._host_mask.sum(dim=1).tolist()))
        return self._lengths

    @property
    def all_real_known(self) -> bool:
        """True when it is known without looking at data that every position is real and open to all."""
        return self.mask is None and self.cu_seqlens is None and self.pairwise is None

    def positions(self, queries: int | None = None) -> Tensor:
        """Position of each token: int64 [batch, queries], or [tokens] when packed.

        Counted from the first real token of the row; a hole further on shifts nothing. Columns before the
        first real token get 0. A row without any, and a layout of a 3-D or 4-D mask, count from column 0.

        Args:
            queries: only the last so many columns (those that are new beside a cache); all by default.
        """
        if self.cu_seqlens is not None:
            if self.origin is not None and self.places is not None:
                return self.origin.positions().reshape(-1).index_select(0, self.places)
            return self._offsets(self.document_ids())
        start = 0 if queries is None else self.length - queries
        columns = torch.arange(start, self.length, device=self.device)
        if self.mask is None:
            return columns.expand(self.batch, -1)
        return (columns - self.first_real()[:, None]).clamp_min(0)

    def first_real(self) -> Tensor:
        """Column (packed: token index) of each row's first real token, int64 [batch]; 0 if there is none."""
        if self.cu_seqlens is not None:
            return self.cu_seqlens[:-1].long()
        if self.mask is None or self.length == 0:
            return torch.zeros(self.batch, dtype=torch.int64, device=self.device)
        return self.mask.int().argmax(dim=1)

    def last_real(self) -> Tensor:
        """Column (packed: token index) of each row's last real token, int64 [batch].

        A row without a real token answers with its last column, an empty document with its first index.
        """
        if self.cu_seqlens is not None:
            return torch.maximum(self.cu_seqlens[1:] - 1, self.cu_seqlens[:-1]).long()
        last = max(self.length - 1, 0)
        if self.mask is None or self.length == 0:
            return torch.full((self.batch,), last, dtype=torch.int64, device=self.device)
        return last - self.mask.int().flip(1).argmax(dim=1)

    def real(self, dtype: torch.dtype = torch.bool) -> Tensor:
        """1 or True where a token is real: [batch, length], or [tokens] when packed."""
        if self.mask is not None:
            return self.mask.to(dtype)
        shape = (self.batch, self.length) if self.cu_seqlens is None else (self.tokens,)
        return torch.ones(shape, dtype=dtype, device=self.device)

    def document_ids(self) -> Tensor:
        """Which document each packed token belongs to, int32 [tokens].

        Raises:
            ValueError: the layout is not packed.
        """
        if self.cu_seqlens is None:
            raise ValueError("Only a packed layout has document_ids; this one is padded.")
        tokens = torch.arange(self.tokens, dtype=torch.int32, device=self.device)
        return torch.searchsorted(self.cu_seqlens[1:], tokens, right=True, out_int32=True)

    def key_mask(self) -> Tensor | None:
        """Bool [batch, length], True where :meth:`rows` holds a real token; None where that is everywhere."""
        if self.cu_seqlens is None:
            return self.mask
        if self._key_mask is None:
            lengths = self.cu_seqlens.diff()
            columns = torch.arange(self.length, device=self.device)
            object.__setattr__(self, "_key_mask", columns < lengths[:, None])
        return self._key_mask

    def rows(self, flat: Tensor) -> Tensor:
        """[tokens, ...] as [batch, length, ...]: a view when padded; packed rows are filled up with 0."""
        if self.cu_seqlens is None:
            return flat.view(self.batch, self.length, *flat.shape[1:])
        room = flat.new_zeros(self.batch * self.length, *flat.shape[1:])
        return room.index_copy(0, self._row_slots(), flat).view(self.batch, self.length, *flat.shape[1:])

    def flat(self, rows: Tensor) -> Tensor:
        """[batch, length, ...] as [tokens, ...]: the inverse of :meth:`rows`."""
        together = rows.flatten(0, 1)
        return together if self.cu_seqlens is None else together.index_select(0, self._row_slots())

    def pack(self, given: Tensor, name: str = "A tensor") -> Tensor:
        """The caller's [batch, length, ...] as the layers take it; itself if that is the same.

        Raises:
            ValueError: names ``name``, if the tensor is of another batch.
        """
        origin = self.origin
        if origin is None:
            return given
        if given.shape[:2] != (origin.batch, origin.length):
            if given.shape[:2] != (1, origin.length):
                raise ValueError(
                    f"{name} of shape {tuple(given.shape)} does not fit the batch; expected "
                    f"[batch, length] = ({origin.batch}, {origin.length}) first."
                )
            given = given.expand(origin.batch, *given.shape[1:])
        flat = given.flatten(0, 1)
        return flat if self.places is None else flat.index_select(0, self.places)

    def unpack(self, flat: Tensor) -> Tensor:
        """The inverse of :meth:`pack`, with 0 at padding."""
        origin = self.origin
        if origin is None:
            return flat
        shape = (origin.batch, origin.length, *flat.shape[1:])
        if self.places is None:
            return flat.view(shape)
        room = flat.new_zeros(origin.batch * origin.length, *flat.shape[1:])
        return room.index_copy_(0, self.places, flat).view(shape)

    def _offsets(self, documents: Tensor) -> Tensor:
        """How many tokens of its document stand before each packed token."""
        assert self.cu_seqlens is not None
        return torch.arange(self.tokens, device=self.device) - self.cu_seqlens.index_select(0, documents)

    def _row_slots(self) -> Tensor:
        if self._slots is None:
            documents = self.document_ids()
            slots = documents.long() * self.length + self._offsets(documents)
            object.__setattr__(self, "_slots", slots)
        assert self._slots is not None
        return self._slots
