"""T5's tokenizer against transformers 5.23 and against the SentencePiece library, on real models."""

from __future__ import annotations

import inspect
import json
import random
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from adversarial import corpus
from spiece_models import VARIANTS, carried, train

from formers import AutoTokenizer
from formers.tokenization.fingerprint import fingerprint
from formers_t5 import T5Tokenizer

pytestmark = pytest.mark.parity

MODELS = ["seqio", *VARIANTS]
TEXTS = [
    "Hello <extra_id_0> world.", "<extra_id_1>a<extra_id_1> a", "  a  b ", "", " ", "naïve ① ﬁsh 漢字",
    "a</s>b <pad>", "<br>the<br> <z_0> other", "\x00\x85\u2028", "translate English to German: That is good.",
]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    made = {name: train(root / name.replace(" ", "-"), **options) for name, options in VARIANTS.items()}
    return {"seqio": carried(root / "seqio"), **made}


def pair(oracle: Any, folder: Path, **options: Any) -> tuple[T5Tokenizer, Any]:
    return T5Tokenizer.from_pretrained(folder, **options), oracle.T5Tokenizer.from_pretrained(
        folder, **options
    )


@pytest.mark.parametrize(
    "options", [{}, {"extra_ids": 0}, {"extra_ids": 3}, {"unk_token": "<U>", "pad_token": "<P>"}], ids=str
)
@pytest.mark.parametrize("model", MODELS)
def test_the_whole_pipeline_is_equal(
    oracle: Any, folders: dict[str, Path], model: str, options: dict[str, Any]
) -> None:
    ours, theirs = pair(oracle, folders[model], **options)
    found, expected = (json.loads(one.backend_tokenizer.to_str()) for one in (ours, theirs))
    assert found == expected
    assert ours.get_vocab() == theirs.get_vocab()
    assert (len(ours), ours.vocab_size) == (len(theirs), theirs.vocab_size)
    for role in ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"):
        assert getattr(ours, role) == getattr(theirs, role), role
        assert getattr(ours, f"{role}_id") == getattr(theirs, f"{role}_id"), role
    assert (ours.model_max_length, ours.padding_side) == (theirs.model_max_length, theirs.padding_side)
    roles = {
        *theirs.special_tokens_map.values(),
        *ours.get_sentinel_tokens(),
    }  # and not every mark of the model
    assert set(ours.all_special_tokens) == roles <= set(theirs.all_special_tokens)


@pytest.mark.parametrize("model", ["seqio", "plain", "symbols"])
def test_every_field_on_every_string(oracle: Any, folders: dict[str, Path], model: str) -> None:
    ours, theirs = pair(oracle, folders[model])
    texts = [*TEXTS, *corpus()]
    forms: list[dict[str, Any]] = [
        {"return_offsets_mapping": True, "return_special_tokens_mask": True, "return_token_type_ids": True},
        {"padding": True, "truncation": True, "max_length": 12},
        {"add_special_tokens": False},
    ]
    for form in forms:
        assert ours(texts, **form).data == dict(theirs(texts, **form))
        assert ours(texts, texts[::-1], **form).data == dict(theirs(texts, texts[::-1], **form))
    for text in texts[::7]:
        assert ours.tokenize(text) == theirs.tokenize(text)


@pytest.mark.parametrize("model", ["seqio", "plain", "symbols"])
def test_every_row_becomes_the_same_text(oracle: Any, folders: dict[str, Path], model: str) -> None:
    ours, theirs = pair(oracle, folders[model])
    chance = random.Random(3)
    rows = [[chance.randrange(len(ours)) for _ in range(chance.randrange(12))] for _ in range(500)]
    rows += ours([*TEXTS, *corpus(600)]).input_ids
    for skip in (False, True):
        assert ours.batch_decode(rows, skip) == theirs.batch_decode(rows, skip)
    for row in rows[::5]:
        tokens = theirs.convert_ids_to_tokens(row)
        assert ours.convert_tokens_to_string(tokens) == theirs.convert_tokens_to_string(tokens)


@pytest.mark.parametrize("model", ["seqio", "plain"])
@pytest.mark.parametrize("options", [{}, {"extra_ids": 7, "additional_special_tokens": ["<sep>"]}], ids=str)
def test_each_reads_what_the_other_saved(
    oracle: Any, folders: dict[str, Path], tmp_path: Path, model: str, options: dict[str, Any]
) -> None:
    ours, theirs = pair(oracle, folders[model], **options)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    texts = [*TEXTS, *corpus(300)]
    expected = theirs(texts)["input_ids"]
    for cls in (oracle.T5Tokenizer, oracle.AutoTokenizer):
        read = cls.from_pretrained(tmp_path / "ours")
        assert type(read) is type(theirs)
        assert read(texts)["input_ids"] == ours(texts).input_ids
        assert set(read.all_special_tokens) == set(ours.all_special_tokens)
    for own in (T5Tokenizer, AutoTokenizer):
        back = own.from_pretrained(tmp_path / "theirs")
        assert type(back) is T5Tokenizer
        assert back(texts).input_ids == (expected if not options else ours(texts).input_ids)
    if not options:
        written, other = (
            json.loads((tmp_path / name / "tokenizer.json").read_text("utf-8")) for name in ("ours", "theirs")
        )
        assert written == other


