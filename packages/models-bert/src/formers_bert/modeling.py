"""BERT: embeddings, a stack of Transformer layers, a pooler (Devlin et al. 2018, arXiv 1810.04805, section 3).

Modules carry the names of the published weights. They take hidden states as [..., hidden]: a padded batch is
[batch, length, hidden], a packed one [tokens, hidden].
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from formers.activations import activation
from formers.cache import Cache, DynamicCache, EncoderDecoderCache, as_cache
from formers.errors import FormersWarning
from formers.layout import Layout
from formers.modeling import PreTrainedModel
from formers.modeling.checkpointing import run_layer
from formers.modeling.layers import Dropout
from formers.outputs import (
    BaseModelOutputWithCrossAttentions,
    BaseModelOutputWithPoolingAndCrossAttentions,
)

from . import checkpoint, inputs
from .attention import BertAttention, Parts, Run, begin_run
from .configuration import BertConfig

if TYPE_CHECKING:
    from formers.cache import LegacyCache

__all__ = ["BertEmbeddings", "BertEncoder", "BertLayer", "BertModel", "BertPooler", "BertPreTrainedModel"]


class BertEmbeddings(nn.Module):
    """The sum of token, segment and position embeddings, normalised (section 3, figure 2)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        positions, width = config.max_position_embeddings, config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(positions, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.adds_positions = config.position_embedding_type == "absolute"
        self.register_buffer("position_ids", torch.arange(positions)[None], persistent=False)

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor,
        position_ids: Tensor,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """[..., hidden] for ids [...]; ``inputs_embeds`` [..., hidden] take the place of the token embeddings."""
        if inputs_embeds is None:
            inputs_embeds = self.word_embeddings(input_ids)
        embeddings = inputs_embeds + self.token_type_embeddings(token_type_ids)
        if self.adds_positions:
            embeddings = embeddings + self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(embeddings))  # type: ignore[no-any-return]


class BertIntermediate(nn.Module):
    """The widening half of a feed-forward block."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.intermediate_act_fn = activation(config.hidden_act)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[..., hidden] to [..., intermediate]."""
        parts: Parts = self._modules
        return self.intermediate_act_fn(parts["dense"](hidden_states))


