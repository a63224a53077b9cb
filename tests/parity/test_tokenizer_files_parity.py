"""Files of tokenizers: what either library saved, the other reads, whatever tokens were added and however they match.

The flags of added tokens mean the same in Python and in the ``tokenizers`` library; transformers' tokenizers in Python
have rules of their own for some, so that the reference is its tokenizer over the library, in both versions.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken

from formers import AutoTokenizer, TokenizersBackend
from formers_bert import BertTokenizer, BertTokenizerLegacy

transformers = pytest.importorskip("transformers")
BOTH = [pytest.param(0, marks=pytest.mark.parity), pytest.param(1, marks=pytest.mark.parity_old)]
FLAGS = [
    dict(zip(("lstrip", "rstrip", "single_word", "normalized"), bits, strict=True))
    for bits in product((False, True), repeat=4)
]
CONTENTS = ["<n>", "One", "é", "a b", "中", "ing"]
TEXTS = [
    *(
        "a <n> b",
        "a<n>b",
        "a  <n>  b",
        "<N> x",
        "one, <n>.",
        "hello <n>world",
        "x\t<n>\ny",
        "<n><n>",
        "<n> <n>  <n>",
    ),
    *(
        "(<n>)",
        "_<n>_",
        "é<n>é",
        " <n> ",
        "[MASK]<n>[MASK]",
        "a[MASK]b [mask] [CLS]",
        "",
        "Ünïcode<n>\u200dtext",
    ),
]
FORMS: list[dict[str, Any]] = [
    {},
    {"padding": True},
    {"truncation": True, "max_length": 5},
    {"split_special_tokens": True, "add_special_tokens": False},
]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def changed(tokenizer: Any, seed: int) -> Any:
    """The tokenizer with tokens, roles and sides that follow from the seed."""
    rng = random.Random(seed)
    for content in rng.sample(CONTENTS, 3):
        token = AddedToken(content, **rng.choice(FLAGS))
        tokenizer.add_tokens([token], special_tokens=rng.random() < 0.5)
    role = rng.choice(["eos_token", "bos_token"])
    tokenizer.add_special_tokens(
        {role: AddedToken("<r>", lstrip=rng.random() < 0.5), "additional_special_tokens": ["<e>", "<f>"]}
        if transformers.__version__[0] == "4"
        else {role: AddedToken("<r>", lstrip=rng.random() < 0.5), "extra_special_tokens": ["<e>", "<f>"]}
    )
    tokenizer.padding_side, tokenizer.truncation_side = (
        rng.choice(["left", "right"]),
        rng.choice(["left", "right"]),
    )
    tokenizer.model_max_length = rng.choice([64, 512])
    return tokenizer


def behaviour(tokenizer: Any) -> dict[str, Any]:
    texts = [
        text.replace("<n>", content).replace("<N>", content.upper()) for text in TEXTS for content in CONTENTS
    ]
    return {
        "rows": [{name: list(rows) for name, rows in tokenizer(texts, **form).items()} for form in FORMS],
        "added": {token_id: repr(token) for token_id, token in tokenizer.added_tokens_decoder.items()},
        "roles": {
            role: tokenizer.special_tokens_map.get(role) for role in ("eos_token", "bos_token", "mask_token")
        },
        "others": [
            len(tokenizer),
            tokenizer.padding_side,
            tokenizer.truncation_side,
            tokenizer.model_max_length,
            set(tokenizer.all_special_tokens),
        ],
    }


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("seed", range(6))
def test_over_the_library(seed: int, version: int, minilm: Path, tmp_path: Path) -> None:
    theirs = changed(transformers.AutoTokenizer.from_pretrained(minilm), seed)
    ours = changed(AutoTokenizer.from_pretrained(minilm), seed)
    expected = behaviour(theirs)
    assert behaviour(ours) == expected
    theirs.save_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    assert behaviour(transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")) == expected
    for one in (AutoTokenizer, BertTokenizer):
        loaded = one.from_pretrained(tmp_path / "theirs")
        assert behaviour(loaded) == expected
    loaded.save_pretrained(tmp_path / "again")
    assert behaviour(transformers.AutoTokenizer.from_pretrained(tmp_path / "again")) == expected
    generic = TokenizersBackend.from_pretrained(tmp_path / "theirs")
    assert behaviour(generic)["added"] == expected["added"]


@pytest.mark.parametrize("version", BOTH)
def test_in_python_as_over_the_library(version: int, minilm: Path) -> None:
    vocabulary = str(minilm / "vocab.txt")
    fast = transformers.BertTokenizerFast if version else transformers.BertTokenizer
    texts = [text.replace("<n>", "{0}").replace("<N>", "{1}") for text in TEXTS]
    for content, flags, special in product(CONTENTS, FLAGS, (False, True)):
        theirs, ours = fast(vocabulary), BertTokenizerLegacy(vocabulary)
        for one in (theirs, ours):
            one.add_tokens([AddedToken(content, **flags)], special_tokens=special)
        for text in texts:
            filled = text.format(content, content.upper())
            for split in (False, True):
                actual = ours(filled, split_special_tokens=split)["input_ids"]
                assert actual == theirs(filled, split_special_tokens=split)["input_ids"], (
                    content,
                    flags,
                    filled,
                )


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("seed", range(3))
def test_files_of_the_tokenizer_in_python(seed: int, version: int, minilm: Path, tmp_path: Path) -> None:
    legacy = (
        transformers.BertTokenizer
        if version
        else transformers.models.bert.tokenization_bert_legacy.BertTokenizerLegacy
    )
    rng = random.Random(seed)
    tokens = [
        AddedToken("<n>", lstrip=True, rstrip=rng.random() < 0.5, normalized=False),
        AddedToken("zwölf", normalized=False),
    ]
    ours = BertTokenizerLegacy.from_pretrained(minilm)
    ours.add_tokens(tokens)
    ours.add_special_tokens({"eos_token": "<r>"})
    ours.save_pretrained(tmp_path / "ours")
    theirs = legacy.from_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    again = BertTokenizerLegacy.from_pretrained(tmp_path / "theirs")
    assert theirs.get_vocab() == again.get_vocab() == ours.get_vocab()
    assert again.added_tokens_decoder == ours.added_tokens_decoder
    texts = ["a <n> b", "a <r> zwölf", "hello [MASK] world", "Straße, naïve!"]
    assert theirs(texts)["input_ids"] == again(texts)["input_ids"] == ours(texts)["input_ids"]


@pytest.mark.parity_old
@pytest.mark.parametrize("wanted", [True, False])
def test_a_prefix_space_for_the_caller(wanted: bool, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = {char: index for index, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(alphabet, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=not wanted)
    backend.save(str(tmp_path / "tokenizer.json"))
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path, add_prefix_space=wanted)
    ours = TokenizersBackend.from_pretrained(tmp_path, add_prefix_space=wanted)
    assert ours.tokenize("a b") == theirs.tokenize("a b") == ["Ġ"] * wanted + ["a", "Ġ", "b"]
