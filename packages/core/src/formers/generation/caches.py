"""The cache of a run: the caller's, or one made as the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from formers.cache import DynamicCache, EncoderDecoderCache, StaticCache, as_cache
from formers.errors import GenerationArgumentError, shorten

if TYPE_CHECKING:
    from formers.cache import Cache

    from .plan import GenerationPlan

__all__ = ["cache_of_run", "given_cache"]

_IMPLEMENTATIONS = ("dynamic", "static")
# A compiled step is valid for one size of room; rounding sizes up keeps their number small.
_BUCKET = 64


def given_cache(model: Any, value: Any) -> Cache | None:
    """The caller's ``past_key_values``, a cache or nested tuples, as a cache."""
    return None if value is None else as_cache(value, cross=bool(model.config.is_encoder_decoder))


def cache_of_run(
    model: Any, plan: GenerationPlan, given: Cache | None, *, capacity: int | None
) -> Cache | None:
    """The cache that a run begins with; None with ``use_cache=False``.

    Args:
        given: the caller's, which is used if there is one.
        capacity: positions that a run can reach; None without a limit.

    Raises:
        GenerationArgumentError: the implementation is unknown, or the capacity too small.
    """
    crosses = bool(model.config.is_encoder_decoder)
    if given is not None:
        held = given.get_max_length()
        if capacity is not None and 0 <= held < capacity:
            raise GenerationArgumentError(
                f"past_key_values has room for {held} positions, but this call may reach {capacity}. Make the cache "
                "larger (StaticCache(config, max_cache_len=...)), or lower max_new_tokens."
            )
        return given
    if not plan.use_cache:
        return None
    name = plan.cache_implementation or "dynamic"
    if name not in _IMPLEMENTATIONS:
        raise GenerationArgumentError(
            f"cache_implementation={shorten(name)} is not known; expected one of {', '.join(_IMPLEMENTATIONS)}."
        )
    shares = bool(model.shares_encoder_outputs)
    if name == "dynamic":
        return (
            EncoderDecoderCache(DynamicCache(), DynamicCache(), shares=shares) if crosses else DynamicCache()
        )
    room = plan.max_cache_len or capacity
    if room is None:
        raise GenerationArgumentError(
            'cache_implementation="static" needs a limit: pass max_new_tokens, max_length or max_cache_len.'
        )
    if plan.max_cache_len is None and plan.compile_config is not None:
        room = -(-room // _BUCKET) * _BUCKET
    own = StaticCache(model.config, max_cache_len=room)
    return EncoderDecoderCache(own, DynamicCache(), shares=shares) if crosses else own
