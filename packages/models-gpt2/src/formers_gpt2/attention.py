"""The attention of GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3).

Departs from causal scaled dot-product attention only in the factor of the scores, which is

    ``1 / sqrt(head_dim)``, or 1 if ``config.scale_attn_weights`` is False,

and ``1 / layer`` of that, with layers counted from 1, if ``config.scale_attn_by_inverse_layer_idx`` is True (the
stable training of half-precision models of the project Mistral, Stanford CRFM 2021). Their
``config.reorder_and_upcast_attn``, scores and softmax in float32, is how every implementation of formers computes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from formers.cache import EncoderDecoderCache
from formers.modeling.layers import Dropout, Parts
from formers.modeling.pruning import kept_columns
from formers.modeling.runs import keep_packed

from .layers import Conv1D, prune_conv1d

if TYPE_CHECKING:
    from formers.modeling.runs import Run

    from .configuration import GPT2Config

__all__ = ["GPT2Attention", "GPT2CrossAttention"]


class _MultiHead(nn.Module):
    """What self- and cross-attention have in common: the linear maps into and out of heads, and their pruning."""

    def __init__(self, config: GPT2Config, layer: int, maps: int) -> None:
        super().__init__()
        width = config.n_embd
        self.layer = layer
        self.maps = maps  # of c_attn: query, key and value, or key and value
        self.num_heads = config.n_head
        self.head_dim = width // config.n_head
        self.scale = self.head_dim**-0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            self.scale /= layer + 1
        self.c_attn = Conv1D(maps * width, width)
        if maps == 2:
            self.q_attn = Conv1D(width, width)
        self.c_proj = Conv1D(width, width, init_scale=(2 * config.n_layer) ** -0.5)
        self.attn_dropout = Dropout(config.attn_pdrop)
        self.resid_dropout = Dropout(config.resid_pdrop)
        self.pruned_heads: set[int] = set()

    def _heads(self, mapped: Tensor) -> tuple[Tensor, ...]:
        """[..., maps * heads * head_dim] as ``maps`` tensors [tokens, heads, head_dim]."""
        # Without heads torch cannot tell what -1 stands for.
        tokens = -1 if self.num_heads else mapped.shape[:-1].numel()
        return mapped.view(tokens, self.maps, self.num_heads, self.head_dim).unbind(1)

    def _out(self, context: Tensor, hidden_states: Tensor) -> Tensor:
        """[..., hidden] for the context [tokens, heads, head_dim]."""
        parts: Parts = self._modules
        shape = hidden_states.shape
        if self.pruned_heads:
            shape = torch.Size((*shape[:-1], self.num_heads * self.head_dim))
        return parts["resid_dropout"](parts["c_proj"](context.reshape(shape)))  # type: ignore[no-any-return]

    def prune_heads(self, heads: Iterable[int]) -> None:
        """Remove heads for good; they are numbered as in the unpruned layer."""
        width = self.num_heads * self.head_dim
        new, kept = kept_columns(heads, self.num_heads, self.head_dim, self.pruned_heads)
        if not new:
            return
        self.c_attn = prune_conv1d(self.c_attn, torch.cat([kept + width * part for part in range(self.maps)]))
        if self.maps == 2:
            self.q_attn = prune_conv1d(self.q_attn, kept)
        self.c_proj = prune_conv1d(self.c_proj, kept, dim=0)
        self.num_heads -= len(new)
        self.pruned_heads |= new


class GPT2Attention(_MultiHead):
    """Every position attends to itself and the positions before it."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__(config, layer, maps=3)

    def forward(self, hidden_states: Tensor, run: Run) -> tuple[Tensor, Tensor | None]:
        """[..., hidden] for [..., hidden], and the probabilities if ``run`` asks."""
        parts: Parts = self._modules
        query, key, value = self._heads(parts["c_attn"](hidden_states))
        step, masks = run.step, run.head_mask
        cache = None if run.cache is None else run.cache.layer(self.layer)
        if cache is not None and step.key.is_packed:
            keep_packed(cache, key, value, step)
            cache = None
        if self.training or step.dropout:  # a layer may be frozen by eval(), or have a dropout of its own
            step = step.with_dropout(parts["attn_dropout"].p if self.training else 0.0)
        context, probs = run.attend(
            query,
            key,
            value,
            step,
            scale=self.scale,
            cache=cache,
            head_mask=None if masks is None else masks[self.layer],
        )
        return self._out(context, hidden_states), probs


class GPT2CrossAttention(_MultiHead):
    """Every position attends to the hidden states of an encoder."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__(config, layer, maps=2)

    def forward(
        self, hidden_states: Tensor, run: Run, encoder_hidden_states: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Like :class:`GPT2Attention`; the encoder's keys and values are cached by the first call."""
        assert run.cross_attend is not None
        assert run.cross_step is not None
        parts: Parts = self._modules
        query = parts["q_attn"](hidden_states)
        key = value = None
        cache = run.cache.cross_layer(self.layer) if isinstance(run.cache, EncoderDecoderCache) else None
        if cache is None or not cache.is_filled:
            key, value = self._heads(parts["c_attn"](encoder_hidden_states))
        step, masks = run.cross_step, run.cross_head_mask
        if self.training or step.dropout:
            step = step.with_dropout(parts["attn_dropout"].p if self.training else 0.0)
        context, probs = run.cross_attend(
            query.reshape(query.shape[:-1].numel(), self.num_heads, self.head_dim),
            key,
            value,
            step,
            scale=self.scale,
            cache=cache,
            head_mask=None if masks is None else masks[self.layer],
        )
        return self._out(context, hidden_states), probs
