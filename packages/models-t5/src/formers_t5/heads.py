"""T5 as it was trained: writing one text after reading another.

The arguments that all heads share are described in :meth:`T5Model.forward`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from formers.cache import as_cache
from formers.generation.mixin import GenerationMixin
from formers.layout import Layout
from formers.losses import ItemCount, LossTerm, cross_entropy_term, with_loss
from formers.modeling.inputs import check_ids, layout_of
from formers.outputs import ModelOutput, Seq2SeqLMOutput

from . import checkpoint
from .configuration import T5Config
from .seq2seq import T5EncoderDecoder, handed_on, shifted_right

if TYPE_CHECKING:
    from formers.cache import Cache, LegacyCache

__all__ = ["T5ForConditionalGeneration"]


class T5ForConditionalGeneration(T5EncoderDecoder, GenerationMixin):
    """T5 with a head that scores the next token of the decoder."""

    tied_weights = checkpoint.TIED_HEAD
    shares_encoder_outputs = True

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.output_scale = config.d_model**-0.5 if config.scale_decoder_outputs else 1.0

    def get_output_embeddings(self) -> nn.Linear:
        """The layer that scores the tokens."""
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the layer that scores the tokens."""
        self.lm_head = value  # type: ignore[assignment]

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """What the decoder reads to be judged by ``labels`` [batch, length]: they themselves, one to the right."""
        return shifted_right(labels, self.config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | Layout | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | Layout | None = None,
        encoder_outputs: ModelOutput | tuple[Any, ...] | None = None,
        past_key_values: Cache | LegacyCache | None = None,
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
    ) -> Seq2SeqLMOutput | tuple[Any, ...]:
        """Scores of the next token at each position of the decoder, and their loss if labels are given.

        Args:
            labels: [batch, length], the token that each position shall give; -100 is no label. Without decoder inputs
                the decoder reads them, shifted to the right.
            num_items_in_batch: the number of labelled tokens, to divide the sum by instead of their count here.
        """
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            check_ids("labels", labels.masked_fill(labels == -100, 0), self.shared, "vocab_size")
            decoder_input_ids = shifted_right(labels, self.config)
        past = as_cache(past_key_values, cross=True)
        if labels is not None:
            decoder_attention_mask = layout_of(
                decoder_input_ids, decoder_inputs_embeds, decoder_attention_mask, past, prefix="decoder_"
            )
        outputs = self._run(
            input_ids,
            attention_mask,
            decoder_input_ids,
            decoder_attention_mask,
            encoder_outputs,
            past,
            inputs_embeds,
            decoder_inputs_embeds,
            use_cache,
            head_mask,
            decoder_head_mask,
            cross_attn_head_mask,
            output_attentions,
            output_hidden_states,
        )
        states = outputs.last_hidden_state
        assert states is not None
        if self.output_scale != 1.0:
            states = states * self.output_scale
        logits = self.lm_head(states)
        terms: dict[str, LossTerm] = {}
        if labels is not None:
            assert isinstance(decoder_attention_mask, Layout)
            mask = decoder_attention_mask.mask
            real = None if mask is None else mask[:, decoder_attention_mask.length - labels.shape[-1] :]
            terms["token"] = cross_entropy_term(logits, labels, real=real)
        output = Seq2SeqLMOutput(logits=logits, **handed_on(outputs))
        return with_loss(output, terms, num_items_in_batch, self._returns_output(return_dict))
