"""The settings of ``generate``: names and types as in transformers 5.23 and, where that dropped one, 4.53.

A field is checked for what it can mean at all. What it means in a call depends on other fields (a temperature of 0
is harmless without sampling), so the rest is checked by ``validation`` when a call is planned.
"""

from __future__ import annotations

from typing import Any

from formers.config.fields import field
from formers.generation.conversion import bias, ids, nested_ids, pair, plain
from formers.generation.settings import Settings

__all__ = ["CACHE_IMPLEMENTATIONS", "GenerationFields"]

# Every name that some version of transformers wrote into a file; a run knows only some of them.
CACHE_IMPLEMENTATIONS = (
    *("dynamic", "static", "sliding_window", "hybrid", "hybrid_chunked", "mamba", "paged", "quantized"),
    *("offloaded", "offloaded_static", "offloaded_hybrid", "offloaded_hybrid_chunked"),
)


class GenerationFields(Settings):
    """The fields of :class:`~formers.generation.GenerationConfig`, which documents them. None means: not set."""

    # How long
    max_length: int | None = field(None, minimum=1)
    max_new_tokens: int | None = field(None, minimum=1)
    min_length: int | None = field(None, minimum=0)
    min_new_tokens: int | None = field(None, minimum=0)
    early_stopping: bool | str | None = field(None, choices=(True, False, "never"))
    max_time: float | None = field(None, minimum=0)
    stop_strings: str | list[str] | None = field(None)

    # How tokens are chosen
    do_sample: bool | None = field(None)
    num_beams: int | None = field(None, minimum=1)
    num_beam_groups: int | None = field(None, minimum=1)
    diversity_penalty: float | None = field(None)
    length_penalty: float | None = field(None)
    num_return_sequences: int | None = field(None, minimum=1)
    penalty_alpha: float | None = field(None, minimum=0, maximum=1)
    dola_layers: str | list[int] | None = field(None, convert=ids)
    constraints: Any = field(None)
    force_words_ids: Any = field(None)
    low_memory: bool | None = field(None)

    # What is done to the scores
    temperature: float | None = field(None, minimum=0)
    top_k: int | None = field(None, minimum=-1)
    top_p: float | None = field(None, minimum=0, maximum=1)
    min_p: float | None = field(None, minimum=0, maximum=1)
    top_h: float | None = field(None, minimum=0, maximum=1)
    typical_p: float | None = field(None, minimum=0, maximum=1)
    epsilon_cutoff: float | None = field(None, minimum=0, maximum=1)
    eta_cutoff: float | None = field(None, minimum=0, maximum=1)
    repetition_penalty: float | None = field(None, above=0)
    encoder_repetition_penalty: float | None = field(None, above=0)
    no_repeat_ngram_size: int | None = field(None, minimum=0)
    encoder_no_repeat_ngram_size: int | None = field(None, minimum=0)
    bad_words_ids: list[list[int]] | None = field(None, minimum=0, convert=nested_ids)
    sequence_bias: Any = field(None, convert=bias)
    suppress_tokens: list[int] | None = field(None, convert=ids)
    begin_suppress_tokens: list[int] | None = field(None, convert=ids)
    exponential_decay_length_penalty: tuple[int, float] | None = field(None, convert=pair)
    guidance_scale: float | None = field(None)
    watermarking_config: Any = field(None, convert=plain)
    renormalize_logits: bool | None = field(None)
    remove_invalid_values: bool | None = field(None)
    token_healing: bool | None = field(None)

    # Tokens with a meaning. A negative id means that there is none.
    bos_token_id: int | None = field(None)
    eos_token_id: int | list[int] | None = field(None, convert=ids)
    pad_token_id: int | None = field(None)
    decoder_start_token_id: int | list[int] | None = field(None, convert=ids)
    forced_bos_token_id: int | None = field(None, minimum=0)
    forced_eos_token_id: int | list[int] | None = field(None, minimum=0, convert=ids)

    # The cache and the compiler
    use_cache: bool | None = field(None)
    cache_implementation: str | None = field(None, choices=CACHE_IMPLEMENTATIONS)
    cache_config: dict[str, Any] | None = field(None, convert=plain)
    max_cache_len: int | None = field(None, minimum=1)
    prefill_chunk_size: int | None = field(None, minimum=1)
    return_legacy_cache: bool | None = field(None)
    compile_config: Any = field(None)
    disable_compile: bool | None = field(None)
    continuous_batching_config: Any = field(None)

    # Drafts that the model checks
    is_assistant: bool | None = field(None)
    num_assistant_tokens: int | None = field(None, minimum=1)
    num_assistant_tokens_schedule: str | None = field(
        None, choices=("constant", "heuristic", "heuristic_transient")
    )
    assistant_confidence_threshold: float | None = field(None, minimum=0, maximum=1)
    prompt_lookup_num_tokens: int | None = field(None, minimum=1)
    max_matching_ngram_size: int | None = field(None, minimum=1)
    assistant_early_exit: int | None = field(None, minimum=1)
    assistant_lookbehind: int | None = field(None, minimum=1)
    target_lookbehind: int | None = field(None, minimum=1)
    assistant_ensemble_weight: float | None = field(None, minimum=0, maximum=1)
    speculation_type: str | None = field(None)
    use_mtp: bool | None = field(None)

    # What is returned
    output_attentions: bool | None = field(None)
    output_hidden_states: bool | None = field(None)
    output_scores: bool | None = field(None)
    output_logits: bool | None = field(None)
    return_dict_in_generate: bool | None = field(None)

    # About the file
    _from_model_config: bool | None = field(None)
    transformers_version: str | None = field(None)
