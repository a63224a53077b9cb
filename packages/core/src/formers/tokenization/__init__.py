"""Tokenizers: text to token ids and back. No torch, no numpy; both are imported when tensors are asked for.

``base`` is what every tokenizer offers; ``backend`` makes tokens with the ``tokenizers`` library, ``python`` in
Python; the methods live in ``calling``, ``padding``, ``decoding``, ``converting``, ``loading`` and ``saving``.
"""

from __future__ import annotations

from tokenizers import AddedToken

from formers.tokenization.backend import TokenizersBackend
from formers.tokenization.base import PreTrainedTokenizerBase
from formers.tokenization.batch import BatchEncoding, CharSpan, TokenSpan
from formers.tokenization.python import PreTrainedTokenizer
from formers.tokenization.strategies import PaddingStrategy, TensorType, TruncationStrategy

__all__ = [
    "AddedToken",
    "BatchEncoding",
    "CharSpan",
    "PaddingStrategy",
    "PreTrainedTokenizer",
    "PreTrainedTokenizerBase",
    "PreTrainedTokenizerFast",
    "TensorType",
    "TokenSpan",
    "TokenizersBackend",
    "TruncationStrategy",
]

PreTrainedTokenizerFast = TokenizersBackend
"""The name of ``TokenizersBackend`` before transformers 5."""
