"""BERT: embeddings, a stack of Transformer layers, a pooler (Devlin et al. 2018, arXiv 1810.04805, section 3).

Modules carry the names of the published weights. They take hidden states as [..., hidden]: a padded batch is
[batch, length, hidden], a packed one [tokens, hidden].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from formers.cache import as_cache
from formers.layout import Layout
from formers.modeling import PreTrainedModel
from formers.modeling.checkpointing import run_layer
from formers.modeling.initialisation import default_init_weights, truncated_normal
from formers.modeling.inputs import check_ids, documents_of, layout_of, positions_of, source_layout
from formers.modeling.packing import pack_inputs, packed_layout, unpack_states
from formers.modeling.runs import Run, begin_run, cache_of, keeps_cache
from formers.outputs import (
    BaseModelOutputWithCrossAttentions,
    BaseModelOutputWithPoolingAndCrossAttentions,
)

from . import checkpoint
from .blocks import BertEmbeddings, BertLayer, BertPooler
from .configuration import BertConfig

if TYPE_CHECKING:
    from formers.cache import Cache, LegacyCache

__all__ = ["BertEmbeddings", "BertEncoder", "BertLayer", "BertModel", "BertPooler", "BertPreTrainedModel"]


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

    def _layout(
        self,
        input_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        attention_mask: Tensor | Layout | None,
        position_ids: Tensor | None,
        *,
        cache: Cache | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
    ) -> Layout:
        """How the layers shall see a call: without its padding, where that is faster."""
        config = self.config
        given = inputs_embeds if input_ids is None else input_ids
        rows = 0 if given is None else given.shape[0]
        attention_mask = documents_of(position_ids, attention_mask, rows, cache, causal=config.is_decoder)
        relative = config.position_embedding_type != "absolute"
        return packed_layout(
            self,
            layout_of(input_ids, inputs_embeds, attention_mask, cache),
            needs=("causal",) if config.is_decoder else (),
            cache=cache,
            need_probs=bool(config.output_attentions if output_attentions is None else output_attentions),
            head_mask=head_mask,
            refused="relative positions are made for padded rows" if relative else "",
        )


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
                inputs as [tokens] or [1, tokens].
            token_type_ids: [batch, length], the segment of each token; all 0 by default.
            position_ids: [batch, length]; by default they count from the first real token of each row. In a single row
                without mask and cache, positions that begin with 0 again tell documents apart.
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
        crosses = config.add_cross_attention
        cache = as_cache(past_key_values, cross=crosses)
        layout = self._layout(
            input_ids, inputs_embeds, attention_mask, position_ids,
            cache=cache, head_mask=head_mask, output_attentions=output_attentions,
        )  # fmt: skip
        keep = config.is_decoder and keeps_cache(encoder, use_cache, config.use_cache, layout)
        cache = cache_of(encoder, cache, keep=keep, source=encoder_hidden_states, crosses=crosses)
        source = source_layout(encoder_hidden_states, encoder_attention_mask, cache, layout, crosses=crosses)
        hidden_states = self._embed(
            input_ids, token_type_ids, position_ids, inputs_embeds, layout, cache, cache_position
        )
        run = self._begin_run(layout, source, hidden_states, cache, head_mask, bool(output_attentions))
        encoded = encoder(hidden_states, run, encoder_hidden_states, output_hidden_states)
        hidden_states = encoded.last_hidden_state
        pooled = None if pooler is None else pooler(hidden_states, layout)
        if layout is not attention_mask:  # else the caller packed the batch, and wants it so
            hidden_states = layout.unpack(hidden_states)
            encoded.last_hidden_state = hidden_states
            encoded.hidden_states = unpack_states(layout, encoded.hidden_states)
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
            cross_head_mask=head_mask,
            bias="" if not relative else "bias_grad" if torch.is_grad_enabled() else "bias",
        )

    def _embed(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        layout: Layout,
        cache: Cache | None,
        cache_position: Tensor | None,
    ) -> Tensor:
        """What enters the first layer: [..., hidden], laid out as ``layout``."""
        positions = self._check_ids(
            input_ids, token_type_ids, position_ids, inputs_embeds, layout.arranged, cache, cache_position
        )
        input_ids, token_type_ids, position_ids, inputs_embeds = pack_inputs(
            layout,
            input_ids=input_ids,
            token_type_ids=token_type_ids,
            position_ids=positions,
            inputs_embeds=inputs_embeds,
        )
        if token_type_ids is None:
            assert position_ids is not None
            token_type_ids = torch.zeros_like(position_ids)
        return self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)  # type: ignore[no-any-return]

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
