"""What the kit is given to work with: a small configuration, and how its inputs are made. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from formers.config import PreTrainedConfig
from formers.errors import ConfigValidationError, shorten

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = ["Tiny", "tiny_of"]


@dataclass(frozen=True, slots=True)
class Tiny:
    """A small instance of an architecture, for tests.

    The manifest's ``tiny`` names a function that takes settings of the configuration as keyword arguments. It gives
    the configuration (at most some 100 000 parameters, no dropout), or one of these where more must be said.

    Attributes:
        config: the configuration.
        inputs: ``(config, length, generator) -> {argument of forward: Tensor}``, one row [1, ...] of ``length``
            positions, without padding and without masks. By default random ``input_ids`` and what ``forward`` has
            beside them. Whatever has ``length`` as its last dimension but one or its last is padded by the kit.
        tokenizer: gives a tokenizer with a small vocabulary. By default the manifest's class is made without
            arguments and trained on a few sentences.
    """

    config: PreTrainedConfig
    inputs: Callable[[Any, int, Generator], Mapping[str, Tensor]] | None = None
    tokenizer: Callable[[], Any] | None = None


def tiny_of(function: Any, overrides: Mapping[str, Any]) -> Tiny:
    """Call the function that a manifest names.

    Raises:
        ConfigValidationError: it gives neither a configuration nor a :class:`Tiny`.
    """
    made = function(**overrides)
    if isinstance(made, PreTrainedConfig):
        made = Tiny(made)
    if not isinstance(made, Tiny):
        raise ConfigValidationError(
            f"tiny() gave {shorten(made)}; expected a configuration or a formers.testing.Tiny."
        )
    return made
