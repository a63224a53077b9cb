"""The attention of BERT (Devlin et al. 2018, arXiv 1810.04805, section 3).

Departs from scaled dot-product attention only if ``config.position_embedding_type`` says so. With

    ``"relative_key"``         the score of query i and key j is ``(q_i . k_j + q_i . e_ij) / sqrt(head_dim)``
                               (Shaw et al. 2018, arXiv 1803.02155, equation 5);
    ``"relative_key_query"``   it is ``(q_i . k_j + q_i . e_ij + k_j . e_ij) / sqrt(head_dim)``
                               (Huang et al. 2020, arXiv 2009.13658, method 4),

where ``e_ij`` embeds the distance ``i - j``, one embedding per layer for all heads. The added scores depend on the
queries, so each layer builds them densely. Cross-attention never has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from formers.attention.contract import AttentionImplementation, AttentionPass, DenseBias, ScoreBias
from formers.cache import EncoderDecoderCache
from formers.modeling.layers import Dropout, LayerNorm, Parts
from formers.modeling.pruning import kept_columns, prune_linear_layer
from formers.modeling.runs import keep_packed

if TYPE_CHECKING:
    from formers.cache import CacheLayer
    from formers.modeling.runs import Run

    from .configuration import BertConfig

__all__ = ["BertAttention", "BertCrossAttention", "BertSelfAttention", "BertSelfOutput"]


class _MultiHead(nn.Module):
    """What self- and cross-attention have in common: linear maps to heads, and the call of an implementation."""

    def __init__(self, config: BertConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.num_attention_heads = config.num_attention_heads
        self.attention_head_size = config.hidden_size // config.num_attention_heads
        self.scale: float = self.attention_head_size**-0.5
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = Dropout(config.attention_probs_dropout_prob)

    def _attend(
        self,
        attend: AttentionImplementation,
        step: AttentionPass,
        query: Tensor,
        key: Tensor | None,
        value: Tensor | None,
        run: Run,
        cache: CacheLayer | None,
        bias: ScoreBias | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The context [..., heads * head_dim] for a query of that shape, and the probabilities if ``step`` asks."""
        heads, head_dim = self.num_attention_heads, self.attention_head_size
        if self.training or step.dropout:  # a layer may be frozen by eval(), or have a dropout of its own
            step = step.with_dropout(self.dropout.p if self.training else 0.0)
        tokens = -1 if heads else query.shape[:-1].numel()  # torch cannot tell what -1 stands for among zeros
        split = (tokens, heads, head_dim)
        context, probs = attend(
            query.view(split),
            None if key is None else key.view(split),
            None if value is None else value.view(split),
            step,
            scale=self.scale,
            cache=cache,
            bias=bias,
            head_mask=None if run.head_mask is None else run.head_mask[self.layer],
        )
        return context.reshape(query.shape), probs


