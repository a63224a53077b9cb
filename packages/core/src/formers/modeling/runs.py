"""One forward through a stack of layers: its cache, and how positions attend to each other and to an encoder."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from formers.attention.contract import AttentionPass
from formers.cache import Cache, DynamicCache, EncoderDecoderCache, as_cache
from formers.errors import FormersWarning, warn
from formers.layout import Layout

from .masks import checked_head_mask
from .shared_source import RowByRow

if TYPE_CHECKING:
    from formers.attention.contract import AttentionImplementation, ScoreBias
    from formers.cache import CacheLayer, LegacyCache

    from .base import PreTrainedModel

__all__ = ["Run", "begin_run", "cache_of", "keep_packed", "keeps_cache"]


@dataclass(slots=True)
class Run:
    """What all layers of one forward share.

    Attributes:
        attend: how positions attend to each other; ``step`` says which may.
        cross_attend: how they attend to an encoder's states, with ``cross_step``; None without an encoder.
        cache: keys and values of earlier calls; None without a cache.
        head_mask: [layers, 1, heads, 1, 1], a factor of each head's probabilities; None keeps all heads.
        cross_head_mask: the same for cross-attention.
        bias: what every layer adds to the scores of its self-attention; None for nothing, or a bias of each layer.
    """

    attend: AttentionImplementation
    step: AttentionPass
    cross_attend: AttentionImplementation | None = None
    cross_step: AttentionPass | None = None
    cache: Cache | None = None
    head_mask: Tensor | None = None
    cross_head_mask: Tensor | None = None
    bias: ScoreBias | None = None


def keep_packed(cache: CacheLayer, key: Tensor, value: Tensor, step: AttentionPass) -> None:
    """Put the keys and values of a padded batch that runs packed where a cache expects them, with 0 at padding.

    Args:
        cache: an empty layer.
        key: [tokens, heads, head_dim].
        value: like ``key``.
        step: of the self-attention.
    """
    cache.append(*(step.key.unpack(tokens).transpose(1, 2) for tokens in (key, value)))


def keeps_cache(
    stack: nn.Module, use_cache: bool | None, default: bool, attention_mask: Tensor | Layout | None
) -> bool:
    """Whether a call returns its keys and values.

    Args:
        stack: the module that runs the layers; under gradient checkpointing nothing is kept.
        use_cache: what the caller said; None takes the default.
        default: of the configuration. A packed batch, whose keys cannot be kept, does not follow it.
        attention_mask: as the caller gave it.
    """
    wanted = use_cache
    if wanted is None:
        packed = isinstance(attention_mask, Layout) and attention_mask.is_packed
        wanted = default and not (packed and attention_mask.places is None)  # type: ignore[union-attr]
    if wanted and stack.training and stack.gradient_checkpointing:
        if use_cache:
            warn("use_cache=True has no effect under gradient checkpointing.", FormersWarning)
        return False
    return wanted


def cache_of(
    stack: nn.Module,
    past_key_values: Cache | LegacyCache | None,
    *,
    keep: bool,
    source: Tensor | None,
    crosses: bool,
) -> Cache | None:
    """The caller's cache, else a new one if the call is to keep its keys and values, else None.

    Args:
        stack: the module that runs the layers.
        past_key_values: the caller's.
        keep: see :func:`keeps_cache`.
        source: the encoder's states that are given now.
        crosses: whether the model has cross-attention.

    Raises:
        TypeError: ``past_key_values`` is no cache of formers.
        ValueError: there is one under gradient checkpointing.
    """
    if past_key_values is None:
        if not keep:
            return None
        return EncoderDecoderCache(DynamicCache(), DynamicCache()) if source is not None else DynamicCache()
    if stack.training and stack.gradient_checkpointing:
        raise ValueError(
            "past_key_values cannot be used under gradient checkpointing: a layer that runs twice would append "
            "to the cache twice. Call gradient_checkpointing_disable(), or eval()."
        )
    return as_cache(past_key_values, cross=crosses)


def begin_run(
    model: PreTrainedModel,
    layout: Layout,
    source: Layout | None,
    hidden_states: Tensor,
    *,
    causal: bool,
    dropout: float,
    cache: Cache | None,
    head_mask: Tensor | None,
    need_probs: bool,
    cross_head_mask: Tensor | None = None,
    bias: str = "",
    make_bias: Callable[[AttentionPass], ScoreBias] | None = None,
) -> Run:
    """Select how the positions of one forward attend to each other and to ``source``.

    Args:
        model: whose attention is selected.
        layout: of the sequence, its cached part included.
        source: of what cross-attention reads; None if there is nothing to read. With fewer rows than ``layout``,
            consecutive rows of that share one of these.
        hidden_states: [..., hidden], what enters the first layer.
        causal: whether a position reads no later one.
        dropout: of the attention probabilities.
        cache: keys and values of earlier calls.
        head_mask: [heads] or [layers, heads], a factor of each head's probabilities.
        need_probs: whether the layers return their probabilities.
        cross_head_mask: like ``head_mask``, for cross-attention.
        bias: see :meth:`formers.modeling.attending.Attending.begin`.
        make_bias: makes the bias that every layer adds, for :attr:`Run.bias`. Called when the cache has given the new
            tokens their places.

    Raises:
        AttentionUnsupported: the attention chosen by name cannot serve this call.
        ValueError: a head mask has another shape or meets pruned heads, or a packed batch meets a cache.
    """
    query = _new_part(layout, hidden_states, cache)
    attending, training, dtype = model._attending, model.training, hidden_states.dtype
    kind = functools.partial(
        attending.kind,
        query,
        device=hidden_states.device,
        dtype=dtype,
        training=training,
        cached=cache is not None,
        dropout=dropout,
        need_probs=need_probs,
    )
    dropout = dropout if training else 0.0
    cached = cache is not None and not layout.is_packed  # else keep_packed puts the keys there
    fixed = cache is not None and cache.cursor is not None
    own = kind(layout, cached=cached, fixed=fixed, causal=causal, head_mask=head_mask is not None, bias=bias)
    if source is None:
        attending.ensure_selected(own)
        cross_attend = cross_step = None
    else:
        cached = cache is not None and source.places is None
        cross = kind(source, cross=True, cached=cached, head_mask=cross_head_mask is not None)
        attending.ensure_selected(own, cross)
        cross_attend = attending.selected(cross)
        copies = 1 if source.batch == query.batch else query.batch // source.batch
        asking = query if copies == 1 else Layout(source.batch, copies * query.length, device=query.device)
        cross_step = AttentionPass(asking, source, dropout=dropout, need_probs=need_probs)
        cross_attend.prepare(cross_step, None, dtype)
        if copies > 1 and need_probs:
            cross_attend = RowByRow(cross_attend, copies)
    attend = attending.selected(own)
    step = AttentionPass(query, layout, causal=causal, dropout=dropout, need_probs=need_probs)
    run = Run(attend, step, cross_attend, cross_step, cache)
    if make_bias is not None:
        run.bias = make_bias(step)
    attend.prepare(step, run.bias, dtype)
    if head_mask is not None:
        run.head_mask = checked_head_mask(model, head_mask)
    if cross_head_mask is not None:
        run.cross_head_mask = checked_head_mask(model, cross_head_mask)
    return run


def _new_part(layout: Layout, hidden_states: Tensor, cache: Cache | None) -> Layout:
    """The layout of the tokens that a cache does not hold yet, for which it now makes place."""
    if cache is None:
        return layout
    if layout.is_packed:
        if layout.places is None:
            raise ValueError("A packed batch cannot be cached; pass use_cache=False.")
        return layout
    new = hidden_states.shape[1]
    if (cursor := cache.cursor) is not None:
        cursor.claim(new)
    if layout.length == new:
        return layout
    return Layout(layout.batch, new, device=layout.device)
