"""From where on a packed batch is faster than a padded one, as measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Threshold", "threshold_for"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """When packing pays.

    Attributes:
        density: the largest part of all positions that may be real.
        saved: the least that is saved: positions of padding, times the square of the width, for each row.
        tokens: the least number of real tokens.
        waits_from: how many positions a batch must have before it is worth waiting for an accelerator that alone
            knows the mask.
    """

    density: float
    saved: float
    tokens: int = 0
    waits_from: int = 0

    def against(self, lengths: Sequence[int], length: int, width: int) -> str:
        """Why rows of these lengths, padded to ``length``, are not worth packing; empty if they are."""
        tokens, rows = sum(lengths), len(lengths)
        positions = rows * length
        if tokens > self.density * positions:
            return f"more than {self.density:.0%} of the positions are real"
        if tokens < self.tokens:
            return f"fewer than {self.tokens} tokens"
        if (positions - tokens) * width**2 < self.saved * rows:
            return "the model or the batch is small: packing would cost more than it saves"
        return ""


# Measured 2026-11-21 with encoders of 4 layers, widths 32 to 384, on one core of an x86-64 with torch 2.13, "always"
# beside "never" in turns, as processor time. Packing broke even between 1.0e5 and 1.3e5 saved, in inference (at 1.3e5
# 1.13 to 1.29 times as fast) and in training (at 1.2e5 0.98 to 1.16). At a density of 0.95 it gained 5 % at width 384
# and lost at 128, where less is saved. `python -m benchmarks packing` measures what is gained beyond.
_CPU = Threshold(density=0.95, saved=1.5e5)

# Not measured yet: the figures of the design for an H200, by counting operations.
_ACCELERATOR = Threshold(density=0.95, saved=0, tokens=1024, waits_from=4096)


def threshold_for(device: str) -> Threshold:
    """The threshold for a kind of device, as torch calls it."""
    return _CPU if device == "cpu" else _ACCELERATOR
