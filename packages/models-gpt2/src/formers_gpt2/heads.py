"""GPT-2 as a language model, alone and beside a multiple-choice head.

The arguments that all heads share are described in :meth:`GPT2Model.forward`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from formers.activations import activation
from formers.cache import as_cache
from formers.generation.mixin import GenerationMixin
from formers.layout import Layout
from formers.losses import ItemCount, LossTerm, cross_entropy_term, means, next_token_term, with_loss
from formers.modeling.heads import first_tokens, last_tokens, next_token_scores, one_row_each
from formers.modeling.inputs import labels_of_documents, layout_of
from formers.modeling.layers import Dropout
from formers.modeling.packing import unpack_states
from formers.outputs import CausalLMOutputWithCrossAttentions, ModelOutput

from . import checkpoint
from .configuration import GPT2Config
from .modeling import GPT2Model, GPT2PreTrainedModel

if TYPE_CHECKING:
    from formers.cache import Cache, LegacyCache

__all__ = ["GPT2DoubleHeadsModel", "GPT2DoubleHeadsModelOutput", "GPT2LMHeadModel", "GPT2SequenceSummary"]


class _TokenScores(GPT2PreTrainedModel):
    """The models whose head scores the tokens of the vocabulary."""

    tied_weights = checkpoint.TIED_WEIGHTS

    lm_head: nn.Linear

    def get_output_embeddings(self) -> nn.Linear:
        """The layer that scores the tokens."""
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the layer that scores the tokens."""
        self.lm_head = value  # type: ignore[assignment]


class GPT2LMHeadModel(_TokenScores, GenerationMixin):
    """GPT-2 as it was trained: predicting the next token."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.transformer = GPT2Model(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | LegacyCache | None = None,
        attention_mask: Tensor | Layout | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        *,
        num_items_in_batch: ItemCount | None = None,
        cache_position: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> CausalLMOutputWithCrossAttentions | tuple[Any, ...]:
        """Scores of the next token at each position, and their loss if labels are given.

        Args:
            labels: [batch, length], usually the ``input_ids``; position i is judged by label i + 1. -100 is no label.
            logits_to_keep: 0 for the scores of all positions, n for those of the last n, or the positions wanted.
            num_items_in_batch: the number of predicted tokens, to divide the sum by instead of their count here.
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
            encoder_hidden_states,
            encoder_attention_mask,
            use_cache,
            cache_position=cache_position,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        labels = labels_of_documents(labels, position_ids, attention_mask, layout)
        logits, terms = next_token_scores(
            self.lm_head, outputs.last_hidden_state, layout, labels, logits_to_keep
        )
        output = CausalLMOutputWithCrossAttentions(
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=unpack_states(layout, outputs.hidden_states),
            attentions=outputs.attentions,
            cross_attentions=outputs.cross_attentions,
        )
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))


