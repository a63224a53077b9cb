"""Small tokenizers for tests: a pipeline of lower-cased words and pieces, and one in Python that splits at spaces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from formers.tokenization import PreTrainedTokenizer, TokenizersBackend

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


PLAIN_WORDS = ["<pad>", "<unk>", "<s>", "</s>", "the", "cat", "sat", "on", "a", "mat", "."]


class WordTokenizer(PreTrainedTokenizer):
    """Splits at spaces."""

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "words.txt"}
    model_input_names: list[str] = NAMES

    def __init__(self, vocab_file: str, **settings: Any) -> None:
        self.words = Path(vocab_file).read_text("utf-8").split()
        super().__init__(**{**ROLES, **settings})

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    def get_vocab(self) -> dict[str, int]:
        return {**{word: index for index, word in enumerate(self.words)}, **self.added_tokens_encoder}

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        return [2, *token_ids_0, 3] if token_ids_1 is None else [2, *token_ids_0, 3, *token_ids_1, 3]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        return [0] * (len(token_ids_0) + 2) + ([] if token_ids_1 is None else [1] * (len(token_ids_1) + 1))

    def vocabulary_files(self) -> dict[str, str | bytes]:
        return {"words.txt": "\n".join(self.words)}

    def _tokenize(self, text: str) -> list[str]:
        return text.split()

    def _convert_token_to_id(self, token: str) -> int | None:
        return self.words.index(token) if token in self.words else None

    def _convert_id_to_token(self, index: int) -> str | None:
        return self.words[index] if index < len(self.words) else None
