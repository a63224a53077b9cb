"""A small decoder with a cache: one layer of attention with one head, and no positions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from formers.outputs import CausalLMOutputWithPast


class OneHeadConfig(PreTrainedConfig):
    model_type = "one_head"
    vocab_size: int = 17
    hidden_size: int = 12
    num_hidden_layers: int = 1
    num_attention_heads: int = 1
    initializer_range: float = 0.5
    bos_token_id: int | None = 1
    eos_token_id: int | None = None
    pad_token_id: int | None = 0


class OneHead(PreTrainedModel, GenerationMixin):
    config_class = OneHeadConfig

    def __init__(self, config: OneHeadConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        output_hidden_states: bool = False,
        return_dict: bool = True,
    ) -> CausalLMOutputWithPast:
        first = self.embeddings(input_ids)
        query, key, value = (part[:, None] for part in self.qkv(first).chunk(3, dim=-1))
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, 0)
        new, total = query.shape[2], key.shape[2]
        scores = query @ key.transpose(2, 3)
        hidden = torch.ones(new, total, dtype=torch.bool).triu(total - new + 1)
        if attention_mask is not None:
            hidden = hidden | (attention_mask[:, None, None, :total] == 0)
        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        last = first + (scores.softmax(dim=-1) @ value)[:, 0].tanh()
        return CausalLMOutputWithPast(
            logits=self.head(last),
            past_key_values=past_key_values,
            hidden_states=(first, last) if output_hidden_states else None,
        )


def one_head(seed: int = 0, **settings: Any) -> OneHead:
    """A decoder with random weights."""
    torch.manual_seed(seed)
    return OneHead(OneHeadConfig(**settings)).eval()
