"""What is used where nobody said anything, what has no effect, and what this library does not do. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "DEFAULTS",
    "GROUPS",
    "NEEDS",
    "NEUTRAL",
    "NONE_IS_OFF",
    "REMEDIES",
    "SPECIAL_TOKENS",
    "UNSUPPORTED",
]

# transformers 5.23's, measured. A new sequence has max_new_tokens at most; there it is max_length, which is then
# raised by the length of the prompt. A field that is not here is None.
DEFAULTS: Mapping[str, Any] = {
    "max_new_tokens": 20,
    "min_length": 0,
    "early_stopping": False,
    "do_sample": False,
    "num_beams": 1,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "length_penalty": 1.0,
    "num_return_sequences": 1,
    "low_memory": False,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "renormalize_logits": False,
    "remove_invalid_values": False,
    "token_healing": False,
    "use_cache": True,
    "return_legacy_cache": False,
    "disable_compile": False,
    "is_assistant": False,
    "num_assistant_tokens": 20,
    "num_assistant_tokens_schedule": "constant",
    "assistant_confidence_threshold": 0.4,
    "assistant_lookbehind": 10,
    "target_lookbehind": 10,
    "use_mtp": False,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_scores": False,
    "output_logits": False,
    "return_dict_in_generate": False,
}

# Values that do nothing, where that is not the default. None does nothing anywhere.
NEUTRAL: Mapping[str, Any] = {"top_k": 0, "top_h": 1.0, "guidance_scale": 1.0, "penalty_alpha": 0.0}

# Asked for when the generation settings do not have them.
SPECIAL_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")

# An argument None switches these off, as in transformers; for any other field it means: look further.
NONE_IS_OFF = frozenset(
    {
        "max_time",
        "stop_strings",
        "penalty_alpha",
        "dola_layers",
        "constraints",
        "force_words_ids",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "top_h",
        "typical_p",
        "epsilon_cutoff",
        "eta_cutoff",
        "repetition_penalty",
        "encoder_repetition_penalty",
        "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size",
        "bad_words_ids",
        "sequence_bias",
        "suppress_tokens",
        "begin_suppress_tokens",
        "exponential_decay_length_penalty",
        "guidance_scale",
        "watermarking_config",
        "eos_token_id",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "cache_implementation",
        "prompt_lookup_num_tokens",
        "assistant_early_exit",
    }
)

_WHEN_SAMPLING = ("do_sample", "do_sample=True")
_WITH_BEAMS = ("num_beams", "num_beams above 1")
_IN_AN_OUTPUT = ("return_dict_in_generate", "return_dict_in_generate=True")
_WITH_A_CACHE = ("use_cache", "use_cache=True")

# A field that acts only while another one is set, and how to say so. ``num_beams`` and ``num_beam_groups`` must be
# above 1, ``max_cache_len`` needs a static cache, the others need True.
NEEDS: Mapping[str, tuple[str, str]] = {
    "temperature": _WHEN_SAMPLING,
    "top_k": _WHEN_SAMPLING,
    "top_p": _WHEN_SAMPLING,
    "min_p": _WHEN_SAMPLING,
    "top_h": _WHEN_SAMPLING,
    "typical_p": _WHEN_SAMPLING,
    "epsilon_cutoff": _WHEN_SAMPLING,
    "eta_cutoff": _WHEN_SAMPLING,
    "early_stopping": _WITH_BEAMS,
    "length_penalty": _WITH_BEAMS,
    "diversity_penalty": ("num_beam_groups", "num_beam_groups above 1"),
    "max_matching_ngram_size": ("prompt_lookup_num_tokens", "prompt_lookup_num_tokens"),
    "cache_implementation": _WITH_A_CACHE,
    "cache_config": _WITH_A_CACHE,
    "max_cache_len": ("cache_implementation", 'cache_implementation="static"'),
    "output_scores": _IN_AN_OUTPUT,
    "output_logits": _IN_AN_OUTPUT,
    "output_attentions": _IN_AN_OUTPUT,
    "output_hidden_states": _IN_AN_OUTPUT,
}

# Known to transformers, done by nothing here: what to do instead.
UNSUPPORTED: Mapping[str, str] = {
    "token_healing": "Cut the last token off the prompt, and allow only tokens that begin with its text, with "
    "prefix_allowed_tokens_fn.",
    "assistant_early_exit": "Pass a smaller model as assistant_model, or prompt_lookup_num_tokens.",
    "assistant_lookbehind": "It serves an assistant with a tokenizer of its own; here both models must have the same.",
    "target_lookbehind": "It serves an assistant with a tokenizer of its own; here both models must have the same.",
    "assistant_ensemble_weight": "Without it assisted generation gives exactly the model's own distribution.",
    "speculation_type": "Pass a smaller model as assistant_model, or prompt_lookup_num_tokens.",
    "use_mtp": "Pass a smaller model as assistant_model, or prompt_lookup_num_tokens.",
}

# Ways of decoding that the core has no strategy for.
REMEDIES: Mapping[str, str] = {
    "contrastive_search": "Contrastive search is a plugin: pip install formers-decoding-contrastive. Without "
    "penalty_alpha the search is greedy.",
    "constrained_beam_search": "Instead of constraints and force_words_ids, raise the scores of words with "
    "sequence_bias, or say which tokens may come next with prefix_allowed_tokens_fn.",
    "dola_generation": "No known plugin decodes with dola_layers; leave it out.",
}

# Every field, in the order in which people look for them.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "length": (
        *("max_length", "max_new_tokens", "min_length", "min_new_tokens"),
        *("early_stopping", "max_time", "stop_strings"),
    ),
    "strategy": (
        *("do_sample", "num_beams", "num_beam_groups", "diversity_penalty", "length_penalty"),
        *(
            "num_return_sequences",
            "penalty_alpha",
            "dola_layers",
            "constraints",
            "force_words_ids",
            "low_memory",
        ),
    ),
    "scores": (
        *("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"),
        *("repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size"),
        *("encoder_no_repeat_ngram_size", "bad_words_ids", "sequence_bias", "suppress_tokens"),
        *("begin_suppress_tokens", "exponential_decay_length_penalty", "guidance_scale"),
        *("watermarking_config", "renormalize_logits", "remove_invalid_values", "token_healing"),
    ),
    "special tokens": (
        *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"),
        *("forced_bos_token_id", "forced_eos_token_id"),
    ),
    "cache": (
        *("use_cache", "cache_implementation", "cache_config", "max_cache_len", "prefill_chunk_size"),
        *("return_legacy_cache", "compile_config", "disable_compile", "continuous_batching_config"),
    ),
    "drafts": (
        *("is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule"),
        *("assistant_confidence_threshold", "prompt_lookup_num_tokens", "max_matching_ngram_size"),
        *("assistant_early_exit", "assistant_lookbehind", "target_lookbehind", "assistant_ensemble_weight"),
        *("speculation_type", "use_mtp"),
    ),
    "output": (
        *("return_dict_in_generate", "output_scores", "output_logits", "output_attentions"),
        "output_hidden_states",
    ),
}
