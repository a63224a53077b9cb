"""BERT: embeddings, a stack of Transformer layers, a pooler (Devlin et al. 2018, arXiv 1810.04805, section 3).

Modules carry the names of the published weights. They take hidden states as [..., hidden]: a padded batch is
[batch, length, hidden], a packed one [tokens, hidden].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from formers.activations import activation
from formers.layout import Layout
from formers.modeling import PreTrainedModel
from formers.modeling.checkpointing import run_layer
from formers.modeling.heads import first_tokens
from formers.modeling.initialisation import default_init_weights, truncated_normal
from formers.modeling.inputs import check_ids, layout_of, positions_of, source_layout
from formers.modeling.layers import Dropout, LayerNorm, Parts
from formers.modeling.runs import Run, begin_run, cache_of, keeps_cache
from formers.outputs import (
    BaseModelOutputWithCrossAttentions,
    BaseModelOutputWithPoolingAndCrossAttentions,
)

from . import checkpoint
from .attention import BertAttention
from .configuration import BertConfig

if TYPE_CHECKING:
    from formers.cache import Cache, LegacyCache

__all__ = ["BertEmbeddings", "BertEncoder", "BertLayer", "BertModel", "BertPooler", "BertPreTrainedModel"]


class BertEmbeddings(nn.Module):
    """The sum of token, segment and position embeddings, normalised (section 3, figure 2)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        positions, width = config.max_position_embeddings, config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(positions, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = LayerNorm(width, eps=config.layer_norm_eps)
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
        parts: Parts = self._modules
        if inputs_embeds is None:
            inputs_embeds = parts["word_embeddings"](input_ids)
        embeddings = inputs_embeds + parts["token_type_embeddings"](token_type_ids)
        if self.adds_positions:
            embeddings = embeddings + parts["position_embeddings"](position_ids)
        return parts["dropout"](parts["LayerNorm"](embeddings))  # type: ignore[no-any-return]


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
        self.LayerNorm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
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
        parts: Parts = self._modules
        return parts["activation"](parts["dense"](first_tokens(hidden_states, layout)))  # type: ignore[no-any-return]


class BertPreTrainedModel(PreTrainedModel):
    """What the BERT classes share: the configuration, and how stored tensors are named."""

    config_class = BertConfig
    base_model_prefix = "bert"
    key_rules = checkpoint.KEY_RULES
    optional_weights = checkpoint.OPTIONAL_WEIGHTS
    ignored_weights = checkpoint.IGNORED_WEIGHTS

    config: BertConfig

    def _init_weights(self, module: nn.Module) -> None:
        """Truncated normal weights, cut at two standard deviations as in the released code of Devlin et al.

        ``config.initializer_range`` is the standard deviation after the cut, so that weights are as large as those of
        the normal distribution which transformers draws from.
        """
        default_init_weights(module, self.config.initializer_range, truncated_normal)


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
        config, encoder, pooler = self.config, self.encoder, self.pooler
        if output_attentions is None:
            output_attentions = config.output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        keep = config.is_decoder and keeps_cache(encoder, use_cache, config.use_cache, attention_mask)
        crosses = config.add_cross_attention
        cache = cache_of(
            self.encoder, past_key_values, keep=keep, source=encoder_hidden_states, crosses=crosses
        )
        layout = layout_of(input_ids, inputs_embeds, attention_mask, cache)
        source = source_layout(encoder_hidden_states, encoder_attention_mask, cache, layout, crosses=crosses)
        position_ids = self._check_ids(
            input_ids, token_type_ids, position_ids, inputs_embeds, layout, cache, cache_position
        )
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(position_ids)
        hidden_states = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        run = self._begin_run(layout, source, hidden_states, cache, head_mask, bool(output_attentions))
        encoded = encoder(hidden_states, run, encoder_hidden_states, output_hidden_states)
        hidden_states = encoded.last_hidden_state
        pooled = None if pooler is None else pooler(hidden_states, layout)
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

    def _begin_run(
        self,
        layout: Layout,
        source: Layout | None,
        hidden_states: Tensor,
        cache: Cache | None,
        head_mask: Tensor | None,
        need_probs: bool,
    ) -> Run:
        config = self.config
        relative = config.position_embedding_type != "absolute"
        if layout.is_packed and relative:
            raise ValueError(
                f"A packed batch needs absolute positions, not {config.position_embedding_type!r}."
            )
        return begin_run(
            self,
            layout,
            source,
            hidden_states,
            causal=config.is_decoder,
            dropout=config.attention_probs_dropout_prob,
            cache=cache,
            head_mask=head_mask,
            need_probs=need_probs,
            bias="" if not relative else "bias_grad" if torch.is_grad_enabled() else "bias",
        )

    def _check_ids(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        layout: Layout,
        cache: Cache | None,
        cache_position: Tensor | None,
    ) -> Tensor:
        """Refuse ids that have no embedding; the positions, counted from each row's first real token by default."""
        embeddings = self.embeddings
        check_ids("input_ids", input_ids, embeddings.word_embeddings, "vocab_size")
        check_ids("token_type_ids", token_type_ids, embeddings.token_type_embeddings, "type_vocab_size")
        if position_ids is not None:
            check_ids("position_ids", position_ids, embeddings.position_embeddings, "max_position_embeddings")
            return position_ids
        given = inputs_embeds[..., 0] if input_ids is None and inputs_embeds is not None else input_ids
        assert given is not None
        return positions_of(
            layout,
            given.shape[-1],
            embeddings.position_ids,  # type: ignore[arg-type]
            "max_position_embeddings",
            cache=cache,
            cache_position=cache_position,
        )
