"""GPT-2: embeddings, a stack of decoder layers, a final norm (Radford et al. 2019, section 2.3).

Modules carry the names of the published weights. They take hidden states as [..., hidden]: a padded batch is
[batch, length, hidden], a packed one [tokens, hidden].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from formers.activations import activation
from formers.cache import as_cache
from formers.layout import Layout
from formers.modeling import PreTrainedModel
from formers.modeling.checkpointing import run_layer
from formers.modeling.inputs import check_ids, documents_of, layout_of, positions_of, source_layout
from formers.modeling.layers import Dropout, LayerNorm, Parts
from formers.modeling.packing import pack_inputs, packed_layout, unpack_states
from formers.modeling.runs import Run, begin_run, cache_of, keeps_cache
from formers.outputs import BaseModelOutputWithPastAndCrossAttentions

from . import checkpoint
from .attention import GPT2Attention, GPT2CrossAttention
from .configuration import GPT2Config
from .layers import Conv1D

if TYPE_CHECKING:
    from formers.cache import Cache, LegacyCache

__all__ = ["GPT2MLP", "GPT2Block", "GPT2Model", "GPT2PreTrainedModel"]


class GPT2MLP(nn.Module):
    """The feed-forward block: a linear map, the activation, a linear map back."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = Conv1D(config.inner_size, config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.inner_size, init_scale=(2 * config.n_layer) ** -0.5)
        self.act = activation(config.activation_function)
        self.dropout = Dropout(config.resid_pdrop)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[..., hidden] to [..., hidden], each position by itself."""
        parts: Parts = self._modules
        inner = self.act(parts["c_fc"](hidden_states))
        return parts["dropout"](parts["c_proj"](inner))  # type: ignore[no-any-return]


class GPT2Block(nn.Module):
    """Attention, cross-attention where there is an encoder to read, feed-forward; each on a normalised input."""

    def __init__(self, config: GPT2Config, index: int) -> None:
        super().__init__()
        width, epsilon = config.n_embd, config.layer_norm_epsilon
        self.ln_1 = LayerNorm(width, eps=epsilon)
        self.attn = GPT2Attention(config, index)
        self.ln_2 = LayerNorm(width, eps=epsilon)
        if config.add_cross_attention:
            self.crossattention = GPT2CrossAttention(config, index)
            self.ln_cross_attn = LayerNorm(width, eps=epsilon)
        self.mlp = GPT2MLP(config)

    def forward(
        self, hidden_states: Tensor, run: Run, encoder_hidden_states: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """New hidden states [..., hidden]; the probabilities of self- and cross-attention where ``run`` asks."""
        parts: Parts = self._modules
        new, probs = parts["attn"](parts["ln_1"](hidden_states), run)
        hidden_states = hidden_states + new
        cross_probs = None
        if run.cross_step is not None:
            new, cross_probs = parts["crossattention"](
                parts["ln_cross_attn"](hidden_states), run, encoder_hidden_states
            )
            hidden_states = hidden_states + new
        return hidden_states + parts["mlp"](parts["ln_2"](hidden_states)), probs, cross_probs


class GPT2PreTrainedModel(PreTrainedModel):
    """What the GPT-2 classes share: the configuration, and how stored tensors are named."""

    config_class = GPT2Config
    base_model_prefix = "transformer"
    key_rules = checkpoint.KEY_RULES
    optional_weights = checkpoint.OPTIONAL_WEIGHTS
    ignored_weights = checkpoint.IGNORED_WEIGHTS

    config: GPT2Config

    def _init_weights(self, module: nn.Module) -> None:
        """Maps that end in the residual stream begin smaller, by the root of their number (section 2.3)."""
        if isinstance(module, Conv1D):
            nn.init.normal_(module.weight, std=self.config.initializer_range * module.init_scale)
            nn.init.zeros_(module.bias)
        else:
            super()._init_weights(module)

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
        return packed_layout(
            self,
            layout_of(
                input_ids,
                inputs_embeds,
                documents_of(position_ids, attention_mask, rows, cache, causal=True),
                cache,
            ),
            needs=("causal",),
            cache=cache,
            need_probs=bool(config.output_attentions if output_attentions is None else output_attentions),
            head_mask=head_mask,
        )


class GPT2Model(GPT2PreTrainedModel):
    """The bare model. With ``config.add_cross_attention`` it also reads the ``encoder_hidden_states`` it is given."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = Dropout(config.embd_pdrop)
        self.h = nn.ModuleList(GPT2Block(config, index) for index in range(config.n_layer))
        self.ln_f = LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.register_buffer("numbers", torch.arange(config.n_positions)[None], persistent=False)
        self.gradient_checkpointing = False
        self.gradient_checkpointing_options: Mapping[str, Any] = {}

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings."""
        return self.wte

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings."""
        self.wte = value  # type: ignore[assignment]

    def _prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        for index, heads in heads_to_prune.items():
            layer = self.h[index]
            assert isinstance(layer, GPT2Block)
            layer.attn.prune_heads(heads)

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | LegacyCache | None = None,
        attention_mask: Tensor | Layout | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        use_cache: bool | None = None,
        *,
        cache_position: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutputWithPastAndCrossAttentions | tuple[Any, ...]:
        """Hidden states [batch, length, hidden].

        Args:
            input_ids: [batch, length].
            past_key_values: the cache of earlier calls, with which only the tokens after it are given; nested tuples
                as in transformers 4 are accepted.
            attention_mask: [batch, past + length], 1 where a token is real and 0 where it is padding; or which
                position attends to which, in 3 or 4 dimensions; or a ``Layout``, with which a packed batch takes its
                inputs as [tokens] or [1, tokens].
            token_type_ids: [batch, length], tokens whose embeddings are added to those of ``input_ids``.
            position_ids: [batch, length]; by default they count from the first real token of each row. In a single row
                without mask and cache, positions that begin with 0 again tell documents apart.
            inputs_embeds: [batch, length, hidden], in place of ``input_ids``.
            encoder_hidden_states: [batch, source length, hidden], what cross-attention reads.
            encoder_attention_mask: [batch, source length], 1 where a source position is real.
            use_cache: whether keys and values are kept; by default ``config.use_cache``, but not those of a packed
                batch.
            cache_position: [length], the columns of the given tokens when those in the cache are counted too.
            head_mask: [heads] or [layers, heads], a factor of each head's probabilities.
            output_attentions: whether to return the probabilities.
            output_hidden_states: whether to return the hidden states before and after each layer, the last normalised.
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
        crosses = config.add_cross_attention
        cache = as_cache(past_key_values, cross=crosses)
        layout = self._layout(
            input_ids, inputs_embeds, attention_mask, position_ids,
            cache=cache, head_mask=head_mask, output_attentions=output_attentions,
        )  # fmt: skip
        keep = keeps_cache(self, use_cache, config.use_cache, layout)
        cache = cache_of(self, cache, keep=keep, source=encoder_hidden_states, crosses=crosses)
        source = source_layout(encoder_hidden_states, encoder_attention_mask, cache, layout, crosses=crosses)
        hidden_states = self._embed(
            input_ids, token_type_ids, position_ids, inputs_embeds, layout, cache, cache_position
        )
        run = begin_run(
            self,
            layout,
            source,
            hidden_states,
            causal=True,
            dropout=config.attn_pdrop,
            cache=cache,
            head_mask=head_mask,
            need_probs=bool(output_attentions),
            cross_head_mask=head_mask,
        )
        output = self._run_layers(hidden_states, run, encoder_hidden_states, bool(output_hidden_states))
        output.past_key_values = cache if keep else None
        if layout is not attention_mask:  # else the caller packed the batch, and wants it so
            assert output.last_hidden_state is not None
            output.last_hidden_state = layout.unpack(output.last_hidden_state)
            output.hidden_states = unpack_states(layout, output.hidden_states)
        return output if self._returns_output(return_dict) else output.to_tuple()

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
        """The sum of the embeddings of tokens, positions and token types, [..., hidden]."""
        parts: Parts = self._modules
        tokens = parts["wte"]
        check_ids("input_ids", input_ids, tokens, "vocab_size")
        check_ids("token_type_ids", token_type_ids, tokens, "vocab_size")
        if position_ids is None:
            given = inputs_embeds[..., 0] if input_ids is None and inputs_embeds is not None else input_ids
            assert given is not None
            position_ids = positions_of(
                layout.arranged,
                given.shape[-1],
                self.numbers,  # type: ignore[arg-type]
                "n_positions",
                cache=cache,
                cache_position=cache_position,
            )
        else:
            check_ids("position_ids", position_ids, parts["wpe"], "n_positions")
        input_ids, token_type_ids, position_ids, inputs_embeds = pack_inputs(
            layout, input_ids=input_ids, token_type_ids=token_type_ids, position_ids=position_ids,
            inputs_embeds=inputs_embeds,
        )  # fmt: skip
        if inputs_embeds is None:
            inputs_embeds = tokens(input_ids)
        hidden_states = inputs_embeds + parts["wpe"](position_ids)
        if token_type_ids is not None:
            hidden_states = hidden_states + tokens(token_type_ids)
        return parts["drop"](hidden_states)  # type: ignore[no-any-return]

    def _run_layers(
        self,
        hidden_states: Tensor,
        run: Run,
        encoder_hidden_states: Tensor | None,
        output_hidden_states: bool,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Run [..., hidden] through all layers and the final norm, collecting what is asked for."""
        states: list[Tensor] = []
        attentions: list[Tensor] = []
        cross_attentions: list[Tensor] = []
        for layer in self.h:
            if output_hidden_states:
                states.append(hidden_states)
            hidden_states, probs, cross_probs = run_layer(
                self, layer, hidden_states, run, encoder_hidden_states
            )
            if probs is not None:
                attentions.append(probs)
            if cross_probs is not None:
                cross_attentions.append(cross_probs)
        hidden_states = self.ln_f(hidden_states)
        if output_hidden_states:
            states.append(hidden_states)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=hidden_states,
            hidden_states=tuple(states) or None,
            attentions=tuple(attentions) or None,
            cross_attentions=tuple(cross_attentions) or None,
        )
