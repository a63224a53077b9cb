"""A small pipeline for the tests of tokenizers: lower-cased words, split at punctuation, and word pieces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from formers.tokenization import TokenizersBackend

WORDS = [
    "<pad>",
    "<unk>",
    "<s>",
    "</s>",
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    ".",
    ",",
    "word",
    "##s",
    "##y",
]
WORDS += ["é", "e"]
IDS = {word: index for index, word in enumerate(WORDS)}
ROLES = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
NAMES = ["input_ids", "token_type_ids", "attention_mask"]


def pipeline() -> Tokenizer:
    backend = Tokenizer(WordPiece(IDS, unk_token="<unk>"))
    backend.normalizer = BertNormalizer(lowercase=True, strip_accents=False)
    backend.pre_tokenizer = BertPreTokenizer()
    backend.decoder = WordPieceDecoder()
    backend.post_processor = TemplateProcessing(
        single="<s>:0 $A:0 </s>:0",
        pair="<s>:0 $A:0 </s>:0 $B:1 </s>:1",
        special_tokens=[("<s>", IDS["<s>"]), ("</s>", IDS["</s>"])],
    )
    return backend


def small(**settings: Any) -> TokenizersBackend:
    return TokenizersBackend(tokenizer_object=pipeline(), **{"model_input_names": NAMES, **ROLES, **settings})


def folder_of(path: Path, **settings: Any) -> Path:
    """A folder with the pipeline and a ``tokenizer_config.json``."""
    path.mkdir(exist_ok=True)
    pipeline().save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(
        json.dumps({**ROLES, "model_input_names": NAMES, **settings}), "utf-8"
    )
    return path
