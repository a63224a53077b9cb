"""A small decoder behind an encoder: both take the mean of what they may see, and nothing is cached."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.config import PreTrainedConfig
from formers.generation.mixin import GenerationMixin
from formers.modeling import PreTrainedModel
from formers.outputs import BaseModelOutput, Seq2SeqLMOutput


class ToySeq2SeqConfig(PreTrainedConfig):
    model_type = "toy_seq2seq"
    vocab_size: int = 24
    hidden_size: int = 16
    initializer_range: float = 0.6
    is_encoder_decoder: bool = True
    decoder_start_token_id: int | None = 0


class ToyEncoder(nn.Module):
    def __init__(self, embeddings: nn.Embedding) -> None:
        super().__init__()
        self.embeddings = embeddings

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, return_dict: bool = True, **_: Any
    ) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=self.embeddings(input_ids))


class ToySeq2Seq(PreTrainedModel, GenerationMixin):
    config_class = ToySeq2SeqConfig

    def __init__(self, config: ToySeq2SeqConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.encoder = ToyEncoder(self.embeddings)
        self.mix = nn.Linear(2 * config.hidden_size, config.hidden_size)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)

    def get_encoder(self) -> nn.Module:
        return self.encoder

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        return_dict: bool = True,
    ) -> Seq2SeqLMOutput:
        memory = encoder_outputs[0]
        real = torch.ones(memory.shape[:2]) if attention_mask is None else attention_mask
        read = (memory * real[:, :, None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
        written = self.embeddings(decoder_input_ids)
        steps = torch.arange(1, written.shape[1] + 1)[None, :, None]
        mean = written.cumsum(dim=1) / steps
        hidden = self.mix(torch.cat((mean, read[:, None].expand_as(mean)), dim=-1)).tanh()
        return Seq2SeqLMOutput(logits=self.head(hidden), past_key_values=past_key_values)


def toy_seq2seq(seed: int = 0, **settings: Any) -> ToySeq2Seq:
    """A model with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ToySeq2Seq(ToySeq2SeqConfig(**settings)).eval()