class BertSelfAttention(_MultiHead):
    """Every position attends to the positions of its own sequence."""

    def __init__(self, config: BertConfig, layer: int) -> None:
        super().__init__(config, layer)
        self.position_embedding_type = config.position_embedding_type
        self.max_position_embeddings = config.max_position_embeddings
        if self.position_embedding_type != "absolute":
            distances = 2 * config.max_position_embeddings - 1
            self.distance_embedding = nn.Embedding(distances, self.attention_head_size)

    def forward(self, hidden_states: Tensor, run: Run) -> tuple[Tensor, Tensor | None]:
        """Context [..., heads * head_dim] for hidden states [..., hidden], and the probabilities if asked."""
        parts: Parts = self._modules
        query = parts["query"](hidden_states)
        key = parts["key"](hidden_states)
        value = parts["value"](hidden_states)
        cache = None if run.cache is None else run.cache.layer(self.layer)
        if cache is not None and run.step.key.is_packed:
            heads = (self.num_attention_heads, self.attention_head_size)
            keep_packed(cache, key.unflatten(-1, heads), value.unflatten(-1, heads), run.step)
            cache = None
        bias = None
        if self.position_embedding_type != "absolute":
            bias = DenseBias(self._relative_scores(query, key, cache))
        return self._attend(run.attend, run.step, query, key, value, run, cache, bias)

    def _relative_scores(self, query: Tensor, key: Tensor, cache: CacheLayer | None) -> Tensor:
        """The scores that distances add, scaled as all scores are: [batch, heads, queries, keys].

        ``query`` and ``key`` are the new [batch, length, heads * head_dim]; earlier keys are read from the cache.
        """
        heads = (self.num_attention_heads, self.attention_head_size)
        queries = query.unflatten(-1, heads).transpose(1, 2)
        keys = key.unflatten(-1, heads).transpose(1, 2)
        if cache is not None and cache.length:
            keys = torch.cat([cache.read()[0], keys], dim=2)
        columns = torch.arange(keys.shape[2], device=keys.device)
        distances = columns[keys.shape[2] - queries.shape[2] :, None] - columns
        embedded = self.distance_embedding(distances + self.max_position_embeddings - 1).to(query.dtype)
        scores: Tensor = torch.einsum("bhqd,qkd->bhqk", queries, embedded)
        if self.position_embedding_type == "relative_key_query":
            scores = scores + torch.einsum("bhkd,qkd->bhqk", keys, embedded)
        return scores * self.scale


class BertCrossAttention(_MultiHead):
    """Every position attends to the hidden states of an encoder."""

    def forward(
        self, hidden_states: Tensor, run: Run, encoder_hidden_states: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Like :class:`BertSelfAttention`; the encoder's keys and values are cached by the first call."""
        assert run.cross_attend is not None
        assert run.cross_step is not None
        parts: Parts = self._modules
        query = parts["query"](hidden_states)
        key = value = None
        cache = run.cache.cross_layer(self.layer) if isinstance(run.cache, EncoderDecoderCache) else None
        if cache is None or not cache.is_filled:
            key = parts["key"](encoder_hidden_states)
            value = parts["value"](encoder_hidden_states)
        return self._attend(run.cross_attend, run.cross_step, query, key, value, run, cache)


class BertSelfOutput(nn.Module):
    """Linear map, dropout, residual, layer norm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        """[..., hidden] for the context and for the input of the block."""
        parts: Parts = self._modules
        new = parts["dropout"](parts["dense"](hidden_states))
        return parts["LayerNorm"](new + input_tensor)  # type: ignore[no-any-return]


class BertAttention(nn.Module):
    """Attention and what follows it in the same block; ``self`` may be self- or cross-attention."""

    def __init__(self, config: BertConfig, layer: int, *, cross: bool = False) -> None:
        super().__init__()
        self.self = BertCrossAttention(config, layer) if cross else BertSelfAttention(config, layer)
        self.output = BertSelfOutput(config)
        self.pruned_heads: set[int] = set()

    def forward(
        self, hidden_states: Tensor, run: Run, *source: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """New hidden states and, if asked, probabilities; ``source`` is the encoder's states of cross-attention."""
        parts: Parts = self._modules
        context, probs = parts["self"](hidden_states, run, *source)
        return parts["output"](context, hidden_states), probs

    def prune_heads(self, heads: Iterable[int]) -> None:
        """Remove heads for good; they are numbered as in the unpruned layer."""
        attention = self.self
        new, kept = kept_columns(
            heads, attention.num_attention_heads, attention.attention_head_size, self.pruned_heads
        )
        if not new:
            return
        attention.query = prune_linear_layer(attention.query, kept)
        attention.key = prune_linear_layer(attention.key, kept)
        attention.value = prune_linear_layer(attention.value, kept)
        self.output.dense = prune_linear_layer(self.output.dense, kept, dim=1)
        attention.num_attention_heads -= len(new)
        self.pruned_heads |= new
