"""Which strategy runs: one of the core's own, or of a plugin's."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from formers.errors import GenerationArgumentError
from formers.plugins import hooks

from .assisted import Assisted
from .beams import BeamSample, BeamSearch
from .groups import GroupBeamSearch
from .sampling import Greedy, Multinomial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Strategy

__all__ = ["builtin", "choose"]


def builtin() -> Sequence[Strategy]:
    """The strategies of the core; called through the hook ``formers_generation_strategies``."""
    return [Greedy(), Multinomial(), BeamSearch(), BeamSample(), GroupBeamSearch(), Assisted()]


def choose(name: str, remedy: str = "") -> Strategy:
    """The strategy of that name, of several the one with the highest priority.

    Args:
        name: a mode, or what ``custom_generate`` asks for.
        remedy: what to do if there is none; by default a near miss is looked for.

    Raises:
        GenerationArgumentError: no strategy of that name is installed.
    """
    installed: list[Strategy] = [
        one for group in hooks.call("formers_generation_strategies") for one in group
    ]
    found = [strategy for strategy in installed if strategy.name == name]
    if found:
        return max(found, key=lambda strategy: strategy.priority)
    names = sorted({strategy.name for strategy in installed})
    near = difflib.get_close_matches(name, names, n=1)
    hint = remedy or (f"Did you mean {near[0]!r}?" if near else "Install the plugin that brings it.")
    raise GenerationArgumentError(
        f"No decoding strategy {name!r} is installed; there are {', '.join(names)}. {hint}"
    )
