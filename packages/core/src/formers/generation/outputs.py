"""What ``generate`` returns with ``return_dict_in_generate=True``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from formers.outputs import ModelOutput

if TYPE_CHECKING:
    from .state import Decoding
    from .strategies.base import Generated

__all__ = [
    "BeamSampleDecoderOnlyOutput",
    "BeamSampleEncoderDecoderOutput",
    "BeamSearchDecoderOnlyOutput",
    "BeamSearchEncoderDecoderOutput",
    "GenerateBeamDecoderOnlyOutput",
    "GenerateBeamEncoderDecoderOutput",
    "GenerateDecoderOnlyOutput",
    "GenerateEncoderDecoderOutput",
    "GreedySearchDecoderOnlyOutput",
    "GreedySearchEncoderDecoderOutput",
    "SampleDecoderOnlyOutput",
    "SampleEncoderDecoderOutput",
    "output_of",
]

PerToken = tuple[tuple[Tensor, ...], ...]
"""For each generated token, one tensor for each layer."""


@dataclass
class GenerateDecoderOnlyOutput(ModelOutput):
    """What a decoder generated without beams.

    Attributes:
        sequences: int64 [rows, length], prompts included.
        scores: for each token the processed scores, [rows, vocabulary].
        logits: for each token the model's scores, [rows, vocabulary].
        attentions: for each token and layer, [rows, heads, queries, keys].
        hidden_states: for each token and layer, [rows, queries, hidden].
        past_key_values: the cache.
    """

    sequences: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    attentions: PerToken | None = None
    hidden_states: PerToken | None = None
    past_key_values: Any = None


@dataclass
class GenerateEncoderDecoderOutput(ModelOutput):
    """What the decoder behind an encoder generated without beams; fields as in the decoder's output above.

    Attributes:
        encoder_attentions: for each layer, [batch, heads, source length, source length].
        encoder_hidden_states: for each layer, [batch, source length, hidden].
        cross_attentions: for each token and layer, [rows, heads, queries, source length].
    """

    sequences: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: PerToken | None = None
    cross_attentions: PerToken | None = None
    decoder_hidden_states: PerToken | None = None
    past_key_values: Any = None


@dataclass
class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """What a decoder generated with beams.

    Attributes:
        sequences: int64 [batch * num_return_sequences, length], best first.
        sequences_scores: [batch * num_return_sequences], the score that ranked each.
        scores: for each token the processed log-probabilities of each beam, [batch * beams, vocabulary].
        logits: for each token the model's scores of each beam, [batch * beams, vocabulary].
        beam_indices: int64 [batch * num_return_sequences, new], the row of ``scores`` that each token came from.
        attentions: for each token and layer, [batch * beams, heads, queries, keys].
        hidden_states: for each token and layer, [batch * beams, queries, hidden].
        past_key_values: the cache.
    """

    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    beam_indices: Tensor | None = None
    attentions: PerToken | None = None
    hidden_states: PerToken | None = None
    past_key_values: Any = None


@dataclass
class GenerateBeamEncoderDecoderOutput(ModelOutput):
    """What the decoder behind an encoder generated with beams; fields as in the outputs above."""

    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    beam_indices: Tensor | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: PerToken | None = None
    cross_attentions: PerToken | None = None
    decoder_hidden_states: PerToken | None = None
    past_key_values: Any = None


# The names by strategy, as transformers 4 had them.
GreedySearchDecoderOnlyOutput = SampleDecoderOnlyOutput = GenerateDecoderOnlyOutput
GreedySearchEncoderDecoderOutput = SampleEncoderDecoderOutput = GenerateEncoderDecoderOutput
BeamSearchDecoderOnlyOutput = BeamSampleDecoderOnlyOutput = GenerateBeamDecoderOnlyOutput
BeamSearchEncoderDecoderOutput = BeamSampleEncoderDecoderOutput = GenerateBeamEncoderDecoderOutput


def output_of(run: Decoding, generated: Generated) -> Tensor | ModelOutput:
    """The tokens, or with ``return_dict_in_generate`` the output object that fits strategy and model."""
    if run.record is None:
        return generated.sequences
    if run.cache is not None:
        run.cache.unshare()
    fields = run.record.fields() | {"past_key_values": run.cache, "sequences": generated.sequences}
    encoder = run.prompt.encoder_outputs
    if generated.sequences_scores is not None or generated.beam_indices is not None:
        fields |= {"beam_indices": generated.beam_indices}
        if run.plan.output_scores:
            fields |= {"sequences_scores": generated.sequences_scores}
    beams = "beam_indices" in fields
    if encoder is None:
        return GenerateBeamDecoderOnlyOutput(**fields) if beams else GenerateDecoderOnlyOutput(**fields)
    fields |= {
        "encoder_attentions": getattr(encoder, "attentions", None),
        "encoder_hidden_states": getattr(encoder, "hidden_states", None),
    }
    return GenerateBeamEncoderDecoderOutput(**fields) if beams else GenerateEncoderDecoderOutput(**fields)
