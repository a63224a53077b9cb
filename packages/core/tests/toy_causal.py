"""A small decoder for the core's own tests of generation: absolute positions, a cache, a language-model head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.cache import DynamicCache
from formers.config import PreTrainedConfig, field
from formers.generation.mixin import GenerationMixin
from formers.layout import Layout
from formers.modeling import PreTrainedModel
from formers.outputs import CausalLMOutputWithCrossAttentions


class ToyCausalConfig(PreTrainedConfig):
    model_type = "toy_causal"
    vocab_size: int = field(24, minimum=1)
    hidden_size: int = field(16, minimum=1)
    num_hidden_layers: int = field(2, minimum=0, maximum=1000)
    num_attention_heads: int = field(2, minimum=1)
    max_position_embeddings: int = field(64, minimum=1)
    initializer_range: float = 0.4
    use_cache: bool = True


class ToyCausalLayer(nn.Module):
    def __init__(self, config: ToyCausalConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(
        self, hidden_states: Tensor, attend: Any, step: Any, cache: Any
    ) -> tuple[Tensor, Tensor | None]:
        q, k, v = (
            part.reshape(-1, self.heads, self.head_dim) for part in self.qkv(hidden_states).chunk(3, -1)
        )
        context, probs = attend(q, k, v, step, scale=self.head_dim**-0.5, cache=cache)
        return self.norm(hidden_states + self.dense(context.reshape(hidden_states.shape))), probs


class ToyForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = ToyCausalConfig
    base_model_prefix = "toy"

    def __init__(self, config: ToyCausalConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.layers = nn.ModuleList(ToyCausalLayer(config) for _ in range(config.num_hidden_layers))
        self.head = nn.Linear(config.hidden_size, config.vocab_size)

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
    ) -> CausalLMOutputWithCrossAttentions:
        hidden = self.embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        batch, new = hidden.shape[:2]
        cache = past_key_values
        if cache is None and use_cache:
            cache = DynamicCache()
        past = 0 if cache is None else cache.get_seq_length()
        key = Layout.from_attention_mask(attention_mask, batch, past + new, new, device=hidden.device)
        query = key if past == 0 else Layout.padded(batch, new, device=hidden.device)
        if position_ids is None:
            position_ids = key.positions(new)
        hidden = hidden + self.positions(position_ids)
        attend, step = self._attending.begin(
            query, key, device=hidden.device, dtype=hidden.dtype, training=self.training,
            causal=True, cached=cache is not None, need_probs=output_attentions,
        )  # fmt: skip
        states, attentions = [hidden], []
        for index, layer in enumerate(self.layers):
            hidden, probs = layer(hidden, attend, step, None if cache is None else cache.layer(index))
            states.append(hidden)
            attentions.append(probs)
        return CausalLMOutputWithCrossAttentions(
            logits=self.head(hidden[:, -logits_to_keep:]),
            past_key_values=cache,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
        )


def toy_causal(seed: int = 0, **settings: Any) -> ToyForCausalLM:
    """A toy decoder with random weights that differ enough for tokens to differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ToyForCausalLM(ToyCausalConfig(**settings)).eval()
