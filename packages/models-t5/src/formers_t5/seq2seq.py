"""Encoder and decoder together: what ``T5Model`` and the models with a head over the decoder are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from formers.layout import Layout
from formers.modeling.inputs import layout_of
from formers.modeling.packing import unpack_states
from formers.outputs import BaseModelOutput, ModelOutput, Seq2SeqModelOutput

from . import checkpoint
from .configuration import T5Config
from .modeling import T5PreTrainedModel, T5Stack, decoder_of, encoder_of

if TYPE_CHECKING:
    from formers.cache import Cache, LegacyCache

__all__ = ["T5EncoderDecoder", "T5Model", "copied_source", "decoder_start", "handed_on", "shifted_right"]

_HANDED_ON = (
    *("past_key_values", "decoder_hidden_states", "decoder_attentions", "cross_attentions"),
    *("encoder_last_hidden_state", "encoder_hidden_states", "encoder_attentions"),
)


class T5EncoderDecoder(T5PreTrainedModel):
    """The two stacks and the embeddings that they share."""

    tied_weights = checkpoint.TIED_EMBEDDINGS

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = encoder_of(config)
        self.decoder = decoder_of(config)

    def get_input_embeddings(self) -> nn.Module:
        """The token embeddings of both stacks."""
        return self.shared

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings of both stacks."""
        self.shared = value  # type: ignore[assignment]
        self.encoder.set_input_embeddings(value)
        self.decoder.set_input_embeddings(value)

    def get_encoder(self) -> T5Stack:
        """The encoder."""
        return self.encoder

    def get_decoder(self) -> T5Stack:
        """The decoder."""
        return self.decoder

    def _prune_heads(self, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
        self.encoder._prune_heads(heads_to_prune)

    def _run(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | Layout | None,
        decoder_input_ids: Tensor | None,
        decoder_attention_mask: Tensor | Layout | None,
        encoder_outputs: ModelOutput | tuple[Any, ...] | None,
        past_key_values: Cache | LegacyCache | None,
        inputs_embeds: Tensor | None,
        decoder_inputs_embeds: Tensor | None,
        use_cache: bool | None,
        head_mask: Tensor | None,
        decoder_head_mask: Tensor | None,
        cross_attn_head_mask: Tensor | None,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
    ) -> Seq2SeqModelOutput:
        """Run the encoder, unless its outputs are given, and the decoder; see :meth:`T5Model.forward`."""
        config = self.config
        flags = {
            "output_attentions": config.output_attentions if output_attentions is None else output_attentions,
            "output_hidden_states": (
                config.output_hidden_states if output_hidden_states is None else output_hidden_states
            ),
            "return_dict": True,
        }
        if (decoder_input_ids is None) == (decoder_inputs_embeds is None):
            given = "neither" if decoder_input_ids is None else "both"
            raise ValueError(
                f"{type(self).__name__} needs exactly one of decoder_input_ids and decoder_inputs_embeds; got {given}."
            )
        if encoder_outputs is None:
            states, mask, encoded = self._encode(input_ids, attention_mask, inputs_embeds, head_mask, flags)
        else:
            encoded, mask = _as_outputs(encoder_outputs), attention_mask
            states = encoded.last_hidden_state
        decoded = self.decoder(
            decoder_input_ids,
            decoder_attention_mask,
            states,
            mask,
            decoder_inputs_embeds,
            past_key_values,
            config.use_cache if use_cache is None else use_cache,
            head_mask=decoder_head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
            **flags,
        )
        return Seq2SeqModelOutput(
            last_hidden_state=decoded.last_hidden_state,
            past_key_values=decoded.past_key_values,
            decoder_hidden_states=decoded.hidden_states,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=encoded.last_hidden_state,
            encoder_hidden_states=encoded.hidden_states,
            encoder_attentions=encoded.attentions,
        )

    def _encode(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | Layout | None,
        inputs_embeds: Tensor | None,
        head_mask: Tensor | None,
        flags: Mapping[str, bool | None],
    ) -> tuple[Tensor, Tensor | Layout | None, Any]:
        """The states and the mask as the decoder reads them, and the encoder's output as the caller gets it."""
        layout = self.encoder.layout(
            input_ids, inputs_embeds, attention_mask,
            head_mask=head_mask, output_attentions=flags["output_attentions"],
        )  # fmt: skip
        encoded = self.encoder(input_ids, layout, inputs_embeds=inputs_embeds, head_mask=head_mask, **flags)
        states = encoded.last_hidden_state
        encoded.last_hidden_state = layout.unpack(states)
        encoded.hidden_states = unpack_states(layout, encoded.hidden_states)
        return states, layout, encoded


class T5Model(T5EncoderDecoder):
    """The bare model."""

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
        use_cache: bool | None = None,
        *,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Seq2SeqModelOutput | tuple[Any, ...]:
        """Hidden states of the decoder, [batch, length, hidden].

        Args:
            input_ids: [batch, source length], what the encoder reads.
            attention_mask: [batch, source length], 1 where a token is real and 0 where it is padding, for the encoder
                and for what the decoder reads of it; or a ``Layout``.
            decoder_input_ids: [batch, length], what the decoder begins with.
            decoder_attention_mask: [batch, past + length], the same for the decoder.
            encoder_outputs: of an earlier call of the encoder, in place of running it: an output, or a tuple that
                begins with the hidden states.
            past_key_values: the cache of earlier calls, with which only the decoder's tokens after it are given.
            inputs_embeds: [batch, source length, hidden], in place of ``input_ids``.
            decoder_inputs_embeds: [batch, length, hidden], in place of ``decoder_input_ids``.
            use_cache: whether the decoder's keys and values are kept; by default ``config.use_cache``.
            head_mask: [heads] or [layers, heads], a factor of the probabilities of the encoder's heads.
            decoder_head_mask: the same for the decoder's self-attention.
            cross_attn_head_mask: the same for its cross-attention.
            output_attentions: whether to return the probabilities.
            output_hidden_states: whether to return the hidden states before and after each layer, the last normalised.
            return_dict: False returns a tuple of what is not None.

        Raises:
            ValueError: a shape does not fit, an id is out of range (looked at on the CPU only), or there is nothing
                for a stack to read.
            AttentionUnsupported: the attention chosen by name cannot serve this call.
        """
        output = self._run(
            input_ids,
            attention_mask,
            decoder_input_ids,
            decoder_attention_mask,
            encoder_outputs,
            past_key_values,
            inputs_embeds,
            decoder_inputs_embeds,
            use_cache,
            head_mask,
            decoder_head_mask,
            cross_attn_head_mask,
            output_attentions,
            output_hidden_states,
        )
        return output if self._returns_output(return_dict) else output.to_tuple()


def _as_outputs(given: ModelOutput | tuple[Any, ...]) -> Any:
    if isinstance(given, tuple | list):
        return BaseModelOutput(*given)
    return given


def handed_on(outputs: Seq2SeqModelOutput) -> dict[str, Any]:
    """What the output of a model with a head has beside the head's own: all but the states that the head read."""
    return {name: getattr(outputs, name) for name in _HANDED_ON}


def decoder_start(config: T5Config) -> int:
    """The token that a decoder begins with.

    Raises:
        ValueError: the configuration does not say.
    """
    start = getattr(config, "decoder_start_token_id", None)
    if start is None:
        raise ValueError(
            "config.decoder_start_token_id is not set, so the decoder has nothing to begin with; set it (0, the "
            "padding token, in every published T5), or pass decoder_input_ids."
        )
    return int(start)


def shifted_right(ids: Tensor, config: T5Config) -> Tensor:
    """[batch, length]: the start token, then all ids but the last; -100 becomes padding.

    Raises:
        ValueError: the configuration has no start or padding token, or the ids are no integers.
    """
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(f"labels have dtype {ids.dtype}; expected integers, the ids of tokens.")
    if config.pad_token_id is None:
        raise ValueError(
            "config.pad_token_id is not set, so labels of -100 cannot become decoder inputs; set it."
        )
    start = ids.new_full((*ids.shape[:-1], 1), decoder_start(config))
    shifted = torch.cat((start, ids[..., :-1]), dim=-1)
    return shifted.masked_fill(shifted == -100, config.pad_token_id)


def copied_source(
    ids: Tensor, attention_mask: Tensor | Layout | None, config: T5Config
) -> tuple[Tensor, Tensor | None]:
    """What the decoder reads of a text that it is given whole: its ids, shifted right, and their mask.

    The start token stands at the first real token of a row, so that padding in front changes nothing.

    Args:
        ids: [batch, length], the encoder's.
        attention_mask: the encoder's.
        config: names the start token.
    """
    shifted = shifted_right(ids, config)
    layout = layout_of(ids, None, attention_mask)
    if layout.mask is None:
        return shifted, None
    first = layout.first_real()[:, None]
    return shifted.scatter(1, first, decoder_start(config)), layout.mask
