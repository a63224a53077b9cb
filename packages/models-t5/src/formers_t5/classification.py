"""T5 with heads that classify texts, tokens and spans.

The arguments that all heads share are described in :meth:`T5Model.forward`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from formers.layout import Layout, may_look_at
from formers.losses import (
    ItemCount,
    LossTerm,
    classification_term,
    cross_entropy_term,
    position_term,
    with_loss,
)
from formers.modeling.heads import span_scores
from formers.modeling.inputs import layout_of
from formers.modeling.layers import Dropout, Parts
from formers.modeling.packing import unpack_states
from formers.outputs import (
    ModelOutput,
    Seq2SeqQuestionAnsweringModelOutput,
    Seq2SeqSequenceClassifierOutput,
    TokenClassifierOutput,
)

from .configuration import T5Config
from .layers import linear
from .modeling import T5EncoderModel, T5PreTrainedModel
from .seq2seq import T5EncoderDecoder, T5Model, copied_source, handed_on

__all__ = ["T5ForQuestionAnswering", "T5ForSequenceClassification", "T5ForTokenClassification"]


class T5ClassificationHead(nn.Module):
    """A linear map, tanh, and a linear map to the labels."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        width = config.d_model
        self.dense = linear(width, width, width**-0.5, bias=True)
        self.dropout = Dropout(config.classifier_dropout)
        self.out_proj = linear(width, config.num_labels, width**-0.5, bias=True)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[batch, num_labels] for [batch, hidden]."""
        parts: Parts = self._modules
        dropout = parts["dropout"]
        inner = torch.tanh(parts["dense"](dropout(hidden_states)))
        return parts["out_proj"](dropout(inner))  # type: ignore[no-any-return]


class T5ForSequenceClassification(T5PreTrainedModel):
    """T5 with a classifier, or a regressor, of the whole text: it reads the decoder at the last EOS token."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.transformer = T5Model(config)
        self.classification_head = T5ClassificationHead(config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | Layout | None = None,
        encoder_outputs: ModelOutput | tuple[Any, ...] | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        *,
        num_items_in_batch: ItemCount | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Seq2SeqSequenceClassifierOutput | tuple[Any, ...]:
        """Scores [batch, num_labels], and their loss if labels are given.

        Without decoder inputs the decoder reads the encoder's ``input_ids``, shifted to the right.

        Args:
            labels: [batch] classes; or [batch] or [batch, num_labels] numbers for a regression; or
                [batch, num_labels] numbers from 0 to 1 for several labels at once. ``config.problem_type`` says which;
                without it a single label means regression, integers mean classes.
            num_items_in_batch: the number of items, to divide the sum by instead of their count here.

        Raises:
            ValueError: there are no ``input_ids`` to find the EOS tokens in, or (seen on the CPU only) a row of them
                has none.
        """
        if input_ids is None:
            raise ValueError(f"{type(self).__name__} needs input_ids, to find the EOS token of each row in.")
        ends = self._ends(input_ids, attention_mask)
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids, own_mask = copied_source(input_ids, attention_mask, self.config)
            decoder_attention_mask = own_mask if decoder_attention_mask is None else decoder_attention_mask
        outputs = self.transformer(
            input_ids if inputs_embeds is None else None,
            attention_mask,
            decoder_input_ids,
            decoder_attention_mask,
            encoder_outputs,
            None,
            inputs_embeds,
            decoder_inputs_embeds,
            False if labels is not None else use_cache,
            head_mask=head_mask,
            decoder_head_mask=decoder_head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        states = outputs.last_hidden_state
        if states.shape[1] != input_ids.shape[1]:
            raise ValueError(
                f"The decoder's inputs are {states.shape[1]} tokens long, but input_ids, whose EOS tokens say where "
                f"to read, {input_ids.shape[1]}."
            )
        logits = self.classification_head(states[torch.arange(ends.shape[0], device=ends.device), ends])
        terms: dict[str, LossTerm] = {}
        if labels is not None:
            terms["classification"] = classification_term(logits, labels, self.config.problem_type)
        output = Seq2SeqSequenceClassifierOutput(
            logits=logits,
            **handed_on(outputs),
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))

    def _ends(self, input_ids: Tensor, attention_mask: Tensor | Layout | None) -> Tensor:
        """int64 [batch], the column of each row's last real EOS token."""
        eos = self.config.eos_token_id
        if eos is None:
            raise ValueError(
                f"{type(self).__name__} needs config.eos_token_id, to find the end of each row by."
            )
        known = torch.tensor([eos] if isinstance(eos, int) else eos, device=input_ids.device)
        found = torch.isin(input_ids, known)
        layout = layout_of(input_ids, None, attention_mask)
        if layout.mask is not None:
            found = found & layout.mask
        if may_look_at(found) and not bool(found.any(dim=1).all()):
            row = int((~found.any(dim=1)).nonzero()[0])
            raise ValueError(
                f"input_ids has no EOS token (config.eos_token_id={eos}) in row {row}, where {type(self).__name__} "
                "would read it; let the tokenizer add it, or append it."
            )
        return input_ids.shape[1] - 1 - found.int().flip(1).argmax(dim=1)


class T5ForTokenClassification(T5PreTrainedModel):
    """The encoder of T5 with a classifier of each token."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.transformer = T5EncoderModel(config)
        self.dropout = Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.d_model, config.num_labels)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
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
        layout = self.transformer.encoder.layout(
            input_ids, inputs_embeds, attention_mask,
            head_mask=head_mask,
            output_attentions=self.config.output_attentions if output_attentions is None else output_attentions,
        )  # fmt: skip
        outputs = self.transformer(
            input_ids,
            layout,
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


class T5ForQuestionAnswering(T5EncoderDecoder):
    """T5 that finds the answer to a question as a span of the text, read once more by the decoder."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.qa_outputs = linear(config.d_model, 2, config.d_model**-0.5, bias=True)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | Layout | None = None,
        encoder_outputs: ModelOutput | tuple[Any, ...] | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        *,
        num_items_in_batch: ItemCount | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Seq2SeqQuestionAnsweringModelOutput | tuple[Any, ...]:
        """Scores [batch, length] for the first and for the last token, and their loss if both are labelled.

        Without decoder inputs the decoder reads the encoder's ``input_ids``, shifted to the right. Padding scores the
        lowest finite number. The loss is the mean of the two, and one of the rows whose position is a real token.

        Args:
            start_positions: [batch], the first token of the answer, counted in columns.
            end_positions: [batch], its last token.
            num_items_in_batch: the number of rows for ``"start"`` and for ``"end"``, to divide each sum by instead.

        Raises:
            ValueError: there are neither decoder inputs nor ``input_ids``.
        """
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            if input_ids is None:
                raise ValueError(f"{type(self).__name__} needs input_ids, or inputs of the decoder.")
            decoder_input_ids, own_mask = copied_source(input_ids, attention_mask, self.config)
            decoder_attention_mask = own_mask if decoder_attention_mask is None else decoder_attention_mask
        layout = layout_of(decoder_input_ids, decoder_inputs_embeds, decoder_attention_mask)
        labelled = start_positions is not None and end_positions is not None
        outputs = self._run(
            input_ids,
            attention_mask,
            decoder_input_ids,
            layout,
            encoder_outputs,
            None,
            inputs_embeds,
            decoder_inputs_embeds,
            False if labelled else use_cache,
            head_mask,
            decoder_head_mask,
            cross_attn_head_mask,
            output_attentions,
            output_hidden_states,
        )
        start_logits, end_logits = span_scores(self.qa_outputs(outputs.last_hidden_state), layout)
        terms: dict[str, LossTerm] = {}
        if start_positions is not None and end_positions is not None:
            terms["start"] = position_term(start_logits, start_positions, layout, weight=0.5)
            terms["end"] = position_term(end_logits, end_positions, layout, weight=0.5)
        output = Seq2SeqQuestionAnsweringModelOutput(
            start_logits=start_logits,
            end_logits=end_logits,
            **handed_on(outputs),
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))
