"""Hooks: ``spiece.model`` files of T5 and of architectures that share its tokenizer, read without their packages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers import hookimpl

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from formers import TokenizerConverter

__all__ = ["convert", "formers_tokenizer_converters"]

ROLES = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_OPTIONS = ("extra_ids", "additional_special_tokens", "legacy", "add_prefix_space")


@hookimpl
def formers_tokenizer_converters() -> list[TokenizerConverter]:
    """T5's way of reading a SentencePiece model, for the architectures whose checkpoints are published with it."""
    from formers import TokenizerConverter  # a model that is loaded asks this module, too, and needs none

    return [
        TokenizerConverter(
            "t5-sentencepiece",
            files=("spiece.model",),
            convert=f"{__name__}:convert",
            tokenizer_classes={"T5Tokenizer", "MT5Tokenizer"},
            model_types={"t5", "mt5", "umt5", "longt5", "switch_transformers"},
            defaults={**ROLES, "model_input_names": ["input_ids", "attention_mask"]},
        )
    ]


def convert(files: Mapping[str, Path], settings: Mapping[str, Any]) -> Tokenizer:
    """The pipeline that ``T5Tokenizer`` makes of a ``spiece.model``; raises as it does."""
    from formers_t5.tokenization import T5Tokenizer

    own = {name: settings[name] for name in (*ROLES, *_OPTIONS) if settings.get(name) is not None}
    return T5Tokenizer(files["spiece.model"], **own).backend_tokenizer
