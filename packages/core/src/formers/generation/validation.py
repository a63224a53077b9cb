"""What settings may say together. Everything is looked at before the model runs once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from formers.errors import (
    ConfigValidationError,
    GenerationArgumentError,
    GenerationWarning,
    shorten,
    warn,
)
from formers.generation.conversion import bias_entries, is_pair
from formers.generation.defaults import DEFAULTS, NEEDS, NEUTRAL, UNSUPPORTED

if TYPE_CHECKING:
    from formers.generation.configuration import GenerationConfig
    from formers.generation.plan import GenerationPlan

__all__ = ["check_config", "check_plan", "is_neutral", "missing_condition", "warn_of_no_effect"]

# Dividing by less than this makes float32 scores infinite.
_COLDEST = 1e-30


def check_config(config: GenerationConfig, *, strict: bool) -> None:
    """See :meth:`GenerationConfig.validate`."""
    owner = type(config).__name__
    problem = _returned_sequences(
        config.num_return_sequences or 1, config.num_beams or 1, bool(config.do_sample)
    )
    if problem is not None:
        raise ConfigValidationError(f"{owner}: {problem}")
    if not strict:
        return
    idle = [
        f"{name}={shorten(value)} has no effect without {condition}"
        for name in NEEDS
        if (value := getattr(config, name)) is not None
        and not is_neutral(name, value)
        and (condition := missing_condition(config, name)) is not None
    ]
    if idle:
        raise ConfigValidationError(f"{owner}: {'; '.join(idle)}.")


def check_plan(plan: GenerationPlan, vocab_size: int | None) -> None:
    """Refuse settings that cannot be carried out together.

    Args:
        plan: what a call would do.
        vocab_size: number of ids that the model has; None if that is not known.

    Raises:
        GenerationArgumentError: names the field, its value, where it was set, and what to do.
    """
    problem = _returned_sequences(plan.num_return_sequences, plan.num_beams, plan.do_sample)
    if problem is not None:
        raise GenerationArgumentError(f"generate(): {problem}")
    for problems in (_sampling(plan), _groups(plan), _tokens(plan), _unsupported(plan)):
        for name, text in problems:
            value = shorten(getattr(plan, name))
            raise GenerationArgumentError(f"generate(): {name}={value} ({plan.describe(name)}) {text}")
    if vocab_size is not None:
        _check_ids(plan, vocab_size)


def is_neutral(name: str, value: Any) -> bool:
    """Whether a value does nothing: it is off, or what happens anyway."""
    return value is None or value == DEFAULTS.get(name) or value == NEUTRAL.get(name)


def missing_condition(settings: Any, name: str) -> str | None:
    """What a field needs to have an effect and does not find; None if it has an effect."""
    needed = NEEDS.get(name)
    if needed is None:
        return None
    other, words = needed
    value: Any = getattr(settings, other)
    value = DEFAULTS.get(other) if value is None else value
    if other in ("num_beams", "num_beam_groups"):
        met = value > 1
    elif other == "cache_implementation":
        met = value is not None and "static" in value
    else:
        met = bool(value)
    if not met and name == "top_k" and settings.penalty_alpha:  # the candidates of contrastive search
        return None
    return None if met else words


def warn_of_no_effect(plan: GenerationPlan, names: Iterable[str]) -> None:
    """Warn (``GenerationWarning``) of each of the caller's settings that does nothing in this call."""
    for name in names:
        value = getattr(plan, name)
        condition = missing_condition(plan, name)
        if condition is not None and not is_neutral(name, value):
            warn(f"generate(): {name}={shorten(value)} has no effect without {condition}.", GenerationWarning)


def _returned_sequences(wanted: int, beams: int, sampled: bool) -> str | None:
    if beams > 1 and wanted > beams:
        return (
            f"num_return_sequences={wanted}, but num_beams={beams}; beam search can return at most its beams. "
            f"Set num_beams={wanted} or more."
        )
    if beams == 1 and wanted > 1 and not sampled:
        return (
            f"num_return_sequences={wanted}, but without sampling and with one beam there is one best sequence. "
            f"Set do_sample=True, or num_beams={wanted} or more."
        )
    return None


