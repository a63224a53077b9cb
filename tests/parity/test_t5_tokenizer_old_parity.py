"""T5's tokenizer against transformers 4.53.3: the new white space and the sentinels, which 5.23 dropped; files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from adversarial import corpus
from spiece_models import carried, train

from formers_t5 import T5Tokenizer

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity_old

TEXTS = [
    "Hello <extra_id_0> world.", "<extra_id_1>a<extra_id_1> a", "  a  b ", "", " ", "naïve ① ﬁsh 漢字",
    "a</s>b <pad>", "<br>the<br> <z_0> other", "translate English to German: That is good.",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    symbols = {"user_defined_symbols": ["<br>", "the"], "control_symbols": ["<ctl>"]}
    return {
        "seqio": carried(root / "seqio"),
        "plain": train(root / "plain"),
        "symbols": train(root / "symbols", **symbols),
    }


OPTIONS: list[dict[str, Any]] = [
    {"legacy": False},
    {"legacy": False, "add_prefix_space": False},
    {"add_prefix_space": False},
    {"legacy": False, "extra_ids": 3, "additional_special_tokens": ["<sep>"]},
    {"legacy": False, "extra_ids": 0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("model", ["seqio", "plain", "symbols"])
def test_the_new_white_space(folders: dict[str, Path], model: str, options: dict[str, Any]) -> None:
    theirs = transformers.T5TokenizerFast.from_pretrained(folders[model], **options)
    ours = T5Tokenizer.from_pretrained(folders[model], **options)
    assert ours.get_vocab() == theirs.get_vocab()
    found, expected = (json.loads(one.backend_tokenizer.to_str()) for one in (ours, theirs))
    for stage in ("normalizer", "pre_tokenizer", "decoder", "model", "added_tokens"):
        assert found[stage] == expected[stage], stage
    texts = [*TEXTS, *corpus(1200)]
    form = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    assert ours(texts, texts[::-1], **form).data == dict(theirs(texts, texts[::-1], **form))
    rows = theirs(texts)["input_ids"]
    for skip in (False, True):
        assert ours.batch_decode(rows, skip) == theirs.batch_decode(rows, skip)


@pytest.mark.parametrize(
    "options",
    [{}, {"extra_ids": 0}, {"extra_ids": 3}, {"additional_special_tokens": ["<sep>", "<b>"]}],
    ids=str,
)
def test_sentinels_and_rows(folders: dict[str, Path], options: dict[str, Any]) -> None:
    theirs = transformers.T5TokenizerFast.from_pretrained(folders["plain"], **options)
    ours = T5Tokenizer.from_pretrained(folders["plain"], **options)
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.all_special_tokens == theirs.all_special_tokens
    assert ours.additional_special_tokens == theirs.additional_special_tokens
    assert ours.additional_special_tokens_ids == theirs.additional_special_tokens_ids
    assert set(ours.get_sentinel_tokens()) == {
        name for name in theirs.get_sentinel_tokens() if "extra" in name
    }
    known = set(ours.get_sentinel_token_ids())
    assert known == set(theirs.get_sentinel_token_ids()) & known
    for first, second in (([5, 6], None), ([5, 1], [7]), ([], [])):
        for method in ("build_inputs_with_special_tokens", "create_token_type_ids_from_sequences"):
            assert getattr(ours, method)(first, second) == getattr(theirs, method)(first, second)
    assert ours.num_special_tokens_to_add(True) == theirs.num_special_tokens_to_add(True)
    padded = {"padding": True, "truncation": True, "max_length": 7}
    assert ours(TEXTS, **padded).data == dict(theirs(TEXTS, **padded))


@pytest.mark.parametrize("legacy", [True, False])
def test_the_two_kinds_of_version_4_read_what_formers_saved(
    folders: dict[str, Path], tmp_path: Path, legacy: bool
) -> None:
    ours = T5Tokenizer.from_pretrained(folders["plain"], legacy=legacy, model_max_length=512)
    ours.add_tokens(["newtoken"])
    ours.save_pretrained(tmp_path)
    fast, slow = (
        transformers.AutoTokenizer.from_pretrained(tmp_path, use_fast=fast) for fast in (True, False)
    )
    assert (type(fast).__name__, type(slow).__name__) == ("T5TokenizerFast", "T5Tokenizer")
    texts = [*TEXTS, "a newtoken b", *corpus(300)]
    assert fast(texts)["input_ids"] == ours(texts).input_ids
    for read in (fast, slow):
        assert read.model_max_length == 512
        assert read.additional_special_tokens == ours.additional_special_tokens
        assert read.convert_tokens_to_ids(["newtoken", "<extra_id_0>", "</s>"]) == ours.convert_tokens_to_ids(
            ["newtoken", "<extra_id_0>", "</s>"]
        )
    assert slow("the quick <extra_id_0> brown")["input_ids"][:2] == ours("the quick").input_ids[:2]
    assert slow.legacy is legacy


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("options", [{"legacy": True}, {"legacy": False}, {"extra_ids": 5}], ids=str)
def test_formers_reads_what_they_saved(
    folders: dict[str, Path], tmp_path: Path, fast: bool, options: dict[str, Any]
) -> None:
    cls = transformers.T5TokenizerFast if fast else transformers.T5Tokenizer
    theirs = cls.from_pretrained(folders["plain"], **options)
    theirs.add_tokens(["newtoken"])
    theirs.save_pretrained(tmp_path)
    ours = T5Tokenizer.from_pretrained(tmp_path)
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.all_special_tokens == theirs.all_special_tokens
    assert ours.legacy == options.get("legacy", True)
    if fast:
        texts = [*TEXTS, *corpus(300)]
        assert ours(texts).input_ids == theirs(texts)["input_ids"]
