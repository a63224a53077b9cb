"""BERT with heads that score the tokens of the vocabulary (Devlin et al. 2018, arXiv 1810.04805, section 3.1).

The arguments that all heads share are described in :meth:`BertModel.forward`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from formers.activations import activation
from formers.cache import as_cache
from formers.errors import FormersWarning, warn
from formers.generation.mixin import GenerationMixin
from formers.layout import Layout
from formers.losses import ItemCount, LossTerm, cross_entropy_term, with_loss
from formers.modeling.heads import next_token_scores
from formers.modeling.inputs import labels_of_documents
from formers.modeling.layers import LayerNorm
from formers.modeling.packing import unpack_states
from formers.outputs import (
    CausalLMOutputWithCrossAttentions,
    MaskedLMOutput,
    ModelOutput,
)

from . import checkpoint
from .configuration import BertConfig
from .modeling import BertModel, BertPreTrainedModel

if TYPE_CHECKING:
    from formers.cache import Cache, LegacyCache

__all__ = [
    "BertForMaskedLM",
    "BertForPreTraining",
    "BertForPreTrainingOutput",
    "BertLMHeadModel",
]


@dataclass
class BertForPreTrainingOutput(ModelOutput):
    """The output of :class:`BertForPreTraining`.

    Attributes:
        loss: the sum of the two tasks' losses, scalar.
        prediction_logits: [batch, length, vocabulary].
        seq_relationship_logits: [batch, 2]: the second text continues the first, or does not.
        hidden_states: of the embeddings and after each layer, [batch, length, hidden] each.
        attentions: of each layer, [batch, heads, length, length].
    """

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    seq_relationship_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class BertPredictionHeadTransform(nn.Module):
    """Linear map, activation, layer norm: what hidden states go through before they are compared with tokens."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.transform_act_fn = activation(config.hidden_act)
        self.LayerNorm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[..., hidden] to [..., hidden]."""
        return self.LayerNorm(self.transform_act_fn(self.dense(hidden_states)))  # type: ignore[no-any-return]


class BertLMPredictionHead(nn.Module):
    """A score for each token of the vocabulary; published checkpoints name its bias twice."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = BertPredictionHeadTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[..., hidden] to [..., vocabulary]."""
        return self.decoder(self.transform(hidden_states))  # type: ignore[no-any-return]


class BertOnlyMLMHead(nn.Module):
    """The head of masked and of causal language models."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = BertLMPredictionHead(config)

    def forward(self, sequence_output: Tensor) -> Tensor:
        """[..., hidden] to [..., vocabulary]."""
        return self.predictions(sequence_output)  # type: ignore[no-any-return]


class BertPreTrainingHeads(nn.Module):
    """Both heads of pretraining."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = BertLMPredictionHead(config)
        self.seq_relationship = nn.Linear(config.hidden_size, 2)

    def forward(self, sequence_output: Tensor, pooled_output: Tensor) -> tuple[Tensor, Tensor]:
        """[..., hidden] and [batch, hidden] to [..., vocabulary] and [batch, 2]."""
        return self.predictions(sequence_output), self.seq_relationship(pooled_output)


