"""Hooks: ``vocab.txt`` files of BERT and of architectures that share its tokenizer, read without their packages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formers import hookimpl

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from formers import TokenizerConverter

__all__ = ["convert", "formers_tokenizer_converters"]

ROLES = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
SAME = ("Bert", "Electra", "MobileBert", "SqueezeBert", "ConvBert", "LayoutLM", "Lxmert")
"""The architectures whose published tokenizers are this one under other names."""

_OPTIONS = ("do_lower_case", "strip_accents", "tokenize_chinese_chars", "clean_text", "wordpieces_prefix")


@hookimpl
def formers_tokenizer_converters() -> list[TokenizerConverter]:
    """WordPiece, with token type ids and, for the architectures without token types, without."""
    from formers import TokenizerConverter  # a model that is loaded asks this module, too, and needs none

    with_types = ["input_ids", "token_type_ids", "attention_mask"]
    return [
        TokenizerConverter(
            "wordpiece",
            files=("vocab.txt",),
            convert=f"{__name__}:convert",
            tokenizer_classes={f"{name}Tokenizer" for name in SAME},
            model_types={name.lower() for name in SAME},
            defaults={**ROLES, "model_input_names": with_types},
        ),
        TokenizerConverter(
            "wordpiece-without-types",
            files=("vocab.txt",),
            convert=f"{__name__}:convert",
            tokenizer_classes={"DistilBertTokenizer"},
            model_types={"distilbert"},
            defaults={**ROLES, "model_input_names": ["input_ids", "attention_mask"]},
        ),
    ]


def convert(files: Mapping[str, Path], settings: Mapping[str, Any]) -> Tokenizer:
    """The pipeline that ``BertTokenizer`` makes of a ``vocab.txt``; raises as it does."""
    from formers_bert.tokenization import BertTokenizer

    own = {name: settings[name] for name in (*ROLES, *_OPTIONS) if settings.get(name) is not None}
    return BertTokenizer(vocab_file=files["vocab.txt"], **own).backend_tokenizer
