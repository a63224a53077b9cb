"""One forward through a stack of layers: its cache, and how positions attend to each other and to an encoder."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from formers.cache import Cache, DynamicCache, EncoderDecoderCache, as_cache
from formers.errors import FormersWarning, warn
from formers.layout import Layout

from .masks import checked_head_mask

if TYPE_CHECKING:
    from formers.attention.contract import AttentionImplementation, AttentionPass
    from formers.cache import LegacyCache

    from .base import PreTrainedModel

__all__ = ["Run", "begin_run", "cache_of", "keeps_cache"]


@dataclass(slots=True)
class Run:
    """What all layers of one forward share.

    Attributes:
        attend: how positions attend to each other; ``step`` says which may.
        cross_attend: how they attend to an encoder's states, with ``cross_step``; None without an encoder.
        cache: keys and values of earlier calls; None without a cache.
        head_mask: [layers, 1, heads, 1, 1], a factor of each head's probabilities; None keeps all heads.
    """

    attend: AttentionImplementation
    step: AttentionPass
    cross_attend: AttentionImplementation | None = None
    cross_step: AttentionPass | None = None
    cache: Cache | None = None
    head_mask: Tensor | None = None


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
        wanted = default and not (isinstance(attention_mask, Layout) and attention_mask.is_packed)
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
    bias: str = "",
) -> Run:
    """Select how the positions of one forward attend to each other and to ``source``.

    Args:
        model: whose attention is selected.
        layout: of the sequence, its cached part included.
        source: of what cross-attention reads; None if there is nothing to read.
        hidden_states: [..., hidden], what enters the first layer.
        causal: whether a position reads no later one.
        dropout: of the attention probabilities.
        cache: keys and values of earlier calls.
        head_mask: [heads] or [layers, heads], a factor of each head's probabilities.
        need_probs: whether the layers return their probabilities.
        bias: see :meth:`formers.modeling.attending.Attending.begin`.

    Raises:
        AttentionUnsupported: the attention chosen by name cannot serve this call.
        ValueError: the head mask has another shape or meets pruned heads, or a packed batch meets a cache.
    """
    query = layout
    if cache is not None:
        if layout.is_packed:
            raise ValueError("A packed batch cannot be cached; pass use_cache=False.")
        new = hidden_states.shape[1]
        if layout.length != new:
            query = Layout(layout.batch, new, device=layout.device)
        if (cursor := cache.cursor) is not None:
            cursor.claim(new)
    dtype = hidden_states.dtype
    begin = functools.partial(
        model._attending.begin,
        device=hidden_states.device,
        dtype=dtype,
        training=model.training,
        cached=cache is not None,
        dropout=dropout,
        need_probs=need_probs,
        head_mask=head_mask is not None,
    )
    attend, step = begin(query, layout, causal=causal, bias=bias)
    attend.prepare(step, None, dtype)
    run = Run(attend, step, cache=cache)
    if source is not None:
        run.cross_attend, run.cross_step = begin(query, source, cross=True)
        run.cross_attend.prepare(run.cross_step, None, dtype)
    if head_mask is not None:
        run.head_mask = checked_head_mask(model, head_mask)
    return run
