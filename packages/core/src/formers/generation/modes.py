"""The ways of decoding, and which of them a set of settings asks for."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

__all__ = ["GenerationMode", "mode_of"]


class GenerationMode(StrEnum):
    """A way of decoding. The values are the names that transformers uses."""

    GREEDY_SEARCH = "greedy_search"
    SAMPLE = "sample"
    BEAM_SEARCH = "beam_search"
    BEAM_SAMPLE = "beam_sample"
    GROUP_BEAM_SEARCH = "group_beam_search"
    ASSISTED_GENERATION = "assisted_generation"
    CONTRASTIVE_SEARCH = "contrastive_search"
    CONSTRAINED_BEAM_SEARCH = "constrained_beam_search"
    DOLA_GENERATION = "dola_generation"


def mode_of(settings: Any, assisted: bool = False) -> GenerationMode:
    """The way of decoding that a ``GenerationConfig`` or a plan asks for.

    Args:
        settings: has the fields as attributes; None counts as the default.
        assisted: whether there is an assistant model.
    """
    if settings.constraints is not None or settings.force_words_ids is not None:
        return GenerationMode.CONSTRAINED_BEAM_SEARCH
    if (settings.num_beams or 1) > 1:
        if (settings.num_beam_groups or 1) > 1:
            return GenerationMode.GROUP_BEAM_SEARCH
        return GenerationMode.BEAM_SAMPLE if settings.do_sample else GenerationMode.BEAM_SEARCH
    drafted = (settings.prompt_lookup_num_tokens, settings.assistant_early_exit)
    if _is_contrastive(settings):
        return GenerationMode.CONTRASTIVE_SEARCH
    if assisted or settings.use_mtp or any(value is not None for value in drafted):
        return GenerationMode.ASSISTED_GENERATION
    if settings.dola_layers is not None:
        return GenerationMode.DOLA_GENERATION
    return GenerationMode.SAMPLE if settings.do_sample else GenerationMode.GREEDY_SEARCH


def _is_contrastive(settings: Any) -> bool:
    return not settings.do_sample and bool(settings.penalty_alpha) and (settings.top_k or 0) > 1
