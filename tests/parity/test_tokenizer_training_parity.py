"""``train_new_from_iterator`` against transformers: the same vocabulary from the same corpus, for every kind of model.

The library breaks ties between equally frequent pairs at random, so in this corpus no two pairs are equally frequent.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from formers import TokenizersBackend
from formers_bert import BertTokenizer

transformers = pytest.importorskip("transformers")

# Words that are beginnings of each other, with frequencies whose sums all differ.
GROUPS = ["abcd", "efgh", "ijkl", "mnop", "àéîõ", "中文字符"]
COUNTS = iter(2**index + 40 for index in range(18))
CORPUS = [
    [group[:length]] * next(COUNTS) + ["the <new> [MASK] word!"]
    for group in GROUPS[:4]
    for length in (2, 3, 4)
] + [["ÀÉ àé", "中文"] * 31]
SPECIAL: dict[str, Any] = {
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
}
TEMPLATE = processors.TemplateProcessing(
    single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
)
RESERVED = {"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3}


def word_level() -> Tokenizer:
    return pipeline(models.WordLevel(RESERVED, unk_token="<unk>"), pre_tokenizers.Whitespace())


def byte_pairs() -> Tokenizer:
    backend = pipeline(
        models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]),
        pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
    )
    backend.decoder = decoders.ByteLevel()
    return backend


def byte_pairs_with_suffix() -> Tokenizer:
    model = models.BPE(
        {**RESERVED, "a": 4, "b</w>": 5, "ab</w>": 6},
        [("a", "b</w>")],
        unk_token="<unk>",
        end_of_word_suffix="</w>",
    )
    return pipeline(model, pre_tokenizers.Whitespace())


def word_pieces() -> Tokenizer:
    backend = pipeline(
        models.WordPiece(RESERVED, unk_token="<unk>", continuing_subword_prefix="##"),
        pre_tokenizers.BertPreTokenizer(),
    )
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    return backend


def unigrams() -> Tokenizer:
    backend = pipeline(models.Unigram([("<unk>", 0.0), ("▁a", -1.0)], 0, False), pre_tokenizers.Metaspace())
    backend.normalizer = normalizers.NFKC()
    return backend


def pipeline(model: Any, split: Any) -> Tokenizer:
    backend = Tokenizer(model)
    backend.pre_tokenizer = split
    backend.post_processor = TEMPLATE
    return backend


PIPELINES = [word_level, byte_pairs, byte_pairs_with_suffix, word_pieces, unigrams]
FORMS: dict[str, dict[str, Any]] = {
    "plain": {"vocab_size": 330},
    "small": {"vocab_size": 40},
    "new special tokens": {"vocab_size": 330, "new_special_tokens": ["<x>", AddedToken("<y>", rstrip=True)]},
    "renamed": {"vocab_size": 330, "special_tokens_map": {"</s>": "<END>", "<unk>": "<UNKNOWN>"}},
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def described(tokenizer: Any) -> dict[str, Any]:
    """What counts in a pipeline: the pieces, the special tokens with their ids, the stages, and what it does."""
    data = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = data["model"].pop("vocab")
    data["model"].pop("merges", None)
    for part in ("truncation", "padding", "post_processor"):
        data.pop(part)  # labels differ; what is done is compared below
    pieces = vocabulary if isinstance(vocabulary, dict) else [piece for piece, _ in vocabulary]
    return {
        "pieces": sorted(pieces),
        "stages": data,
        "roles": tokenizer.special_tokens_map,
        "rows": [
            tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
            for text in ("abcd efg", "zzz", "<s> ab")
        ],
    }


@pytest.mark.parity
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("make", PIPELINES)
def test_every_kind_of_model(make: Callable[[], Tokenizer], form: dict[str, Any]) -> None:
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=make(), **SPECIAL)
    ours = TokenizersBackend(tokenizer_object=make(), **SPECIAL)
    for one in (theirs, ours):
        one.add_special_tokens({"mask_token": AddedToken("[MASK]", lstrip=True)})
    trained = ours.train_new_from_iterator(CORPUS, show_progress=False, **form)
    expected = theirs.train_new_from_iterator(CORPUS, show_progress=False, **form)
    assert described(trained) == described(expected)
    assert trained.extra_special_tokens == expected.extra_special_tokens


@pytest.mark.parity
def test_the_tokenizer_of_an_architecture(minilm: Path, tmp_path: Path) -> None:
    theirs = transformers.BertTokenizer.from_pretrained(minilm)
    ours = BertTokenizer.from_pretrained(minilm)
    expected = theirs.train_new_from_iterator(CORPUS, 99, show_progress=False)
    trained = ours.train_new_from_iterator(CORPUS, 99, show_progress=False)
    assert type(trained) is BertTokenizer
    assert described(trained) == described(expected)
    trained.save_pretrained(tmp_path)
    read = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert dict(read(["abcd", "The ef"])) == trained(["abcd", "The ef"]).data
