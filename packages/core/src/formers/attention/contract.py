"""The contract between a model's layers and whatever computes their attention.

A model asks once per kind of call which implementation serves it (:mod:`formers.attention.select`), describes
once per forward what all its layers share (:class:`AttentionPass`), and then calls the implementation in every
layer with that layer's queries, keys and values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from .bias import BiasTable, DenseBias, ScoreBias, TableBias

if TYPE_CHECKING:
    from collections.abc import Hashable

    from formers.cache import CacheLayer
    from formers.layout import Layout

__all__ = [
    "NEEDS",
    "AttentionImplementation",
    "AttentionPass",
    "AttentionRequest",
    "BiasTable",
    "DenseBias",
    "OutOfScope",
    "Phase",
    "ScoreBias",
    "TableBias",
]

Phase = Literal["train", "encode", "prefill", "decode"]

NEEDS = {
    "causal": "a query reads no later key",
    "packed": "documents lie one after another, without padding",
    "padding": "some keys are padding",
    "dense_mask": "a 3-D or 4-D mask",
    "bias": "a bias is added to the scores",
    "bias_grad": "the bias is trained",
    "dropout": "dropout on the probabilities",
    "probs": "the probabilities are returned (output_attentions=True)",
    "head_mask": "heads are weighted by a head_mask",
    "cross": "keys and queries belong to different sequences",
    "cache": "keys and values are kept in a cache",
    "fixed": "the cache has fixed shapes: the whole room is given, and the device knows how much of it is filled",
}
"""What a call may need of an implementation, and what each word means."""


@dataclass(frozen=True, slots=True)
class AttentionRequest:
    """One kind of attention call, as far as it decides which implementation can serve it.

    Raises:
        ValueError: ``needs`` holds a word that is not in :data:`NEEDS`.
    """

    architecture: str
    phase: Phase
    device: str
    dtype: torch.dtype
    heads: int
    head_dim: int
    needs: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.needs <= NEEDS.keys():
            unknown = ", ".join(sorted(map(repr, self.needs - NEEDS.keys())))
            raise ValueError(
                f"AttentionRequest.needs holds {unknown}; the known needs are {', '.join(NEEDS)}."
            )

    def __str__(self) -> str:
        needs = f", needs {' '.join(sorted(self.needs))}" if self.needs else ""
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{self.phase}, {self.device}, {dtype}, {self.heads} heads of {self.head_dim}{needs}"


class OutOfScope(str):
    """A reason why an implementation is not meant for a kind of call at all: for another device, phase or arrangement.

    :meth:`AttentionImplementation.supports` gives it among its reasons. Strict mode takes every other reason for a
    failure (see :func:`formers.attention.select.select`).
    """

    __slots__ = ()


class AttentionPass:
    """What the attention calls of one forward have in common; made once, given to every layer of one kind.

    Masks are made when first asked for and kept. What carries a gradient is kept only by :meth:`share`, and what
    was made without gradients is not used with them: a layer under gradient checkpointing runs twice, at first
    perhaps without gradients, and must build the same graph both times.

    Args:
        query: which positions ask; beside a cache only the new ones.
        key: which positions may be attended to, those in the cache included.
        causal: a query reads no later key; the last query stands at the last key. A 3-D or 4-D mask is complete
            and is not combined with this.
        dropout: probability of dropping an entry of the probabilities; 0 outside training.
        need_probs: whether the layers return their probabilities.

    Attributes:
        only_causal: causality alone decides what is read, and query i stands at key i. A packed document needs no
            mask beside it: the padding that :meth:`formers.layout.Layout.rows` adds comes after its last query.
        unmasked: every query reads every key.
        memo: for what an implementation computes once per forward; a key starts with its name.

    Raises:
        ValueError: the layouts do not fit each other.
    """

    __slots__ = (
        "_added",
        "_added_for",
        "_allowed",
        "_allowed_known",
        "_dead",
        "_dense",
        "_dense_for",
        "causal",
        "dropout",
        "key",
        "memo",
        "need_probs",
        "only_causal",
        "query",
        "unmasked",
    )

    def __init__(
        self,
        query: Layout,
        key: Layout,
        *,
        causal: bool = False,
        dropout: float = 0.0,
        need_probs: bool = False,
    ) -> None:
        if query.batch != key.batch:
            raise ValueError(f"{query.batch} rows of queries cannot attend to {key.batch} rows of keys.")
        if key.pairwise is not None and key.pairwise.shape[2] != query.length:
            raise ValueError(
                f"attention_mask has shape {tuple(key.pairwise.shape)}, but there are {query.length} queries."
            )
        causal = causal and key.pairwise is None
        if causal and key.length < query.length:
            raise ValueError(f"Causal attention of {query.length} queries over only {key.length} keys.")
        if causal and query is not key and (query.is_packed or key.is_packed):
            raise ValueError("Causal attention over packed documents needs one layout for queries and keys.")
        self.query = query
        self.key = key
        self.causal = causal
        self.dropout = dropout
        self.need_probs = need_probs
        self.only_causal = False
        # Decided by a branch: a traced length may be a symbol, and bool() keeps it.
        if causal and key.length == query.length:
            self.only_causal = key.all_real_known or key.is_packed
        self.unmasked = key.all_real_known and (not causal or query.length == 1)
        self.memo: dict[Hashable, Any] = {}
        self._allowed: Tensor | None = None
        self._allowed_known = False
        self._dense: Tensor | None = None
        self._dense_for: tuple[ScoreBias, bool] | None = None
        self._added: Tensor | None = None
        self._added_for: tuple[ScoreBias | None, torch.dtype, bool, bool] | None = None
        self._dead: Tensor | None = None

    def with_dropout(self, dropout: float) -> AttentionPass:
        """This pass with another dropout; itself if it has that one."""
        if dropout == self.dropout:
            return self
        return AttentionPass(
            self.query, self.key, causal=self.causal, dropout=dropout, need_probs=self.need_probs
        )

    @property
    def offset(self) -> int:
        """Position of the first query among the keys."""
        return self.key.length - self.query.length

    def allowed(self) -> Tensor | None:
        """Bool [batch | 1, heads | 1, queries, keys], True where a query may read a key; None: everywhere.

        Packed documents are rows here, as :meth:`formers.layout.Layout.rows` shows them.
        """
        if not self._allowed_known:
            self._allowed = self._make_allowed()
            self._allowed_known = True
        return self._allowed

    def _make_allowed(self) -> Tensor | None:
        if self.key.pairwise is not None:
            return self.key.pairwise
        mask = self.key.key_mask()
        allowed = None if mask is None else mask[:, None, None, :]
        if self.causal and self.query.length > 1:
            keys = torch.arange(self.key.length, device=self.key.device)
            causal = keys <= keys[self.offset :, None]
            allowed = causal[None, None] if allowed is None else allowed & causal
        return allowed

    def dense(self, bias: ScoreBias) -> Tensor:
        """``bias.dense()``, made once for a bias that all layers share.

        Raises:
            ValueError: the bias is not for these queries and keys.
        """
        known = self._dense_for
        if known is not None and known[0] is bias and known[1] == torch.is_grad_enabled():
            assert self._dense is not None
            return self._dense
        dense = bias.dense()
        if dense.shape[-2:] != (self.query.length, self.key.length):
            raise ValueError(
                f"The score bias has shape {tuple(dense.shape)} for {self.query.length} queries and "
                f"{self.key.length} keys."
            )
        if not dense.requires_grad:
            self._dense, self._dense_for = dense, (bias, torch.is_grad_enabled())
        return dense

    def dead(self) -> Tensor | None:
        """Bool [batch | 1, heads | 1, queries | 1, 1], True where a query may read nothing; None if none can be.

        Causality alone leaves no query without a key.
        """
        if self.key.all_real_known:
            return None
        if self._dead is None:
            allowed = self.allowed()
            assert allowed is not None
            self._dead = ~allowed.any(dim=-1, keepdim=True)
        return self._dead

    def added(self, bias: ScoreBias | None, dtype: torch.dtype, *, revive: bool = False) -> Tensor | None:
        """All that is added to the scores: bias, the caller's additive mask, and -inf where forbidden.

        Args:
            bias: the layer's score bias.
            dtype: of the result.
            revive: give a :meth:`dead` query its keys back, for kernels that would answer it with NaN.

        Returns:
            [batch | 1, heads | 1, queries | 1, keys], or None if there is nothing to add.
        """
        wanted = bias, dtype, revive, torch.is_grad_enabled()
        if self._added_for == wanted:
            return self._added
        added = self._make_added(bias, dtype, revive)
        if added is None or not added.requires_grad:
            self._added, self._added_for = added, wanted
        return added

    def _make_added(self, bias: ScoreBias | None, dtype: torch.dtype, revive: bool) -> Tensor | None:
        added = None if bias is None else self.dense(bias).to(dtype)
        extra = self.key.additive
        if extra is not None:
            added = extra.to(dtype) if added is None else added + extra.to(dtype)
        allowed = self.allowed()
        if allowed is None:
            return added
        dead = self.dead() if revive else None
        if dead is not None:
            allowed = allowed | dead
        zero = torch.zeros((), dtype=dtype, device=allowed.device) if added is None else added
        return torch.where(allowed, zero, -torch.inf)

    def share(self, bias: ScoreBias, dtype: torch.dtype | None = None, *, revive: bool = False) -> None:
        """Make a bias that every layer will use, outside the layers; given ``dtype``, as :meth:`added` merges it."""
        self._dense, self._dense_for = self.dense(bias), (bias, torch.is_grad_enabled())
        if dtype is not None:
            self._added = self._make_added(bias, dtype, revive)
            self._added_for = bias, dtype, revive, torch.is_grad_enabled()


@runtime_checkable
class AttentionImplementation(Protocol):
    """Something that computes attention; inherit from it for the default :meth:`prepare`.

    Attributes:
        name: what ``attn_implementation`` calls it.
        priority: of those that can serve a request, auto takes the highest; 0 for eager, 10 for sdpa.
    """

    name: str
    priority: int

    def supports(self, request: AttentionRequest) -> tuple[str, ...]:
        """Why this implementation cannot serve the request, one reason a string; empty if it can.

        A reason of the kind :class:`OutOfScope` says that it is not meant for such calls.
        """
        ...

    def prepare(self, step: AttentionPass, bias: ScoreBias | None, dtype: torch.dtype) -> None:
        """Compute what all layers share. Called once per forward, before and outside the layers.

        Args:
            step: the pass that the layers will be given.
            bias: the score bias that every layer will be given, if they share one.
            dtype: of the queries.
        """
        return

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
    ) -> tuple[Tensor, Tensor | None]:
        """softmax(scale * q k + bias) v for every query over the keys that it may read.

        A query that may read nothing gets exactly 0 and passes exactly 0 back.

        Args:
            q: [query tokens, heads, head_dim], laid out as ``step.query``.
            k: the *new* keys [key tokens, key heads, head_dim]; None if the cache holds them all. The number of
                key heads divides that of the heads.
            v: the new values, like ``k``.
            step: what this forward's layers share.
            scale: factor of the scores.
            cache: where the implementation appends ``k`` and ``v`` and finds the earlier ones.
            bias: added to the scaled scores.
            head_mask: factor of the probabilities, broadcastable to [batch, heads, queries, keys].

        Returns:
            The output [query tokens, heads, head_dim], and if ``step.need_probs`` the probabilities
            [batch, heads, queries, keys] after dropout and head mask, else None.
        """
        ...
