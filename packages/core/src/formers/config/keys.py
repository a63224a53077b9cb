"""Keys of configurations that are not fields: which are refused, which mean nothing, which look like a slip."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from formers.errors import ConfigValidationError, ConfigWarning, shorten, warn

__all__ = [
    "BASE_ALIASES",
    "CALLERS_CHOICE",
    "GENERATION_PARAMETERS",
    "decode_floats",
    "refuse_generation_parameter",
    "refuse_reserved",
    "warn_of_near_miss",
]

# What every configuration accepts under another name: the dtype of v4, and a slip in the v3 documentation.
BASE_ALIASES = {
    "torch_dtype": "dtype",
    "output_attention": "output_attentions",
    "attn_implementation": "_attn_implementation",
}

# What only a caller may decide, or what only a running program knows. In a file these keys are dropped.
CALLERS_CHOICE = frozenset(
    {
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "_attn_implementation_autoset",
        "_experts_implementation",
        "_experts_implementation_internal",
        "experts_implementation",
        "_flash_attn_2_enabled",
        "trust_remote_code",
        "code_revision",
        "_commit_hash",
        "_auto_class",
        "base_model_tp_plan",
        "base_model_pp_plan",
        "base_model_ep_plan",
        "base_model_fsdp_plan",
        "_constructing",
        "_from_data",
        "_labels",
    }
)

GENERATION_PARAMETERS = frozenset(
    {
        "max_length",
        "min_length",
        "max_new_tokens",
        "min_new_tokens",
        "max_time",
        "do_sample",
        "early_stopping",
        "num_beams",
        "num_beam_groups",
        "diversity_penalty",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "typical_p",
        "epsilon_cutoff",
        "eta_cutoff",
        "repetition_penalty",
        "encoder_repetition_penalty",
        "length_penalty",
        "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size",
        "bad_words_ids",
        "force_words_ids",
        "renormalize_logits",
        "num_return_sequences",
        "output_scores",
        "output_logits",
        "return_dict_in_generate",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "remove_invalid_values",
        "exponential_decay_length_penalty",
        "suppress_tokens",
        "begin_suppress_tokens",
        "guidance_scale",
        "penalty_alpha",
        "num_assistant_tokens",
        "num_assistant_tokens_schedule",
        "assistant_confidence_threshold",
    }
)

# Keys of the base class in transformers 4; known, so never taken for a slip.
_KEYS_OF_V4 = frozenset(
    {
        "use_bfloat16",
        "tf_legacy_loss",
        "is_decoder",
        "cross_attention_hidden_size",
        "add_cross_attention",
        "tie_encoder_decoder",
        "finetuning_task",
        "tokenizer_class",
        "prefix",
        "bos_token_id",
        "pad_token_id",
        "eos_token_id",
        "sep_token_id",
        "decoder_start_token_id",
        "task_specific_params",
        "gradient_checkpointing",
        "quantization_config",
        "auto_map",
        "transformers_version",
        "vocab_size",
        "hidden_size",
        "num_attention_heads",
        "num_hidden_layers",
    }
)


def refuse_reserved(cls: type, name: str, settable: Iterable[str]) -> None:
    """Raise ``ConfigValidationError`` if a key of this name would replace part of the class itself."""
    if name in settable or name == "model_type":
        return
    attribute = getattr(cls, name, None)
    if name.startswith("__") or name == "self" or callable(attribute) or _is_plumbing(cls, name, attribute):
        raise ConfigValidationError(
            f"{cls.__name__}: the key {shorten(name)} is a reserved name, part of every configuration object; "
            "rename or remove it."
        )


def _is_plumbing(cls: type, name: str, attribute: Any) -> bool:
    if isinstance(attribute, property):
        return attribute.fset is None
    return any(name in base.__dict__ for base in cls.__mro__ if base.__module__.startswith("formers."))


def refuse_generation_parameter(owner: str, name: str, value: Any) -> None:
    """Raise ``ConfigValidationError``: generation is configured elsewhere."""
    raise ConfigValidationError(
        f"{owner}: {name}={shorten(value)} is a generation parameter, which a model configuration no longer "
        f"sets. Set it in a GenerationConfig: model.generation_config.{name} = {shorten(value, 60)}, or pass it "
        "to generate()."
    )


def warn_of_near_miss(owner: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Warn (``ConfigWarning``) of each name that looks like a misspelt one of ``known``."""
    candidates = sorted(known)
    for name in names:
        if name.startswith("_") or name in _KEYS_OF_V4 or name in candidates:
            continue
        from difflib import get_close_matches  # 5 ms to import, for mistakes only

        match = get_close_matches(name, candidates, n=1, cutoff=0.8)
        if match:
            hint = f"did you mean {match[0]!r}? It has no effect on the model."
            warn(f"{owner}: there is no {name!r}; {hint}", ConfigWarning)


def decode_floats(key: str, value: Any, owner: str) -> Any:
    """A value from a file, with ``{"__float__": "Infinity"}``, as transformers 5 writes it, as the number.

    Raises ``ConfigValidationError`` for NaN, which no setting can mean and which equals nothing when compared.
    """
    if isinstance(value, Mapping):
        if value.keys() == {"__float__"} and value["__float__"] in ("NaN", "Infinity", "-Infinity"):
            return decode_floats(key, float(value["__float__"]), owner)
        return {name: decode_floats(f"{key}.{name}", item, owner) for name, item in value.items()}
    if isinstance(value, list):
        return [decode_floats(key, item, owner) for item in value]
    if isinstance(value, float) and math.isnan(value):
        raise ConfigValidationError(
            f"{owner}: {key}=nan is not accepted; a finite number is expected. Correct the file."
        )
    return value