class _TokenScores(BertPreTrainedModel):
    """The models whose head scores the tokens of the vocabulary."""

    tied_weights = checkpoint.TIED_WEIGHTS

    cls: BertOnlyMLMHead | BertPreTrainingHeads

    def get_output_embeddings(self) -> nn.Linear:
        """The layer that scores the tokens."""
        return self.cls.predictions.decoder

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the layer that scores the tokens, and the second name of its bias."""
        predictions = self.cls.predictions
        predictions.decoder = value  # type: ignore[assignment]
        bias = getattr(value, "bias", None)
        if bias is not None:
            predictions.bias = bias

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Embedding:
        """See :meth:`PreTrainedModel.resize_token_embeddings`; an untied second bias is resized as well."""
        embedding = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        predictions = self.cls.predictions
        extra = embedding.num_embeddings - predictions.bias.shape[0]
        if extra:
            with torch.no_grad():
                resized = nn.functional.pad(predictions.bias, (0, extra))
            predictions.bias = nn.Parameter(resized, requires_grad=predictions.bias.requires_grad)
        return embedding


class BertForPreTraining(_TokenScores):
    """BERT as it was pretrained: predicting masked tokens, and whether a text follows another (section 3.1)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertPreTrainingHeads(config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        *,
        num_items_in_batch: ItemCount | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BertForPreTrainingOutput | tuple[Any, ...]:
        """Scores of both tasks, and their loss if both kinds of labels are given.

        Args:
            labels: [batch, length], the token that is right at each position; -100 where none is to be predicted.
            next_sentence_label: [batch], 0 if the second text follows the first, 1 if it is any other.
            num_items_in_batch: the number of items of ``"masked_lm"`` and of ``"next_sentence"``, to divide each
                term's sum by instead of its count here.
        """
        layout = self._layout(
            input_ids, inputs_embeds, attention_mask, position_ids,
            head_mask=head_mask, output_attentions=output_attentions,
        )  # fmt: skip
        outputs = self.bert(
            input_ids,
            layout,
            token_type_ids,
            position_ids,
            inputs_embeds,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        scores, relationship = self.cls(outputs.last_hidden_state, outputs.pooler_output)
        terms: dict[str, LossTerm] = {}
        if labels is not None and next_sentence_label is not None:
            terms["masked_lm"] = cross_entropy_term(scores, layout.pack(labels, "labels"), real=layout.mask)
            terms["next_sentence"] = cross_entropy_term(relationship, next_sentence_label.view(-1))
        output = BertForPreTrainingOutput(
            prediction_logits=layout.unpack(scores),
            seq_relationship_logits=relationship,
            hidden_states=unpack_states(layout, outputs.hidden_states),
            attentions=outputs.attentions,
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))


class BertLMHeadModel(_TokenScores, GenerationMixin):
    """BERT as a causal language model; its configuration should say ``is_decoder=True``."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        if not config.is_decoder:
            warn(
                "BertLMHeadModel predicts the next token, but with config.is_decoder=False every position already "
                "sees it. Set is_decoder=True to use it as a language model.",
                FormersWarning,
            )
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        past_key_values: Cache | LegacyCache | None = None,
        use_cache: bool | None = None,
        cache_position: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        *,
        num_items_in_batch: ItemCount | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> CausalLMOutputWithCrossAttentions | tuple[Any, ...]:
        """Scores of the next token at each position, and their loss if labels are given.

        Args:
            labels: [batch, length], usually the ``input_ids``; position i is judged by label i + 1. -100 is no label.
            use_cache: by default ``config.use_cache``, but False with labels.
            logits_to_keep: 0 for the scores of all positions, n for those of the last n, or the positions wanted.
            num_items_in_batch: the number of predicted tokens, to divide the sum by instead of their count here.
        """
        cache = as_cache(past_key_values, cross=self.config.add_cross_attention)
        layout = self._layout(
            input_ids, inputs_embeds, attention_mask, position_ids,
            cache=cache, head_mask=head_mask, output_attentions=output_attentions,
        )  # fmt: skip
        outputs = self.bert(
            input_ids,
            layout,
            token_type_ids,
            position_ids,
            inputs_embeds,
            encoder_hidden_states,
            encoder_attention_mask,
            cache,
            False if use_cache is None and labels is not None else use_cache,
            cache_position,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        labels = labels_of_documents(labels, position_ids, attention_mask, layout)
        logits, terms = next_token_scores(self.cls, outputs.last_hidden_state, layout, labels, logits_to_keep)
        output = CausalLMOutputWithCrossAttentions(
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=unpack_states(layout, outputs.hidden_states),
            attentions=outputs.attentions,
            cross_attentions=outputs.cross_attentions,
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))


class BertForMaskedLM(_TokenScores):
    """BERT with the masked-language-model head alone."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        num_items_in_batch: ItemCount | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> MaskedLMOutput | tuple[Any, ...]:
        """Scores of each token at each position, and their loss if labels are given.

        Args:
            labels: [batch, length], the token that is right at each position; -100 where none is to be predicted.
            num_items_in_batch: the number of predicted tokens, to divide the sum by instead of their count here.
        """
        layout = self._layout(
            input_ids, inputs_embeds, attention_mask, position_ids,
            head_mask=head_mask, output_attentions=output_attentions,
        )  # fmt: skip
        outputs = self.bert(
            input_ids,
            layout,
            token_type_ids,
            position_ids,
            inputs_embeds,
            encoder_hidden_states,
            encoder_attention_mask,
            use_cache=False,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits = self.cls(outputs.last_hidden_state)
        terms: dict[str, LossTerm] = {}
        if labels is not None:
            terms["masked_lm"] = cross_entropy_term(logits, layout.pack(labels, "labels"), real=layout.mask)
        output = MaskedLMOutput(
            logits=layout.unpack(logits),
            hidden_states=unpack_states(layout, outputs.hidden_states),
            attentions=outputs.attentions,
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))
