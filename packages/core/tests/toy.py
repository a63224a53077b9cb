"""A small architecture for the core's own tests: an encoder, a language-model head with a tie, a classifier."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.config import PreTrainedConfig, field
from formers.layout import Layout
from formers.losses import combine, cross_entropy_term
from formers.modeling import PreTrainedModel
from formers.modeling.checkpointing import run_layer
from formers.outputs import BaseModelOutput, MaskedLMOutput, SequenceClassifierOutput


class ToyConfig(PreTrainedConfig):
    model_type = "toy"
    vocab_size: int = field(32, minimum=1)
    hidden_size: int = field(16, minimum=1)
    num_hidden_layers: int = field(2, minimum=0, maximum=1000)
    num_attention_heads: int = field(2, minimum=1)
    initializer_range: float = 0.02


class ToyLayer(nn.Module):
    def __init__(self, config: ToyConfig, heads: int | None = None) -> None:
        super().__init__()
        self.heads = heads or config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        width = self.heads * self.head_dim
        self.query = nn.Linear(config.hidden_size, width)
        self.key = nn.Linear(config.hidden_size, width)
        self.value = nn.Linear(config.hidden_size, width)
        self.dense = nn.Linear(width, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, hidden_states: Tensor, attend: Any, step: Any) -> Tensor:
        q, k, v = (
            layer(hidden_states).view(-1, self.heads, self.head_dim)
            for layer in (self.query, self.key, self.value)
        )
        context, _ = attend(q, k, v, step, scale=self.head_dim**-0.5)
        return self.norm(hidden_states + self.dense(context.reshape(*hidden_states.shape[:-1], -1)))


class ToyModel(PreTrainedModel):
    config_class = ToyConfig
    base_model_prefix = "toy"
    ignored_weights = (r"position_ids$",)

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(ToyLayer(config) for _ in range(config.num_hidden_layers))
        self.register_buffer("steps", torch.arange(8), persistent=False)
        self.gradient_checkpointing = False

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings = value

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, return_dict: bool = True
    ) -> Any:
        batch, length = input_ids.shape
        layout = Layout.padded(batch, length)
        if attention_mask is not None:
            layout = Layout.from_attention_mask(attention_mask, batch, length)
        hidden_states = self.embeddings(input_ids)
        attend, step = self._attending.begin(
            layout, layout, device=hidden_states.device, dtype=hidden_states.dtype, training=self.training
        )
        for layer in self.layers:
            hidden_states = run_layer(self, layer, hidden_states, attend, step)
        return BaseModelOutput(last_hidden_state=hidden_states)


class ToyForMaskedLM(PreTrainedModel):
    config_class = ToyConfig
    base_model_prefix = "toy"
    tied_weights = {"head.weight": "toy.embeddings.weight"}  # noqa: RUF012
    ignored_weights = ToyModel.ignored_weights

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.toy = ToyModel(config)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.head = value

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> MaskedLMOutput:
        logits = self.head(self.toy(input_ids, attention_mask).last_hidden_state)
        if labels is None:
            return MaskedLMOutput(logits=logits)
        terms = {"masked_lm": cross_entropy_term(logits, labels)}
        output = MaskedLMOutput(loss=combine(terms, None), logits=logits)
        output.loss_terms = terms
        return output


class ToyForSequenceClassification(PreTrainedModel):
    config_class = ToyConfig
    base_model_prefix = "toy"
    optional_weights = (r"^classifier\.",)
    ignored_weights = ToyModel.ignored_weights

    def __init__(self, config: ToyConfig, bias: bool = True) -> None:
        super().__init__(config)
        self.toy = ToyModel(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels, bias=bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> SequenceClassifierOutput:
        return SequenceClassifierOutput(logits=self.classifier(self.toy(input_ids, attention_mask)[0][:, 0]))
