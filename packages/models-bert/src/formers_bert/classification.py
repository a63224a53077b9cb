"""BERT with heads that classify texts, choices, tokens and spans (Devlin et al. 2018, arXiv 1810.04805, section 4).

The arguments that all heads share are described in :meth:`BertModel.forward`.
"""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor, nn

from formers.layout import Layout
from formers.losses import (
    ItemCount,
    LossTerm,
    classification_term,
    cross_entropy_term,
    position_term,
    with_loss,
)
from formers.modeling.heads import number_of_choices, one_row_each, span_scores
from formers.modeling.layers import Dropout
from formers.modeling.packing import unpack_states
from formers.outputs import (
    MultipleChoiceModelOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from .configuration import BertConfig
from .modeling import BertModel, BertPreTrainedModel

__all__ = [
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
]


def _classifier_dropout(config: BertConfig) -> nn.Dropout:
    own = config.classifier_dropout
    return Dropout(config.hidden_dropout_prob if own is None else own)


class BertOnlyNSPHead(nn.Module):
    """The head of next-sentence prediction."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.seq_relationship = nn.Linear(config.hidden_size, 2)

    def forward(self, pooled_output: Tensor) -> Tensor:
        """[batch, hidden] to [batch, 2]."""
        return self.seq_relationship(pooled_output)  # type: ignore[no-any-return]


class BertForNextSentencePrediction(BertPreTrainedModel):
    """BERT with the next-sentence head alone."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertOnlyNSPHead(config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        next_sentence_label: Tensor | None = None,
        num_items_in_batch: ItemCount | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> NextSentencePredictorOutput | tuple[Any, ...]:
        """Scores [batch, 2] for "follows" and "does not", and their loss if labels are given.

        Args:
            labels: [batch], 0 if the second text follows the first, 1 if it is any other.
            next_sentence_label: the old name of ``labels``.
            num_items_in_batch: the number of rows, to divide the sum by instead of their count here.
        """
        if next_sentence_label is not None:
            warnings.warn("next_sentence_label is now called labels.", FutureWarning, stacklevel=2)
            labels = next_sentence_label if labels is None else labels
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
        logits = self.cls(outputs.pooler_output)
        terms: dict[str, LossTerm] = {}
        if labels is not None:
            terms["next_sentence"] = cross_entropy_term(logits, labels.view(-1))
        output = NextSentencePredictorOutput(
            logits=logits,
            hidden_states=unpack_states(layout, outputs.hidden_states),
            attentions=outputs.attentions,
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))


class BertForSequenceClassification(BertPreTrainedModel):
    """BERT with a classifier, or a regressor, of the whole sequence."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = BertModel(config)
        self.dropout = _classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        num_items_in_batch: ItemCount | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """Scores [batch, num_labels], and their loss if labels are given.

        Args:
            labels: [batch] classes; or [batch] or [batch, num_labels] numbers for a regression; or
                [batch, num_labels] numbers from 0 to 1 for several labels at once. ``config.problem_type`` says which;
                without it a single label means regression, integers mean classes.
            num_items_in_batch: the number of items, to divide the sum by instead of their count here.
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
        logits = self.classifier(self.dropout(outputs.pooler_output))
        terms: dict[str, LossTerm] = {}
        if labels is not None:
            terms["classification"] = classification_term(logits, labels, self.config.problem_type)
        output = SequenceClassifierOutput(
            logits=logits,
            hidden_states=unpack_states(layout, outputs.hidden_states),
            attentions=outputs.attentions,
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))


class BertForMultipleChoice(BertPreTrainedModel):
    """BERT that scores each choice of a question by itself; a softmax over the choices decides (section 4.4)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = _classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, 1)

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """Inputs that run through ``forward``: one question with three choices."""
        return {name: value[None] for name, value in super().dummy_inputs.items()}

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        num_items_in_batch: ItemCount | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> MultipleChoiceModelOutput | tuple[Any, ...]:
        """Scores [batch, choices], and their loss if labels are given. Every input is [batch, choices, length].

        Args:
            labels: [batch], the right choice.
            num_items_in_batch: the number of questions, to divide the sum by instead of their count here.
        """
        choices = number_of_choices(input_ids, inputs_embeds)
        input_ids, position_ids = one_row_each(input_ids), one_row_each(position_ids)
        inputs_embeds = None if inputs_embeds is None else inputs_embeds.flatten(0, 1)
        layout = self._layout(
            input_ids, inputs_embeds, one_row_each(attention_mask), position_ids,
            head_mask=head_mask, output_attentions=output_attentions,
        )  # fmt: skip
        outputs = self.bert(
            input_ids,
            layout,
            one_row_each(token_type_ids),
            position_ids,
            inputs_embeds,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits = self.classifier(self.dropout(outputs.pooler_output)).view(-1, choices)
        terms: dict[str, LossTerm] = {}
        if labels is not None:
            terms["choice"] = cross_entropy_term(logits, labels.view(-1))
        output = MultipleChoiceModelOutput(
            logits=logits,
            hidden_states=unpack_states(layout, outputs.hidden_states),
            attentions=outputs.attentions,
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))


class BertForTokenClassification(BertPreTrainedModel):
    """BERT with a classifier of each token, such as a tagger of names (section 5.3)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = _classifier_dropout(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        num_items_in_batch: ItemCount | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> TokenClassifierOutput | tuple[Any, ...]:
        """Scores [batch, length, num_labels], and their loss if labels are given.

        Args:
            labels: [batch, length], the class of each token; -100 where there is none.
            num_items_in_batch: the number of labelled tokens, to divide the sum by instead of their count here.
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
        logits = self.classifier(self.dropout(outputs.last_hidden_state))
        terms: dict[str, LossTerm] = {}
        if labels is not None:
            terms["token"] = cross_entropy_term(logits, layout.pack(labels, "labels"), real=layout.mask)
        output = TokenClassifierOutput(
            logits=layout.unpack(logits),
            hidden_states=unpack_states(layout, outputs.hidden_states),
            attentions=outputs.attentions,
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))


class BertForQuestionAnswering(BertPreTrainedModel):
    """BERT that finds the answer to a question as a span of the text (section 4.2)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        *,
        num_items_in_batch: ItemCount | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> QuestionAnsweringModelOutput | tuple[Any, ...]:
        """Scores [batch, length] for the first and for the last token, and their loss if both are labelled.

        Padding scores the lowest finite number. The loss is the mean of the two, and one of the rows whose position
        is a real token.

        Args:
            start_positions: [batch], the first token of the answer, counted in columns.
            end_positions: [batch], its last token.
            num_items_in_batch: the number of rows for ``"start"`` and for ``"end"``, to divide each sum by instead.
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
        scores = layout.unpack(self.qa_outputs(outputs.last_hidden_state))
        hidden_states = unpack_states(layout, outputs.hidden_states)
        layout = layout.arranged
        start_logits, end_logits = span_scores(scores, layout)
        terms: dict[str, LossTerm] = {}
        if start_positions is not None and end_positions is not None:
            terms["start"] = position_term(start_logits, start_positions, layout, weight=0.5)
            terms["end"] = position_term(end_logits, end_positions, layout, weight=0.5)
        output = QuestionAnsweringModelOutput(
            start_logits=start_logits,
            end_logits=end_logits,
            hidden_states=hidden_states,
            attentions=outputs.attentions,
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))
