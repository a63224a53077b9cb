"""The hooks that a module in the entry-point group ``formers.plugins`` may implement.

A hook exists only when something in this repository implements it. Arguments may be added, never removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from formers.attention.contract import AttentionImplementation
    from formers.checkpoint.formats import CheckpointFormat
    from formers.generation.strategies.base import Strategy
    from formers.tokenization.converters import TokenizerConverter

__all__ = ["PROJECT", "hookimpl"]

PROJECT = "formers"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@hookspec
def formers_checkpoint_formats() -> Sequence[CheckpointFormat]:  # type: ignore[empty-body]
    """Formats in which weights can be read and written."""


@hookspec
def formers_tokenizer_converters() -> Sequence[TokenizerConverter]:  # type: ignore[empty-body]
    """Ways of making a tokenizer from the vocabulary files of older folders."""


@hookspec
def formers_attention_implementations() -> Sequence[AttentionImplementation]:  # type: ignore[empty-body]
    """Attention implementations that belong to no single architecture."""


@hookspec
def formers_generation_strategies() -> Sequence[Strategy]:  # type: ignore[empty-body]
    """Ways of choosing tokens in ``generate``."""
