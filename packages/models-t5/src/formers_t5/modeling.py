"""T5: an encoder and a decoder over one vocabulary (Raffel et al. 2020, arXiv 1910.10683, section 2.1).

Modules carry the names of the published weights. They take hidden states as [..., hidden]: a padded batch is
[batch, length, hidden], a packed one [tokens, hidden].

In float16 the sums along the layers are kept in float32, and so are the weights named in ``float32_weights``: those of
the published models overflow otherwise.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from formers.layout import Layout
from formers.modeling import PreTrainedModel
from formers.modeling.checkpointing import run_layer
from formers.modeling.inputs import check_ids, layout_of, source_layout
from formers.modeling.layers import Dropout, Parts
from formers.modeling.packing import pack_inputs, packed_layout, unpack_states
from formers.modeling.runs import Run, begin_run, cache_of, keeps_cache
from formers.outputs import BaseModelOutput, BaseModelOutputWithPastAndCrossAttentions

from . import checkpoint
from .attention import PositionBias, bucket_table
from .blocks import T5Block
from .configuration import T5Config
from .layers import T5LayerNorm

if TYPE_CHECKING:
    from formers.attention.contract import AttentionPass
    from formers.cache import Cache, LegacyCache

__all__ = ["T5EncoderModel", "T5PreTrainedModel", "T5Stack", "decoder_of", "encoder_of"]


class T5PreTrainedModel(PreTrainedModel):
    """What the T5 classes share: the configuration, and how stored tensors are named."""

    config_class = T5Config
    base_model_prefix = "transformer"
    key_rules = checkpoint.KEY_RULES
    optional_weights = checkpoint.OPTIONAL_WEIGHTS
    ignored_weights: ClassVar[tuple[str, ...]] = checkpoint.IGNORED_WEIGHTS
    float32_weights = (r"\.DenseReluDense\.wo\.weight$",)

    config: T5Config

    def _init_weights(self, module: nn.Module) -> None:
        """Each map by the width that it sums over, times ``config.initializer_factor``, as in Mesh TensorFlow."""
        factor = self.config.initializer_factor
        if isinstance(module, T5LayerNorm):
            nn.init.constant_(module.weight, factor)
        elif isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=factor * getattr(module, "init_std", 1.0))
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def _ties(self) -> Mapping[str, str]:
        # Whatever config.tie_word_embeddings: a checkpoint with a head of its own stores it, and keeps it.
        return self.tied_weights


class T5Stack(T5PreTrainedModel):
    """The encoder, or the decoder: embeddings, layers, a final norm.

    Args:
        config: of the stack: ``num_layers`` are its own, ``is_decoder`` says which it is.
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.is_decoder = config.is_decoder
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.block = nn.ModuleList(T5Block(config, index) for index in range(config.num_layers))
        self.final_layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = Dropout(config.dropout_rate)
        both_sides = not config.is_decoder
        self.register_buffer("buckets", bucket_table(config, both_sides=both_sides), persistent=False)
        self.gradient_checkpointing = False
        self.gradient_checkpointing_options: Mapping[str, Any] = {}

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings."""
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings."""
        self.embed_tokens = value  # type: ignore[assignment]

    def _prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        for index, heads in heads_to_prune.items():
            self.block[index].layer[0].SelfAttention.prune_heads(heads)  # type: ignore[union-attr, index]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | Layout | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values: Cache | LegacyCache | None = None,
        use_cache: bool | None = None,
        *,
        head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutputWithPastAndCrossAttentions | tuple[Any, ...]:
        """Hidden states [batch, length, hidden].

        Args:
            input_ids: [batch, length].
            attention_mask: [batch, past + length], 1 where a token is real and 0 where it is padding; or which
                position attends to which, in 3 or 4 dimensions; or a ``Layout``, with which a packed batch takes its
                inputs as [tokens] or [1, tokens].
            encoder_hidden_states: [batch, source length, hidden], what cross-attention reads.
            encoder_attention_mask: [batch, source length], 1 where a source position is real; or its ``Layout``.
            inputs_embeds: [batch, length, hidden], in place of ``input_ids``.
            past_key_values: the cache of earlier calls, with which only the tokens after it are given.
            use_cache: whether keys and values are kept; by default ``config.use_cache`` in a decoder.
            head_mask: [heads] or [layers, heads], a factor of each head's probabilities.
            cross_attn_head_mask: the same for cross-attention.
            output_attentions: whether to return the probabilities.
            output_hidden_states: whether to return the hidden states before and after each layer, the last normalised.
            return_dict: False returns a tuple of what is not None.

        Raises:
            ValueError: a shape does not fit, or an id is out of range (looked at on the CPU only).
            AttentionUnsupported: the attention chosen by name cannot serve this call.
        """
        config = self.config
        if output_attentions is None:
            output_attentions = config.output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        keep = keeps_cache(self, use_cache, config.use_cache and self.is_decoder, attention_mask)
        cache = cache_of(
            self, past_key_values, keep=keep, source=encoder_hidden_states, crosses=self.is_decoder
        )
        layout = self.layout(
            input_ids, inputs_embeds, attention_mask,
            cache=cache, head_mask=head_mask, output_attentions=output_attentions,
        )  # fmt: skip
        source = source_layout(
            encoder_hidden_states, encoder_attention_mask, cache, layout, crosses=self.is_decoder
        )
        check_ids(f"{self._prefix}input_ids", input_ids, self.embed_tokens, "vocab_size")
        input_ids, inputs_embeds = pack_inputs(layout, input_ids=input_ids, inputs_embeds=inputs_embeds)
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        weight = self._bias_weight()
        run = begin_run(
            self,
            layout,
            source,
            inputs_embeds,
            causal=self.is_decoder,
            dropout=config.dropout_rate,
            cache=cache,
            head_mask=head_mask,
            need_probs=bool(output_attentions),
            cross_head_mask=cross_attn_head_mask,
            bias=_need(weight),
            make_bias=None if weight is None else partial(self._bias, weight, cache),
        )
        output = self._run_layers(inputs_embeds, run, encoder_hidden_states, bool(output_hidden_states))
        output.past_key_values = cache if keep else None
        if layout is not attention_mask:  # else the caller packed the batch, and wants it so
            assert output.last_hidden_state is not None
            output.last_hidden_state = layout.unpack(output.last_hidden_state)
            output.hidden_states = unpack_states(layout, output.hidden_states)
        return output if self._returns_output(return_dict) else output.to_tuple()

    @property
    def _prefix(self) -> str:
        return "decoder_" if self.is_decoder else ""

    def layout(
        self,
        input_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        attention_mask: Tensor | Layout | None,
        *,
        cache: Cache | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
    ) -> Layout:
        """How the layers shall see a call: without its padding, where that is faster."""
        config = self.config
        return packed_layout(
            self,
            layout_of(input_ids, inputs_embeds, attention_mask, cache, prefix=self._prefix),
            needs=("causal", "bias") if self.is_decoder else ("bias",),
            cache=cache,
            need_probs=bool(config.output_attentions if output_attentions is None else output_attentions),
            head_mask=head_mask,
            gaps=False,
        )

    def _bias_weight(self) -> Tensor | None:
        """The bias of each bucket and head; None for a stack without layers."""
        blocks: Parts = self._modules["block"]._modules  # type: ignore[union-attr]
        return blocks["0"].bias_weight() if blocks else None

    def _bias(self, weight: Tensor, cache: Cache | None, step: AttentionPass) -> PositionBias:
        low = self.config.relative_attention_max_distance
        cursor = None if cache is None else cache.cursor
        return PositionBias(weight, self.buckets, low, 0 if self.is_decoder else low, cursor, step)  # type: ignore[arg-type]

    def _run_layers(
        self,
        inputs_embeds: Tensor,
        run: Run,
        encoder_hidden_states: Tensor | None,
        output_hidden_states: bool,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Run [..., hidden] through all layers and the final norm, collecting what is asked for."""
        if inputs_embeds.dtype == torch.float16:
            inputs_embeds = inputs_embeds.float()
        hidden_states = self.dropout(inputs_embeds)
        # Reentrant checkpointing frees the graph of what it uses but was not given, after the first layer.
        own_bias = bool(
            self.gradient_checkpointing and self.gradient_checkpointing_options.get("use_reentrant")
        )
        states: list[Tensor] = []
        attentions: list[Tensor] = []
        cross_attentions: list[Tensor] = []
        for layer in self.block:
            if output_hidden_states:
                states.append(hidden_states)
            hidden_states, probs, cross_probs = run_layer(
                self, layer, hidden_states, run, encoder_hidden_states, own_bias
            )
            if probs is not None:
                attentions.append(probs)
            if cross_probs is not None:
                cross_attentions.append(cross_probs)
        hidden_states = self.dropout(self.final_layer_norm(hidden_states))
        if output_hidden_states:
            states.append(hidden_states)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=hidden_states,
            hidden_states=tuple(states) or None,
            attentions=tuple(attentions) or None,
            cross_attentions=tuple(cross_attentions) or None,
        )


def _need(weight: Tensor | None) -> str:
    """What a position bias of this weight needs of attention."""
    if weight is None:
        return ""
    return "bias_grad" if weight.requires_grad and torch.is_grad_enabled() else "bias"


def encoder_of(config: T5Config) -> T5Stack:
    """The encoder that a configuration describes; the stack has a copy of it."""
    own = copy.deepcopy(config)
    own.is_decoder, own.use_cache = False, False
    return T5Stack(own)


def decoder_of(config: T5Config) -> T5Stack:
    """The decoder that a configuration describes; its copy has the decoder's number of layers, and no pruned heads."""
    own = copy.deepcopy(config)
    own.is_decoder = True
    own.num_layers = config.num_layers if config.num_decoder_layers is None else config.num_decoder_layers
    own.pruned_heads = {}
    return T5Stack(own)


class T5EncoderModel(T5PreTrainedModel):
    """The encoder alone."""

    tied_weights = checkpoint.TIED_ENCODER
    ignored_weights = checkpoint.IGNORED_WEIGHTS_OF_ENCODER

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = encoder_of(config)

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings."""
        return self.shared

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings."""
        self.shared = value  # type: ignore[assignment]
        self.encoder.set_input_embeddings(value)

    def get_encoder(self) -> T5Stack:
        """The encoder."""
        return self.encoder

    def _prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        self.encoder._prune_heads(heads_to_prune)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        inputs_embeds: Tensor | None = None,
        *,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutput | tuple[Any, ...]:
        """Hidden states [batch, length, hidden]; the arguments are those of :meth:`T5Stack.forward`."""
        outputs = self.encoder(
            input_ids,
            attention_mask,
            inputs_embeds=inputs_embeds,
            head_mask=head_mask,
            output_attentions=self.config.output_attentions
            if output_attentions is None
            else output_attentions,
            output_hidden_states=(
                self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
            ),
            return_dict=True,
        )
        output = BaseModelOutput(
            last_hidden_state=outputs.last_hidden_state,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        return output if self._returns_output(return_dict) else output.to_tuple()