class BertOutput(nn.Module):
    """The narrowing half of a feed-forward block: linear map, dropout, residual, layer norm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.intermediate_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        """[..., hidden] for [..., intermediate] and the input of the block, [..., hidden]."""
        parts: Parts = self._modules
        new = parts["dropout"](parts["dense"](hidden_states))
        return parts["LayerNorm"](new + input_tensor)  # type: ignore[no-any-return]


class BertLayer(nn.Module):
    """Self-attention, cross-attention where there is an encoder to read, feed-forward."""

    def __init__(self, config: BertConfig, index: int) -> None:
        super().__init__()
        self.chunk_size_feed_forward = config.chunk_size_feed_forward
        self.attention = BertAttention(config, index)
        if config.add_cross_attention:
            self.crossattention = BertAttention(config, index, cross=True)
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config)

    def forward(
        self, hidden_states: Tensor, run: Run, encoder_hidden_states: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """New hidden states [..., hidden]; the probabilities of self- and cross-attention where ``run`` asks."""
        parts: Parts = self._modules
        hidden_states, probs = parts["attention"](hidden_states, run)
        cross_probs = None
        if run.cross_step is not None:
            hidden_states, cross_probs = parts["crossattention"](hidden_states, run, encoder_hidden_states)
        if not self.chunk_size_feed_forward:
            return self.feed_forward(hidden_states), probs, cross_probs
        chunks = hidden_states.split(self.chunk_size_feed_forward, dim=-2)
        return torch.cat([self.feed_forward(chunk) for chunk in chunks], dim=-2), probs, cross_probs

    def feed_forward(self, hidden_states: Tensor) -> Tensor:
        """[..., hidden] to [..., hidden], each position by itself."""
        parts: Parts = self._modules
        return parts["output"](parts["intermediate"](hidden_states), hidden_states)  # type: ignore[no-any-return]


class BertEncoder(nn.Module):
    """The stack of layers."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(config, index) for index in range(config.num_hidden_layers))
        self.gradient_checkpointing = False
        self.gradient_checkpointing_options: Mapping[str, Any] = {}

    def forward(
        self,
        hidden_states: Tensor,
        run: Run,
        encoder_hidden_states: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> BaseModelOutputWithCrossAttentions:
        """Run [..., hidden] through all layers, collecting what is asked for."""
        states: list[Tensor] = []
        attentions: list[Tensor] = []
        cross_attentions: list[Tensor] = []
        for layer in self.layer:
            if output_hidden_states:
                states.append(hidden_states)
            hidden_states, probs, cross_probs = run_layer(
                self, layer, hidden_states, run, encoder_hidden_states
            )
            if probs is not None:
                attentions.append(probs)
            if cross_probs is not None:
                cross_attentions.append(cross_probs)
        if output_hidden_states:
            states.append(hidden_states)
        return BaseModelOutputWithCrossAttentions(
            last_hidden_state=hidden_states,
            hidden_states=tuple(states) or None,
            attentions=tuple(attentions) or None,
            cross_attentions=tuple(cross_attentions) or None,
        )


class BertPooler(nn.Module):
    """A vector for the whole sequence: the hidden state of its first real token through a linear map and tanh."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = nn.Tanh()

    def forward(self, hidden_states: Tensor, layout: Layout | None = None) -> Tensor:
        """[batch, hidden] for [batch, length, hidden], or for a packed [tokens, hidden].

        Raises:
            ValueError: the rows have no tokens.
        """
        if hidden_states.shape[-2] == 0:
            raise ValueError("The pooler reads each row's first token, but the input has no tokens.")
        return self.activation(self.dense(_first_tokens(hidden_states, layout)))  # type: ignore[no-any-return]


def _first_tokens(hidden_states: Tensor, layout: Layout | None) -> Tensor:
    if layout is None or (layout.mask is None and not layout.is_packed):
        return hidden_states[:, 0]
    first = layout.first_real()
    if layout.is_packed:
        return hidden_states.index_select(0, first)
    return hidden_states[torch.arange(layout.batch, device=first.device), first]


class BertPreTrainedModel(PreTrainedModel):
    """What the BERT classes share: the configuration, and how stored tensors are named."""

    config_class = BertConfig
    base_model_prefix = "bert"
    key_rules = checkpoint.KEY_RULES
    optional_weights = checkpoint.OPTIONAL_WEIGHTS
    ignored_weights = checkpoint.IGNORED_WEIGHTS

    config: BertConfig

    def _returns_output(self, return_dict: bool | None) -> bool:
        """Whether ``forward`` returns an output object rather than a tuple."""
        return self.config.use_return_dict if return_dict is None else return_dict


class BertModel(BertPreTrainedModel):
    """The bare model: an encoder, or a decoder if ``config.is_decoder``.

    With ``config.add_cross_attention`` the decoder also reads the ``encoder_hidden_states`` it is given.

    Args:
        config: sizes and options.
        add_pooling_layer: whether there is a pooler, for ``pooler_output``.

    Raises:
        ValueError: the configuration asks an encoder for cross-attention.
    """

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        if config.add_cross_attention and not config.is_decoder:
            raise ValueError(
                "config.add_cross_attention=True needs a decoder; set config.is_decoder=True as well."
            )
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config) if add_pooling_layer else None

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings."""
        self.embeddings.word_embeddings = value  # type: ignore[assignment]

    def _prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        for index, heads in heads_to_prune.items():
            layer = self.encoder.layer[index]
            assert isinstance(layer, BertLayer)
            layer.attention.prune_heads(heads)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: Cache | LegacyCache | None = None,
        use_cache: bool | None = None,
        cache_position: Tensor | None = None,
        *,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions | tuple[Any, ...]:
        """Hidden states [batch, length, hidden] and, with a pooler, one vector [batch, hidden] for each row.

        Args:
            input_ids: [batch, length].
            attention_mask: [batch, past + length], 1 where a token is real and 0 where it is padding; or which
                position attends to which, in 3 or 4 dimensions; or a ``Layout``, with which a packed batch takes its
                inputs as [tokens].
            token_type_ids: [batch, length], the segment of each token; all 0 by default.
            position_ids: [batch, length]; by default they count from the first real token of each row.
            inputs_embeds: [batch, length, hidden], in place of ``input_ids``.
            encoder_hidden_states: [batch, source length, hidden], what cross-attention reads.
            encoder_attention_mask: [batch, source length], 1 where a source position is real.
            past_key_values: the cache of earlier calls, with which only the tokens after it are given; nested tuples
                as in transformers 4 are accepted.
            use_cache: whether a decoder keeps its keys and values; by default ``config.use_cache``, but not
                those of a packed batch.
            cache_position: [length], the columns of the given tokens when those in the cache are counted too.
            head_mask: [heads] or [layers, heads], a factor of each head's probabilities.
            output_attentions: whether to return the probabilities.
            output_hidden_states: whether to return the hidden states before and after each layer.
            return_dict: False returns a tuple of what is not None.

        Raises:
            ValueError: a shape does not fit, an id is out of range (looked at on the CPU only), the input is too
                long, or there are encoder states but no cross-attention.
            AttentionUnsupported: the attention chosen by name cannot serve this call.
        """
        config = self.config
        if output_attentions is None:
            output_attentions = config.output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        keep = self._keeps_cache(use_cache, attention_mask)
        cache = self._cache(past_key_values, keep, encoder_hidden_states is not None)
        past = 0 if cache is None else cache.get_seq_length()
        layout = inputs.layout_of(input_ids, inputs_embeds, attention_mask, past)
        source = inputs.source_layout(config, encoder_hidden_states, encoder_attention_mask, cache, layout)
        inputs.check_ids(self.embeddings, input_ids, token_type_ids, position_ids)
        if position_ids is None:
            position_ids = self._positions(layout, past, cache_position)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(position_ids)

        hidden_states = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        run = begin_run(
            self,
            layout,
            source,
            hidden_states,
            cache=cache,
            head_mask=head_mask,
            need_probs=bool(output_attentions),
        )
        encoded = self.encoder(hidden_states, run, encoder_hidden_states, output_hidden_states)
        hidden_states = encoded.last_hidden_state
        pooled = None if self.pooler is None else self.pooler(hidden_states, layout)
        kept_cache = cache if keep else None
        if not self._returns_output(return_dict):
            # A tuple of transformers has the cache in third place, though its output class declares it fourth.
            values = (hidden_states, pooled, kept_cache, *encoded.to_tuple()[1:])
            return tuple(value for value in values if value is not None)
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=hidden_states,
            pooler_output=pooled,
            hidden_states=encoded.hidden_states,
            past_key_values=kept_cache,
            attentions=encoded.attentions,
            cross_attentions=encoded.cross_attentions,
        )

    def _keeps_cache(self, use_cache: bool | None, attention_mask: Tensor | Layout | None) -> bool:
        """Whether this call returns its keys and values.

        Decoders do, unless told otherwise or checkpointed; with a packed batch only if told, which is refused.
        """
        wanted = use_cache
        if wanted is None:
            packed = isinstance(attention_mask, Layout) and attention_mask.is_packed
            wanted = self.config.use_cache and not packed
        if not self.config.is_decoder or not wanted:
            return False
        if self.training and self.encoder.gradient_checkpointing:
            if use_cache:
                warnings.warn(
                    "use_cache=True has no effect under gradient checkpointing.", FormersWarning, stacklevel=4
                )
            return False
        return True

    def _cache(self, past_key_values: Cache | LegacyCache | None, keep: bool, cross: bool) -> Cache | None:
        """The caller's cache, else a new one if the call is to keep its keys and values, else None."""
        if past_key_values is None:
            if not keep:
                return None
            return EncoderDecoderCache(DynamicCache(), DynamicCache()) if cross else DynamicCache()
        if self.training and self.encoder.gradient_checkpointing:
            raise ValueError(
                "past_key_values cannot be used under gradient checkpointing: a layer that runs twice would append "
                "to the cache twice. Call gradient_checkpointing_disable(), or eval()."
            )
        return as_cache(past_key_values, cross=self.config.add_cross_attention)

    def _positions(self, layout: Layout, past: int, cache_position: Tensor | None) -> Tensor:
        """Where each given token stands, counted from the first real token of its row."""
        new = layout.length - past
        inputs.check_length(layout, self.config.max_position_embeddings, cache_position, new)
        if cache_position is not None:
            positions = (cache_position - layout.first_real()[:, None]).clamp_min(0)
        elif layout.is_packed:
            positions = layout.positions()
        elif layout.mask is not None:
            return layout.positions(new)
        else:
            return self.embeddings.position_ids[:, past : layout.length]  # type: ignore[index]
        inputs.check_ids(self.embeddings, None, None, positions)
        return positions