Problems = Iterator[tuple[str, str]]


def _sampling(plan: GenerationPlan) -> Problems:
    if not plan.do_sample:
        return
    if plan.temperature is not None and plan.temperature < _COLDEST:
        yield (
            "temperature",
            (
                f"is too small to divide scores by; at least {_COLDEST} is expected. For the best token at every step "
                "set do_sample=False."
            ),
        )
    if plan.top_k is not None and plan.top_k < 0:
        yield "top_k", "is not a number of tokens; 0 switches it off."
    if plan.typical_p == 0:
        yield "typical_p", "would leave no token; a number above 0 is expected, and 1.0 switches it off."
    if plan.top_h == 0:
        yield "top_h", "would leave no token; a number above 0 is expected, and None switches it off."


def _groups(plan: GenerationPlan) -> Problems:
    groups = plan.num_beam_groups
    if groups == 1:
        return
    if plan.num_beams % groups:
        yield (
            "num_beam_groups",
            f"does not divide num_beams={plan.num_beams}; make num_beams a multiple of it.",
        )
    if plan.do_sample:
        yield "num_beam_groups", "cannot be combined with do_sample=True; leave one of them out."
    if plan.diversity_penalty <= 0:
        yield (
            "diversity_penalty",
            f"would make the {groups} groups of beams equal; a number above 0 is expected.",
        )


def _tokens(plan: GenerationPlan) -> Problems:
    words = plan.bad_words_ids
    if words is not None and not (words and all(words)):
        yield (
            "bad_words_ids",
            "has no word, or an empty one; lists of ids are expected, and None bans nothing.",
        )
    if plan.sequence_bias is not None and not bias_entries(plan.sequence_bias):
        yield (
            "sequence_bias",
            (
                "is not {(id, id, ...): number} or [[[id, id, ...], number], ...] with at least one entry, and ids "
                "from 0 on; None biases nothing."
            ),
        )
    decay = plan.exponential_decay_length_penalty
    if decay is not None and not (is_pair(decay) and decay[0] >= 0 and decay[1] > 0):
        yield (
            "exponential_decay_length_penalty",
            (
                "is not (start, factor): the new token from which on it acts, at least 0, and a factor above 0."
            ),
        )
    strings = [plan.stop_strings] if isinstance(plan.stop_strings, str) else plan.stop_strings
    if strings is not None and not (strings and all(strings)):
        yield "stop_strings", "has no text, or an empty one, which every text ends with; None stops at none."


def _unsupported(plan: GenerationPlan) -> Problems:
    for name, remedy in UNSUPPORTED.items():
        if not is_neutral(name, getattr(plan, name)):
            yield name, f"is not done by formers. {remedy}"


def _check_ids(plan: GenerationPlan, vocab_size: int) -> None:
    """Ids that a call uses exist. A special token of a checkpoint may not: then it never occurs."""
    for name, ids in _ids_of(plan):
        outside = [token for token in ids if token >= vocab_size]
        if outside:
            raise GenerationArgumentError(
                f"generate(): {name} ({plan.describe(name)}) has the id {outside[0]}, but the model has {vocab_size} "
                f"tokens; ids from 0 to {vocab_size - 1} are expected. The tokenizer may belong to another model."
            )


def _ids_of(plan: GenerationPlan) -> Iterator[tuple[str, list[int]]]:
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"):
        if plan.is_callers(name):
            yield name, _flat(getattr(plan, name))
    for name in ("forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens"):
        yield name, _flat(getattr(plan, name))
    yield "bad_words_ids", [token for word in plan.bad_words_ids or () for token in word]
    yield "sequence_bias", [token for key, _ in bias_entries(plan.sequence_bias) or () for token in key]


def _flat(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else value