def test_sentinels_inside_the_model_as_in_mt5(oracle: Any, tmp_path: Path) -> None:
    folder = train(tmp_path, user_defined_symbols=["▁<extra_id_1>", "▁<extra_id_0>"])
    ours, theirs = pair(oracle, folder, extra_ids=0)
    assert json.loads(ours.backend_tokenizer.to_str()) == json.loads(theirs.backend_tokenizer.to_str())
    texts = [*TEXTS, *corpus(300)]
    assert ours(texts).input_ids == theirs(texts)["input_ids"]
    assert ours("a <extra_id_0> b").input_ids.count(4) == 1


@pytest.mark.parametrize("model", ["seqio", "plain"])
def test_the_fingerprint_is_the_oracles(oracle: Any, folders: dict[str, Path], model: str) -> None:
    ours, theirs = pair(oracle, folders[model])
    assert fingerprint(ours) == fingerprint(theirs)


def test_another_end_token(oracle: Any, folders: dict[str, Path]) -> None:
    ours, theirs = pair(oracle, folders["plain"], eos_token="<end>")
    assert ours(TEXTS, TEXTS[::-1]).data == dict(theirs(TEXTS, TEXTS[::-1]))
    assert ours.eos_token_id == theirs.eos_token_id


def test_a_vocabulary_of_the_caller(oracle: Any) -> None:
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁a", -1.0), ("b", -2.0)]
    for arguments in ({"vocab": vocab}, {"vocab": vocab, "extra_ids": 2}, {}):
        ours, theirs = T5Tokenizer(**arguments), oracle.T5Tokenizer(**arguments)
        assert ours.get_vocab() == theirs.get_vocab()
        assert ours(TEXTS).data == dict(theirs(TEXTS))


def test_the_fields_of_its_constructor(oracle: Any) -> None:
    theirs = inspect.signature(oracle.T5Tokenizer.__init__).parameters
    public = [name for name, one in theirs.items() if one.kind is not one.VAR_KEYWORD and name[0] != "_"]
    ours = inspect.signature(T5Tokenizer.__init__).parameters
    assert [name for name in ours if name in public] == public
    for name in public:
        assert ours[name].default == theirs[name].default, name
    assert T5Tokenizer.vocab_files_names == oracle.T5Tokenizer.vocab_files_names
    assert T5Tokenizer.model_input_names == oracle.T5Tokenizer.model_input_names


# What is better here on purpose; docs/differences.md lists it.


def test_sentinels_stay_special_beside_tokens_of_the_caller(oracle: Any, folders: dict[str, Path]) -> None:
    ours, theirs = pair(oracle, folders["plain"], additional_special_tokens=["<sep>"])
    assert ours.get_vocab() == theirs.get_vocab()
    assert "<extra_id_0>" not in theirs.all_special_tokens
    assert ours.get_sentinel_tokens() == [f"<extra_id_{number}>" for number in range(100)]
    with pytest.raises(AttributeError):
        theirs.get_sentinel_tokens()


@pytest.mark.parametrize(
    "options",
    [
        {"byte_fallback": True, "vocab_size": 2400},
        {"pad_id": -1, "unk_id": 0, "bos_id": 1, "eos_id": 2},
        {"add_dummy_prefix": False},
    ],
    ids=str,
)
def test_settings_of_a_model_that_transformers_passes_over(
    oracle: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    ours, theirs = pair(oracle, train(tmp_path, **options))
    library = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    texts = ["the quick brown fox", "漢 re-entry 🫠 unknown: 𒀀", "3.14 (10,000)"]
    expected = [[*library.encode(text), library.eos_id()] for text in texts]
    assert ours(texts).input_ids == expected
    assert theirs(texts)["input_ids"] != expected


@pytest.mark.parametrize("model", [name for name in MODELS if name != "symbols"])
def test_the_pieces_are_those_of_the_library(folders: dict[str, Path], model: str) -> None:
    """The best spelling of the text that both see: the same pieces, or others that are exactly as likely.

    Both do not see the same where a map of characters has rules for several characters at once (the ``tokenizers``
    library applies it within a cluster, SentencePiece anywhere), for U+0085, and around special tokens.
    """
    tokenizer = T5Tokenizer.from_pretrained(folders[model], extra_ids=0)
    library = sentencepiece.SentencePieceProcessor(model_file=str(folders[model] / "spiece.model"))
    normalizer = tokenizer.backend_tokenizer.normalizer
    special = [*tokenizer.added_tokens_encoder]
    texts = [text for text in [*TEXTS, *corpus(3000)] if not any(token in text for token in special)]
    compared = ties = 0
    for text in texts:
        seen = text if normalizer is None else normalizer.normalize_str(text)
        words = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(seen)
        if "".join(word for word, _ in words) != library.normalize(text):
            continue
        compared += 1
        found, expected = tokenizer(text, add_special_tokens=False).input_ids, library.encode(text)
        if found != expected:
            ties += 1
            scores = [sum(map(library.get_score, ids)) for ids in (found, expected)]
            assert scores[0] == pytest.approx(scores[1], rel=1e-5), text
    assert compared > 0.85 * len(texts)
    assert ties < 0.04 * compared
