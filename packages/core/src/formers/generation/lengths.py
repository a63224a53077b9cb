"""How long a sequence may and must become: two ways of saying it, one limit."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from formers.errors import GenerationArgumentError, GenerationWarning, warn

if TYPE_CHECKING:
    from formers.generation.plan import GenerationPlan, Setting

__all__ = ["for_prompt", "one_limit", "positions_of"]

_NEARNESS = {"argument": 0, "generation_config argument": 1, "default": 3, "derived": 3}


def one_limit(found: Mapping[str, Setting], said: Container[str]) -> dict[str, Setting]:
    """Of ``max_new_tokens`` and ``max_length`` the one nearer to the call, and so for the minimum; the other is None.

    Where both are equally near, the one that counts new tokens is used; warns (``GenerationWarning``) if the call
    itself gave both. ``said`` are the names that it gave.
    """
    decided = dict(found)
    for new, total in (("max_new_tokens", "max_length"), ("min_new_tokens", "min_length")):
        one, other = decided[new], decided[total]
        if one.value is None or other.value is None:
            continue
        nearness, others = _nearness(one), _nearness(other)
        if nearness == others and new in said and total in said:
            warn(
                f"generate(): {new}={one.value} and {total}={other.value} are two limits for one thing; {new} is "
                "used. Give one of them.",
                GenerationWarning,
            )
        if nearness <= others:
            unset = 0 if total == "min_length" else None
            decided[total] = other._replace(value=unset, origin="default")
        else:
            decided[new] = one._replace(value=None, origin="default")
    return decided


def positions_of(model: Any) -> int | None:
    """How many positions the model has; None without a limit."""
    limit = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    return limit if isinstance(limit, int) else None


def _nearness(setting: Setting) -> int:
    """How far from the call a value was found."""
    return _NEARNESS.get(setting.origin, 2)


def for_prompt(plan: GenerationPlan, length: int, embedded: int, positions: int | None) -> GenerationPlan:
    """See :meth:`GenerationPlan.for_prompt`."""
    asked = "max_length" if plan.max_new_tokens is None else "max_new_tokens"
    if plan.max_new_tokens is not None:
        limit = length + plan.max_new_tokens
    elif plan.max_length is not None:
        limit = plan.max_length - embedded
    else:
        raise GenerationArgumentError("generate(): there is no limit; set max_new_tokens or max_length.")
    if limit <= length:
        raise GenerationArgumentError(
            f"generate(): max_length={plan.max_length} ({plan.describe('max_length')}) counts the prompt, which has "
            f"{length + embedded} tokens, so there is room for none. Raise it, or set max_new_tokens."
        )
    note = f"prompt of {length} + max_new_tokens" if asked == "max_new_tokens" else ""
    if positions is not None and limit + embedded > positions:
        limit = _within(plan, asked, length + embedded, limit - length, positions) - embedded
        note = f"the model has {positions} positions"
    plan = _with_limits(plan, length, limit, note)
    return _with_minimum(plan, length, embedded)


def _within(plan: GenerationPlan, asked: str, prompt: int, new: int, positions: int) -> int:
    """The model's limit, where the call did not ask for more itself."""
    if prompt >= positions:
        raise GenerationArgumentError(
            f"generate(): the prompt has {prompt} tokens, and the model {positions} positions, so there is room for no "
            "further one. Shorten the prompt, or truncate it when tokenizing."
        )
    if plan.is_callers(asked):
        raise GenerationArgumentError(
            f"generate(): {asked}={getattr(plan, asked)} ({plan.describe(asked)}) after a prompt of {prompt} tokens "
            f"makes {prompt + new}, but the model has {positions} positions. Set max_new_tokens to "
            f"{positions - prompt} or less, or shorten the prompt."
        )
    return positions


def _with_limits(plan: GenerationPlan, length: int, limit: int, note: str) -> GenerationPlan:
    changes = {}
    for name, value in (("max_length", limit), ("max_new_tokens", limit - length)):
        before = plan.setting(name)
        if before.value != value:
            changes[name] = before._replace(value=value, origin="derived", note=note or "from max_length")
    return plan.with_settings(**changes)


def _with_minimum(plan: GenerationPlan, length: int, embedded: int) -> GenerationPlan:
    """``min_length`` in columns of the result; refuses a minimum of the call's own that cannot be reached."""
    asked, value = "min_length", max(plan.min_length - embedded, 0)
    if plan.min_new_tokens is not None:
        asked, value = "min_new_tokens", length + plan.min_new_tokens
    limit = plan.max_length
    if limit is not None and value > limit and plan.is_callers(asked):
        maximum = "max_new_tokens" if plan.origin("max_length") == "derived" else "max_length"
        raise GenerationArgumentError(
            f"generate(): {asked}={getattr(plan, asked)} ({plan.describe(asked)}) cannot be reached with "
            f"{maximum}={getattr(plan, maximum)} ({plan.describe(maximum)}) after a prompt of {length + embedded} "
            f"tokens. Raise {maximum}, or lower {asked}."
        )
    if value == plan.min_length:
        return plan
    note = f"prompt of {length} + min_new_tokens" if asked == "min_new_tokens" else "without inputs_embeds"
    return plan.with_settings(
        min_length=plan.setting("min_length")._replace(value=value, origin="derived", note=note)
    )
