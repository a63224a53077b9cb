"""What a strategy is: the contract of the hook ``formers_generation_strategies`` too."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor

if TYPE_CHECKING:
    from formers.generation.state import Decoding

__all__ = ["Generated", "Strategy", "Tokens"]

Tokens = Generator[Tensor, None, "Generated"]
"""Yields what is decided, int64 [rows, new], at each step, and returns the whole."""


@dataclass(frozen=True, slots=True)
class Generated:
    """The result of a strategy.

    Attributes:
        sequences: int64 [rows, length], prompts included; rows that ended early are padded.
        sequences_scores: float [rows], the score of each sequence; None if the strategy does not rank.
        beam_indices: int64 [rows, new], the beam from which each token came, -1 behind the end; None without beams.
    """

    sequences: Tensor
    sequences_scores: Tensor | None = None
    beam_indices: Tensor | None = None


@runtime_checkable
class Strategy(Protocol):
    """Chooses the tokens of a run.

    Attributes:
        name: the mode that it serves (the value of a :class:`~formers.generation.modes.GenerationMode`), or a name of
            its own, under which ``generate(custom_generate=name)`` finds it.
        priority: of several with one name, the highest runs; 0 for the core's.
    """

    name: str
    priority: int

    def decode(self, run: Decoding) -> Tokens:
        """Generate: yield tokens as soon as they are decided, and return the result.

        Rows that have ended are marked in ``run.finished`` before their last tokens are yielded.

        Raises:
            GenerationArgumentError: the settings of the run do not suit; raised before the first forward.
            GenerationError: the model's scores leave nothing to choose from; carries what was generated so far.
        """
        ...
