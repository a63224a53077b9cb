"""GPT-2 with heads that classify texts, tokens and spans.

The arguments that all heads share are described in :meth:`GPT2Model.forward`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from formers.cache import as_cache
from formers.layout import Layout
from formers.losses import (
    ItemCount,
    LossTerm,
    classification_term,
    cross_entropy_term,
    position_term,
    with_loss,
)
from formers.modeling.heads import last_tokens, span_scores
from formers.modeling.layers import Dropout
from formers.modeling.packing import unpack_states
from formers.outputs import (
    QuestionAnsweringModelOutput,
    SequenceClassifierOutputWithPast,
    TokenClassifierOutput,
)

from .configuration import GPT2Config
from .modeling import GPT2Model, GPT2PreTrainedModel

if TYPE_CHECKING:
    from formers.cache import Cache, LegacyCache

__all__ = ["GPT2ForQuestionAnswering", "GPT2ForSequenceClassification", "GPT2ForTokenClassification"]


class GPT2ForSequenceClassification(GPT2PreTrainedModel):
    """GPT-2 with a classifier, or a regressor, of the whole sequence: it reads the last real token."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.transformer = GPT2Model(config)
        self.score = nn.Linear(config.n_embd, config.num_labels, bias=False)

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | LegacyCache | None = None,
        attention_mask: Tensor | Layout | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        *,
        num_items_in_batch: ItemCount | None = None,
        cache_position: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> SequenceClassifierOutputWithPast | tuple[Any, ...]:
        """Scores [batch, num_labels], and their loss if labels are given.

        The last token that the mask calls real is read; without a mask, or with one of 3 or 4 dimensions, the last
        that is not ``config.pad_token_id``.

        Args:
            labels: [batch] classes; or [batch] or [batch, num_labels] numbers for a regression; or
                [batch, num_labels] numbers from 0 to 1 for several labels at once. ``config.problem_type`` says which;
                without it a single label means regression, integers mean classes.
            num_items_in_batch: the number of items, to divide the sum by instead of their count here.

        Raises:
            ValueError: there is neither a mask nor a padding token to find the end of several rows by.
        """
        cache = as_cache(past_key_values, cross=self.config.add_cross_attention)
        layout = self._layout(
            input_ids, inputs_embeds, attention_mask, position_ids,
            cache=cache, head_mask=head_mask, output_attentions=output_attentions,
        )  # fmt: skip
        by_mask = layout.is_packed or _says_where_rows_end(attention_mask)
        ends = layout if by_mask else self._ends(input_ids, layout)
        outputs = self.transformer(
            input_ids,
            cache,
            layout,
            token_type_ids,
            position_ids,
            inputs_embeds,
            use_cache=use_cache,
            cache_position=cache_position,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits = self.score(last_tokens(outputs.last_hidden_state, ends))
        terms: dict[str, LossTerm] = {}
        if labels is not None:
            terms["classification"] = classification_term(logits, labels, self.config.problem_type)
        output = SequenceClassifierOutputWithPast(
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=unpack_states(layout, outputs.hidden_states),
            attentions=outputs.attentions,
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))

    def _ends(self, input_ids: Tensor | None, layout: Layout) -> Layout:
        """A layout in which every padding token is padding."""
        pad = self.config.pad_token_id
        if pad is None and layout.batch > 1:
            raise ValueError(
                "GPT2ForSequenceClassification reads the last real token of each row; pass attention_mask, or set "
                "config.pad_token_id."
            )
        if pad is None or input_ids is None:
            return Layout(layout.batch, layout.length, device=layout.device)
        real = input_ids != pad
        return Layout(real.shape[0], real.shape[1], mask=real, device=real.device)


def _says_where_rows_end(attention_mask: Tensor | Layout | None) -> bool:
    if isinstance(attention_mask, Layout):
        return attention_mask.pairwise is None
    return attention_mask is not None and attention_mask.dim() == 2


class GPT2ForTokenClassification(GPT2PreTrainedModel):
    """GPT-2 with a classifier of each token."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.transformer = GPT2Model(config)
        self.dropout = Dropout(_classifier_dropout(config))
        self.classifier = nn.Linear(config.n_embd, config.num_labels)

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | LegacyCache | None = None,
        attention_mask: Tensor | Layout | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        *,
        num_items_in_batch: ItemCount | None = None,
        cache_position: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> TokenClassifierOutput | tuple[Any, ...]:
        """Scores [batch, length, num_labels], and their loss if labels are given.

        Args:
            labels: [batch, length], the class of each token; -100 where there is none.
            use_cache: whether a given cache is kept up; the output has no place for one.
            num_items_in_batch: the number of labelled tokens, to divide the sum by instead of their count here.
        """
        cache = as_cache(past_key_values, cross=self.config.add_cross_attention)
        layout = self._layout(
            input_ids, inputs_embeds, attention_mask, position_ids,
            cache=cache, head_mask=head_mask, output_attentions=output_attentions,
        )  # fmt: skip
        outputs = self.transformer(
            input_ids,
            cache,
            layout,
            token_type_ids,
            position_ids,
            inputs_embeds,
            use_cache=False,
            cache_position=cache_position,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits = self.classifier(self.dropout(outputs.last_hidden_state))
        terms: dict[str, LossTerm] = {}
        if labels is not None:
            real = None if layout.mask is None else layout.mask[:, layout.length - labels.shape[-1] :]
            terms["token"] = cross_entropy_term(logits, layout.pack(labels, "labels"), real=real)
        output = TokenClassifierOutput(
            logits=layout.unpack(logits),
            hidden_states=unpack_states(layout, outputs.hidden_states),
            attentions=outputs.attentions,
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))


def _classifier_dropout(config: GPT2Config) -> float:
    """Two keys that some configurations have beside the declared fields; 0.1 without them."""
    for name in ("classifier_dropout", "hidden_dropout"):
        value = getattr(config, name, None)
        if value is not None:
            return float(value)
    return 0.1


class GPT2ForQuestionAnswering(GPT2PreTrainedModel):
    """GPT-2 that finds the answer to a question as a span of the text."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.transformer = GPT2Model(config)
        self.qa_outputs = nn.Linear(config.n_embd, 2)

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
        outputs = self.transformer(
            input_ids,
            None,
            layout,
            token_type_ids,
            position_ids,
            inputs_embeds,
            use_cache=False,
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
