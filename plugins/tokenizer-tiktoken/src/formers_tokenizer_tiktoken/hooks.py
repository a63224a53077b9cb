"""The hook through which the core finds the converter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers import hookimpl

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from formers import TokenizerConverter

__all__ = ["convert", "formers_tokenizer_converters"]

QWEN_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    *(f"<|extra_{number}|>" for number in range(205)),
)
"""The special tokens of the first Qwen models, which follow the vocabulary and are in no file."""


@hookimpl
def formers_tokenizer_converters() -> list[TokenizerConverter]:
    """The first Qwen models, whose folders have no other vocabulary."""
    from formers import TokenizerConverter  # a model that is loaded asks this module, too, and needs none

    return [
        TokenizerConverter(
            "qwen-tiktoken",
            files=("qwen.tiktoken",),
            convert=f"{__name__}:convert",
            tokenizer_classes={"QWenTokenizer"},
            model_types={"qwen"},
            defaults={"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
        )
    ]


def convert(files: Mapping[str, Path], settings: Mapping[str, Any]) -> Tokenizer:
    """The pipeline of a ``qwen.tiktoken``; raises as :func:`.ranks.read_ranks`."""
    from .ranks import QWEN, pipeline, read_ranks

    return pipeline(read_ranks(files["qwen.tiktoken"]), QWEN, special=QWEN_SPECIAL)
