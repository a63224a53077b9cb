"""Example: embeddings, a stack of decoder layers, a final norm, and a head that predicts the next token.

Modules take hidden states as [..., hidden]: a padded batch is [batch, length, hidden], a packed one [tokens, hidden].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from formers.generation.mixin import GenerationMixin
from formers.layout import Layout
from formers.losses import ItemCount, LossTerm, next_token_term, with_loss
from formers.modeling import PreTrainedModel
from formers.modeling.checkpointing import run_layer
from formers.modeling.heads import kept_positions
from formers.modeling.inputs import check_ids, layout_of, positions_of
from formers.modeling.runs import Run, begin_run, cache_of, keeps_cache
from formers.outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from .configuration import ExampleConfig

if TYPE_CHECKING:
    from formers.cache import Cache

__all__ = ["ExampleForCausalLM", "ExampleModel"]


class ExampleAttention(nn.Module):
    """Every position attends to itself and the positions before it."""

    def __init__(self, config: ExampleConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads = config.num_attention_heads
        self.scale = (config.hidden_size // self.heads) ** -0.5
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.out = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor, run: Run) -> tuple[Tensor, Tensor | None]:
        """[..., hidden] for [..., hidden], and the probabilities if ``run`` asks.

        Which positions may be read, where the cache is, and which implementation computes, all layers find in ``run``.
        """
        tokens = hidden_states.shape[:-1].numel()
        maps = (self.query, self.key, self.value)
        query, key, value = (part(hidden_states).view(tokens, self.heads, -1) for part in maps)
        cache = None if run.cache is None else run.cache.layer(self.layer)
        context, probs = run.attend(query, key, value, run.step, scale=self.scale, cache=cache)
        return self.out(context.reshape(hidden_states.shape)), probs


class ExampleBlock(nn.Module):
    """Attention and feed-forward, each on a normalised input and added to it."""

    def __init__(self, config: ExampleConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = ExampleAttention(config, layer)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.hidden_size, config.intermediate_size),
            nn.GELU(),
            nn.Linear(config.intermediate_size, config.hidden_size),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden_states: Tensor, run: Run) -> tuple[Tensor, Tensor | None]:
        """New hidden states [..., hidden], and the probabilities if ``run`` asks."""
        new, probs = self.attention(self.attention_norm(hidden_states), run)
        hidden_states = hidden_states + self.dropout(new)
        new = self.feed_forward(self.feed_forward_norm(hidden_states))
        return hidden_states + self.dropout(new), probs


class ExamplePreTrainedModel(PreTrainedModel):
    """What the classes share."""

    config_class = ExampleConfig
    base_model_prefix = "model"

    config: ExampleConfig


class ExampleModel(ExamplePreTrainedModel):
    """The bare model."""

    def __init__(self, config: ExampleConfig) -> None:
        super().__init__(config)
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(ExampleBlock(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        numbers = torch.arange(config.max_position_embeddings)[None]
        self.register_buffer("numbers", numbers, persistent=False)
        self.gradient_checkpointing = False
        self.gradient_checkpointing_options: Mapping[str, Any] = {}

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings."""
        return self.tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings."""
        self.tokens = value  # type: ignore[assignment]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        *,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutputWithPast | tuple[Any, ...]:
        """Hidden states [batch, length, hidden].

        Args:
            input_ids: [batch, length].
            attention_mask: [batch, past + length], 1 where a token is real and 0 where it is padding.
            position_ids: [batch, length]; by default they count from the first real token of each row.
            past_key_values: the cache of earlier calls, with which only the tokens after it are given.
            inputs_embeds: [batch, length, hidden], in place of ``input_ids``.
            use_cache: whether keys and values are kept; by default ``config.use_cache``.
            output_attentions: whether to return the probabilities.
            output_hidden_states: whether to return the hidden states before and after each layer.
            return_dict: False returns a tuple of what is not None.
        """
        config = self.config
        if output_attentions is None:
            output_attentions = config.output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        keep = keeps_cache(self, use_cache, config.use_cache, attention_mask)
        cache = cache_of(self, past_key_values, keep=keep, source=None, crosses=False)
        layout = layout_of(input_ids, inputs_embeds, attention_mask, cache)
        if inputs_embeds is None:
            check_ids("input_ids", input_ids, self.tokens, "vocab_size")
            inputs_embeds = self.tokens(input_ids)
        if position_ids is None:
            numbers: Tensor = self.numbers  # type: ignore[assignment]
            new = inputs_embeds.shape[-2]
            position_ids = positions_of(layout, new, numbers, "max_position_embeddings", cache=cache)
        check_ids("position_ids", position_ids, self.positions, "max_position_embeddings")
        hidden_states = self.dropout(inputs_embeds + self.positions(position_ids))
        run = begin_run(
            self,
            layout,
            None,
            hidden_states,
            causal=True,
            dropout=config.dropout,
            cache=cache,
            head_mask=None,
            need_probs=bool(output_attentions),
        )
        states: list[Tensor] = []
        attentions: list[Tensor] = []
        for layer in self.layers:
            states.append(hidden_states)
            hidden_states, probs = run_layer(self, layer, hidden_states, run)
            if probs is not None:
                attentions.append(probs)
        hidden_states = self.norm(hidden_states)
        output = BaseModelOutputWithPast(
            last_hidden_state=hidden_states,
            past_key_values=cache if keep else None,
            hidden_states=(*states, hidden_states) if output_hidden_states else None,
            attentions=tuple(attentions) or None,
        )
        return output if self._returns_output(return_dict) else output.to_tuple()


class ExampleForCausalLM(ExamplePreTrainedModel, GenerationMixin):
    """The model with a head that scores the next token."""

    tied_weights: ClassVar[dict[str, str]] = {"lm_head.weight": "model.tokens.weight"}

    def __init__(self, config: ExampleConfig) -> None:
        super().__init__(config)
        self.model = ExampleModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def get_output_embeddings(self) -> nn.Module:
        """The layer that scores the tokens."""
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the layer that scores the tokens."""
        self.lm_head = value  # type: ignore[assignment]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        *,
        num_items_in_batch: ItemCount | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Scores of the next token at each position, and their loss if labels are given.

        Args:
            labels: [batch, length], usually the ``input_ids``; position i is judged by label i + 1. -100 is no label.
            logits_to_keep: 0 for the scores of all positions, n for those of the last n, or the positions wanted.
            num_items_in_batch: the number of predicted tokens, to divide the sum by instead of their count here.
        """
        layout = layout_of(input_ids, inputs_embeds, attention_mask, past_key_values)
        outputs = self.model(
            input_ids,
            layout,
            position_ids,
            past_key_values,
            inputs_embeds,
            use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        kept = kept_positions(logits_to_keep)
        logits = self.lm_head(outputs.last_hidden_state[..., kept, :])
        terms: dict[str, LossTerm] = {}
        if labels is not None:
            terms["next_token"] = next_token_term(logits, labels, layout, kept)
        output = CausalLMOutputWithPast(
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))
