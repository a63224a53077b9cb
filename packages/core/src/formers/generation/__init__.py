"""Generating tokens. The settings alone are here, without torch; each part is imported from its module."""

from __future__ import annotations

from formers.generation.configuration import GenerationConfig

__all__ = ["GenerationConfig"]
