"""What the data collators of architectures share: features, special tokens, random draws, batches.

A collator makes a batch of the features that a data set holds, and most of them do so at random. They compute with
numpy, the extra ``numpy``, which is imported when one is made; torch is needed for batches of its tensors alone.
"""

from __future__ import annotations

from .batches import IGNORED, batch_of, ordinary_tokens, padded, stacked
from .draws import Draws, import_numpy
from .features import Feature, read_features
from .settings import fraction, positive, whole

__all__ = [
    "IGNORED",
    "Draws",
    "Feature",
    "batch_of",
    "fraction",
    "import_numpy",
    "ordinary_tokens",
    "padded",
    "positive",
    "read_features",
    "stacked",
    "whole",
]
