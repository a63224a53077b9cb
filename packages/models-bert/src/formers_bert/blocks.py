"""The parts of BERT (Devlin et al. 2018, arXiv 1810.04805, section 3): embeddings, a layer, the pooler.

They carry the names of the published weights and take hidden states as [..., hidden].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from formers.activations import activation
from formers.layout import Layout
from formers.modeling.heads import first_tokens
from formers.modeling.layers import Dropout, LayerNorm, Parts
from formers.modeling.runs import Run

from .attention import BertAttention
from .configuration import BertConfig

__all__ = ["BertEmbeddings", "BertLayer", "BertPooler"]


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
