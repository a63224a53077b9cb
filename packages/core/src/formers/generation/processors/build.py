"""From the settings of a call to the processors that carry them out, in the order of transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.errors import GenerationWarning, shorten, warn

from .base import LogitsProcessor, LogitsProcessorList
from .bias import NoBadWordsLogitsProcessor, SequenceBiasLogitsProcessor
from .cleaning import InfNanRemoveLogitsProcessor, LogitNormalization
from .constraint import PrefixConstrainedLogitsProcessor
from .forcing import (
    ForcedBOSTokenLogitsProcessor,
    ForcedEOSTokenLogitsProcessor,
    MinLengthLogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
)
from .guidance import UnbatchedClassifierFreeGuidanceLogitsProcessor
from .ngrams import EncoderNoRepeatNGramLogitsProcessor, NoRepeatNGramLogitsProcessor
from .penalties import (
    EncoderRepetitionPenaltyLogitsProcessor,
    ExponentialDecayLengthPenalty,
    HammingDiversityLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
)
from .sampling import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopHLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)
from .watermark import WatermarkLogitsProcessor

if TYPE_CHECKING:
    from formers.generation.plan import GenerationPlan

__all__ = ["build_processors"]

WATERMARK_FIELDS = ("greenlist_ratio", "bias", "hashing_key", "seeding_scheme", "context_width")


def build_processors(
    plan: GenerationPlan,
    *,
    prompt_length: int,
    prompt_padding: Tensor | None = None,
    encoder_input_ids: Tensor | None = None,
    prefix_allowed_tokens_fn: Callable[[int, Tensor], Iterable[int]] | None = None,
    model: Any = None,
    vocab_size: int | None = None,
    device: str | torch.device = "cpu",
    custom: Iterable[Callable[..., Tensor]] | None = None,
    negative_prompt_ids: Tensor | None = None,
    negative_prompt_attention_mask: Tensor | None = None,
) -> LogitsProcessorList:
    """The processors that a plan asks for.

    The caller's own stand between those for every strategy and those for sampling; one of a class that the plan also
    asks for takes the place of the plan's.

    Args:
        plan: the resolved settings.
        prompt_length: tokens before the first that is generated.
        prompt_padding: int64 [batch], how many of those are padding in front; None if none are.
        encoder_input_ids: int64 [batch, length], what the penalties on the encoder's input look at.
        prefix_allowed_tokens_fn: ``(batch_id, tokens) -> ids`` that may come next.
        model: run by guidance; its configuration knows the size of the vocabulary.
        vocab_size: needed by a watermark without a model.
        device: of the scores.
        custom: the caller's own processors.
        negative_prompt_ids: int64 [batch, length], what guidance leads away from.
        negative_prompt_attention_mask: of the same shape.

    Raises:
        ValueError: a setting is out of range, or needs another one.
    """
    general = [
        *_guiding(plan, model, negative_prompt_ids, negative_prompt_attention_mask),
        *_discouraging(plan, encoder_input_ids, prompt_padding),
        *_constraining(plan, prompt_length, prefix_allowed_tokens_fn),
        *_lasting(plan, prompt_length),
    ]
    processors = LogitsProcessorList(_merged(general, list(custom or ())))
    if plan.do_sample:
        processors += _sampling(plan, device)
    if plan.watermarking_config is not None:
        processors.append(_watermark(plan.watermarking_config, _vocabulary(vocab_size, model), device))
    if plan.renormalize_logits:
        processors.append(LogitNormalization())
    return processors


def _guiding(
    plan: GenerationPlan, model: Any, negative_ids: Tensor | None, negative_mask: Tensor | None
) -> Iterator[LogitsProcessor]:
    if plan.guidance_scale is not None and plan.guidance_scale != 1:
        # Beams change places, and a cache that the processor keeps would not follow them.
        use_cache = bool(plan.use_cache) and plan.num_beams == 1
        yield UnbatchedClassifierFreeGuidanceLogitsProcessor(
            plan.guidance_scale, model, negative_ids, negative_mask, use_cache
        )
    if plan.sequence_bias is not None:
        yield SequenceBiasLogitsProcessor(plan.sequence_bias)
    if plan.diversity_penalty and plan.num_beam_groups > 1:
        yield HammingDiversityLogitsProcessor(plan.diversity_penalty, plan.num_beams, plan.num_beam_groups)


def _discouraging(
    plan: GenerationPlan, encoder_input_ids: Tensor | None, prompt_padding: Tensor | None
) -> Iterator[LogitsProcessor]:
    encoded = encoder_input_ids if encoder_input_ids is not None and encoder_input_ids.dim() == 2 else None
    if plan.encoder_repetition_penalty not in (None, 1.0) and encoded is not None:
        yield EncoderRepetitionPenaltyLogitsProcessor(plan.encoder_repetition_penalty, encoded)
    if plan.repetition_penalty not in (None, 1.0):
        yield RepetitionPenaltyLogitsProcessor(plan.repetition_penalty, prompt_padding)
    if plan.no_repeat_ngram_size:
        yield NoRepeatNGramLogitsProcessor(plan.no_repeat_ngram_size)
    if plan.encoder_no_repeat_ngram_size and encoded is not None:
        yield EncoderNoRepeatNGramLogitsProcessor(plan.encoder_no_repeat_ngram_size, encoded)
    if plan.bad_words_ids is not None:
        yield NoBadWordsLogitsProcessor(plan.bad_words_ids, plan.eos_token_id)


def _constraining(
    plan: GenerationPlan,
    prompt_length: int,
    prefix_allowed_tokens_fn: Callable[[int, Tensor], Iterable[int]] | None,
) -> Iterator[LogitsProcessor]:
    if plan.min_length and plan.eos_token_id is not None:
        yield MinLengthLogitsProcessor(plan.min_length, plan.eos_token_id)
    if plan.min_new_tokens and plan.eos_token_id is not None:
        yield MinNewTokensLengthLogitsProcessor(prompt_length, plan.min_new_tokens, plan.eos_token_id)
    if prefix_allowed_tokens_fn is not None:
        beams = plan.num_beams // (plan.num_beam_groups or 1)
        yield PrefixConstrainedLogitsProcessor(prefix_allowed_tokens_fn, beams)
    if plan.forced_bos_token_id is not None:
        yield ForcedBOSTokenLogitsProcessor(plan.forced_bos_token_id)
    if plan.forced_eos_token_id is not None:
        if plan.max_length is None:
            raise ValueError(
                f"`forced_eos_token_id` is {plan.forced_eos_token_id}, but there is no `max_length` at which to force "
                "it: set max_length or max_new_tokens."
            )
        yield ForcedEOSTokenLogitsProcessor(plan.max_length, plan.forced_eos_token_id)


def _lasting(plan: GenerationPlan, prompt_length: int) -> Iterator[LogitsProcessor]:
    if plan.remove_invalid_values:
        yield InfNanRemoveLogitsProcessor()
    if plan.exponential_decay_length_penalty is not None:
        if plan.eos_token_id is None:
            raise ValueError(
                f"`exponential_decay_length_penalty` is {plan.exponential_decay_length_penalty}, but there is no "
                "`eos_token_id` to make likelier: set it, or leave the penalty out."
            )
        yield ExponentialDecayLengthPenalty(
            plan.exponential_decay_length_penalty, plan.eos_token_id, prompt_length
        )
    if plan.suppress_tokens:
        yield SuppressTokensLogitsProcessor(plan.suppress_tokens)
    if plan.begin_suppress_tokens:
        # A forced first token comes before the first free choice.
        forced = prompt_length == 1 and plan.forced_bos_token_id is not None
        yield SuppressTokensAtBeginLogitsProcessor(plan.begin_suppress_tokens, prompt_length + int(forced))


def _sampling(plan: GenerationPlan, device: str | torch.device) -> Iterator[LogitsProcessor]:
    keep = _choices_of_beams(plan)
    if plan.temperature not in (None, 1.0):
        yield TemperatureLogitsWarper(plan.temperature)
    if plan.top_h is not None:
        yield TopHLogitsWarper(plan.top_h)
    if plan.top_k:
        yield TopKLogitsWarper(plan.top_k, min_tokens_to_keep=keep)
    if plan.top_p is not None and plan.top_p < 1:
        yield TopPLogitsWarper(plan.top_p, min_tokens_to_keep=keep)
    if plan.min_p:
        yield MinPLogitsWarper(plan.min_p, min_tokens_to_keep=keep)
    if plan.typical_p is not None and plan.typical_p < 1:
        yield TypicalLogitsWarper(plan.typical_p, min_tokens_to_keep=keep)
    if plan.epsilon_cutoff:
        yield EpsilonLogitsWarper(plan.epsilon_cutoff, min_tokens_to_keep=keep)
    if plan.eta_cutoff:
        yield EtaLogitsWarper(plan.eta_cutoff, min_tokens_to_keep=keep, device=device)


def _choices_of_beams(plan: GenerationPlan) -> int:
    """How many tokens sampling must leave: with beams, one that goes on beside every one that ends."""
    if plan.num_beams == 1:
        return 1
    eos = plan.eos_token_id
    return (len(eos) if isinstance(eos, Sequence) else 1) + 1


def _merged(
    general: list[LogitsProcessor], custom: list[Callable[..., Tensor]]
) -> Iterator[Callable[..., Tensor]]:
    for processor in general:
        own = next((one for one in custom if type(one) is type(processor)), None)
        if own is None:
            yield processor
            continue
        warn(
            f"The {type(own).__name__} given as logits_processor replaces the one that the generation settings ask "
            "for; leave out either.",
            GenerationWarning,
        )
        custom = [one for one in custom if one is not own]
        yield own
    yield from custom


def _vocabulary(given: int | None, model: Any) -> int:
    return int(given if given is not None else model.config.get_text_config().vocab_size)


def _watermark(config: Any, vocab_size: int, device: str | torch.device) -> LogitsProcessor:
    fields = dict(config) if isinstance(config, Mapping) else config.to_dict()
    unknown = sorted(fields.keys() - WATERMARK_FIELDS)
    if unknown:
        raise ValueError(
            f"`watermarking_config` has {shorten(unknown)}; expected some of {', '.join(WATERMARK_FIELDS)}: pass a "
            "processor of your own as logits_processor for another watermark."
        )
    return WatermarkLogitsProcessor(vocab_size, device, **fields)