class GPT2SequenceSummary(nn.Module):
    """One vector, or one score, for a whole sequence, as ``config.summary_type`` and its siblings say.

    Raises:
        NotImplementedError: ``config.summary_type`` is ``"attn"``.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.kind = config.summary_type
        if self.kind == "attn":
            raise NotImplementedError(
                "summary_type='attn' was never implemented; use cls_index, last, first or mean."
            )
        width = config.n_embd
        self.summary = (
            nn.Linear(width, 1 if config.summary_proj_to_labels else width)
            if config.summary_use_proj
            else nn.Identity()
        )
        self.activation = activation(config.summary_activation or "linear")
        self.first_dropout = Dropout(config.summary_first_dropout)
        self.last_dropout = Dropout(getattr(config, "summary_last_dropout", 0.0))

    def forward(self, hidden_states: Tensor, layout: Layout, cls_index: Tensor | None = None) -> Tensor:
        """[batch, 1], or [batch, hidden] if the configuration asks, for [batch, length, hidden].

        Args:
            hidden_states: a hidden state for each token.
            layout: which of them are real.
            cls_index: for each row the column to read if ``config.summary_type`` is ``"cls_index"``; by default the
                last real one.
        """
        if self.kind == "mean":
            real = layout.real(hidden_states.dtype)[..., None]
            read = (hidden_states * real).sum(1) / real.sum(1).clamp_min(1)
        elif self.kind == "first":
            read = first_tokens(hidden_states, layout)
        elif self.kind == "last" or cls_index is None:
            read = last_tokens(hidden_states, layout)
        else:
            rows = torch.arange(hidden_states.shape[0], device=cls_index.device)
            read = hidden_states[rows, cls_index.reshape(-1)]
        summary = self.activation(self.summary(self.first_dropout(read)))
        return self.last_dropout(summary)


@dataclass
class GPT2DoubleHeadsModelOutput(ModelOutput):
    """The output of :class:`GPT2DoubleHeadsModel`.

    Attributes:
        loss: of the next tokens, scalar.
        mc_loss: of the choices, scalar.
        logits: [batch, choices, length, vocabulary].
        mc_logits: [batch, choices].
        past_key_values: the cache, whose rows are all choices of all questions.
        hidden_states: of the embeddings and after each layer, [batch * choices, length, hidden] each.
        attentions: of each layer, [batch * choices, heads, length, length].
    """

    loss: Tensor | None = None
    mc_loss: Tensor | None = None
    logits: Tensor | None = None
    mc_logits: Tensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class GPT2DoubleHeadsModel(_TokenScores, GenerationMixin):
    """GPT-2 with a language-model head and one that scores the choices of a question."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.transformer = GPT2Model(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.multiple_choice_head = GPT2SequenceSummary(config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Cache | LegacyCache | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        mc_token_ids: Tensor | None = None,
        labels: Tensor | None = None,
        mc_labels: Tensor | None = None,
        use_cache: bool | None = None,
        *,
        num_items_in_batch: ItemCount | None = None,
        cache_position: Tensor | None = None,
        head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> GPT2DoubleHeadsModelOutput | tuple[Any, ...]:
        """Scores of the next tokens and of the choices, with a loss of each that has labels.

        All other tensors have an axis of choices after that of the batch, too: ``input_ids`` are
        [batch, choices, length]. Without one, [batch, length], the choices are those of a single question.

        Args:
            mc_token_ids: [batch, choices], the column whose hidden state is scored; the last real one by default.
            labels: [batch, choices, length], usually the ``input_ids``; position i is judged by label i + 1. -100 is
                no label.
            mc_labels: [batch], the number of the right choice.
            num_items_in_batch: the number of items of ``"next_token"`` and of ``"choice"``, as far as they have
                labels, to divide each sum by instead of its count here.
        """
        given = input_ids if inputs_embeds is None else inputs_embeds[..., 0]
        leading = () if given is None else given.shape[:-1]
        ids, mask = one_row_each(input_ids), one_row_each(attention_mask)
        embeds = None if inputs_embeds is None else inputs_embeds.view(-1, *inputs_embeds.shape[-2:])
        cache = as_cache(past_key_values, cross=self.config.add_cross_attention)
        layout = layout_of(ids, embeds, mask, cache)
        outputs = self.transformer(
            ids,
            cache,
            layout,
            one_row_each(token_type_ids),
            one_row_each(position_ids),
            embeds,
            use_cache=use_cache,
            cache_position=cache_position,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        states = outputs.last_hidden_state
        logits = self.lm_head(states)
        scores = self.multiple_choice_head(states, layout, mc_token_ids).squeeze(-1).unflatten(0, leading)
        terms: dict[str, LossTerm] = {}
        if labels is not None:
            terms["next_token"] = next_token_term(logits, labels.view(-1, labels.shape[-1]), layout)
        if mc_labels is not None:
            terms["choice"] = cross_entropy_term(scores.view(-1, scores.shape[-1]), mc_labels.view(-1))
        losses = means(terms, num_items_in_batch)
        output = GPT2DoubleHeadsModelOutput(
            loss=losses.get("next_token"),
            mc_loss=losses.get("choice"),
            logits=logits.unflatten(0, leading),
            mc_logits=scores,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        output.loss_terms = terms or None
        return output if self._returns_output(return_dict) else output.to_tuple()
