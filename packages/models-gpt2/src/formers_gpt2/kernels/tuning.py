"""What ``tools/tune_attention.py`` tries for ``gpt2_decode``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from formers.kernels.decode import tuning
from formers.kernels.tuning import Problem

__all__ = ["problems"]


def problems(device: torch.device, *, ops: Sequence[str] = ("split",), **chosen: Any) -> Iterator[Problem]:
    """See :func:`formers.kernels.decode.tuning.problems`, which knows the other arguments."""
    if "split" in ops:
        yield from tuning.problems(device, "formers_gpt2.kernels", **chosen)
