"""Keys and values that a model keeps from step to step."""

from __future__ import annotations

from .containers import Cache, DynamicCache, LegacyCache, StaticCache
from .encoder_decoder import EncoderDecoderCache, as_cache
from .layers import CacheLayer, DynamicLayer, StaticLayer

__all__ = [
    "Cache",
    "CacheLayer",
    "DynamicCache",
    "DynamicLayer",
    "EncoderDecoderCache",
    "LegacyCache",
    "StaticCache",
    "StaticLayer",
    "as_cache",
]
