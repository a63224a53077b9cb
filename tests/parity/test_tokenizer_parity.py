"""The tokenizer against transformers 5.23.0 on the real MiniLM files: every field equal, for every string."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from adversarial import corpus

from formers_bert import tokenization as formers_bert

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity


LONG = "Tokenizers cut the text of a long document into pieces that overlap, so that nothing is lost between them. "
TEXTS = [LONG * 3, *corpus()]
HALF = len(TEXTS) // 2


@pytest.fixture(scope="module")
def reference(minilm: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(minilm)


@pytest.fixture(scope="module")
def ours(minilm: Path) -> Any:
    return formers_bert.BertTokenizer.from_pretrained(minilm)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def plain(encoded: Any) -> dict[str, Any]:
    return {
        name: value.tolist() if hasattr(value, "tolist") else value for name, value in dict(encoded).items()
    }


ALL_FIELDS: dict[str, Any] = {
    "return_offsets_mapping": True,
    "return_special_tokens_mask": True,
    "return_length": True,
    "return_token_type_ids": True,
    "return_attention_mask": True,
}
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all fields": ALL_FIELDS,
    "no special tokens": {"add_special_tokens": False, **ALL_FIELDS},
    "split special tokens": {"split_special_tokens": True, **ALL_FIELDS},
    "padded": {"padding": True, **ALL_FIELDS},
    "padded left to a multiple": {"padding": "longest", "padding_side": "left", "pad_to_multiple_of": 8},
    "padded to a length": {"padding": "max_length", "max_length": 24},
    "padded to the model's length": {"padding": "max_length"},
    "cut": {"truncation": True, "max_length": 12, **ALL_FIELDS},
    "cut by max_length alone": {"max_length": 9},
    "cut and padded": {
        "truncation": True,
        "padding": "max_length",
        "max_length": 16,
        "pad_to_multiple_of": 8,
    },
    "cut to nothing": {"truncation": True, "max_length": 3},
    "pieces": {"truncation": True, "max_length": 8, "return_overflowing_tokens": True, **ALL_FIELDS},
    "pieces that overlap": {
        "truncation": "longest_first",
        "max_length": 14,
        "stride": 3,
        "return_overflowing_tokens": True,
        "padding": True,
        **ALL_FIELDS,
    },
    "pieces without a cut": {"return_overflowing_tokens": True},
    "no masks": {"return_attention_mask": False, "return_token_type_ids": False},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_batches(form: dict[str, Any], reference: Any, ours: Any) -> None:
    assert plain(ours(TEXTS, **form)) == plain(reference(TEXTS, **form))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_single_texts(form: dict[str, Any], reference: Any, ours: Any) -> None:
    for text in TEXTS[::10]:
        assert plain(ours(text, **form)) == plain(reference(text, **form)), text


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_pairs(form: dict[str, Any], reference: Any, ours: Any) -> None:
    firsts, seconds = TEXTS[:HALF], TEXTS[HALF : 2 * HALF]
    expected = plain(reference(firsts, seconds, **form))
    assert plain(ours(firsts, seconds, **form)) == expected
    assert plain(ours(list(zip(firsts, seconds, strict=True)), **form)) == expected
    for first, second in zip(firsts[:30], seconds[:30], strict=True):
        assert plain(ours(first, second, **form)) == plain(reference(first, second, **form))


@pytest.mark.parametrize("strategy", ["only_first", "only_second"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_cutting_one_text_of_a_pair(strategy: str, side: str, minilm: Path) -> None:
    reference = transformers.AutoTokenizer.from_pretrained(minilm, truncation_side=side)
    ours = formers_bert.BertTokenizer.from_pretrained(minilm, truncation_side=side)
    short, long = ["a question of six words here"] * 50, [f"{text} {LONG}" for text in TEXTS[:50]]
    texts = (long, short) if strategy == "only_first" else (short, long)
    form: dict[str, Any] = {
        "truncation": strategy,
        "max_length": 20,
        "stride": 4,
        "return_overflowing_tokens": True,
        **ALL_FIELDS,
    }
    assert plain(ours(*texts, **form)) == plain(reference(*texts, **form))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_words(form: dict[str, Any], reference: Any, ours: Any) -> None:
    words = [text.split() for text in TEXTS]
    words = [row for row in words if row][:1500]
    assert plain(ours(words, is_split_into_words=True, **form)) == plain(
        reference(words, is_split_into_words=True, **form)
    )
    single = {"is_split_into_words": True, **form}
    assert plain(ours(words[3], words[4], **single)) == plain(reference(words[3], words[4], **single))


@pytest.mark.parametrize("kind", ["pt", "np"])
@pytest.mark.parametrize(
    "form", ["padded", "cut and padded", "pieces that overlap", "padded to the model's length"]
)
def test_tensors(kind: str, form: str, reference: Any, ours: Any) -> None:
    expected = reference(TEXTS[:100], return_tensors=kind, **FORMS[form])
    actual = ours(TEXTS[:100], return_tensors=kind, **FORMS[form])
    assert plain(actual) == plain(expected)
    assert {name: (value.dtype, type(value)) for name, value in actual.items()} == {
        name: (value.dtype, type(value)) for name, value in expected.items()
    }
    assert plain(ours("one text", return_tensors=kind, **FORMS[form])) == plain(
        reference("one text", return_tensors=kind, **FORMS[form])
    )


def test_the_vocabulary(reference: Any, ours: Any) -> None:
    assert ours.get_vocab() == reference.get_vocab()
    ids = list(range(len(reference)))
    for skip in (False, True):
        assert ours.convert_ids_to_tokens(ids, skip) == reference.convert_ids_to_tokens(ids, skip)


def test_padding_of_encoded_rows(reference: Any, ours: Any) -> None:
    rows = [dict(reference(text, return_special_tokens_mask=True)) for text in TEXTS[:50]]
    to_length: dict[str, Any] = {"padding": "max_length", "max_length": 400}
    to_multiple: dict[str, Any] = {"pad_to_multiple_of": 16, "padding_side": "left"}
    for options in ({}, to_length, to_multiple):
        assert plain(ours.pad(rows, **options)) == plain(reference.pad(rows, **options))
        tensors = {**options, "return_tensors": "pt"}
        assert plain(ours.pad(rows, **tensors)) == plain(reference.pad(rows, **tensors))


def test_attributes(reference: Any, ours: Any) -> None:
    for name in (
        *(
            "vocab_size",
            "model_max_length",
            "model_input_names",
            "padding_side",
            "truncation_side",
            "is_fast",
        ),
        *(
            "special_tokens_map",
            "all_special_tokens",
            "all_special_ids",
            "extra_special_tokens",
            "pad_token_type_id",
        ),
        *("max_len_single_sentence", "max_len_sentences_pair", "bos_token", "bos_token_id", "mask_token_id"),
        *("do_lower_case", "strip_accents", "tokenize_chinese_chars", "clean_up_tokenization_spaces"),
    ):
        assert getattr(ours, name) == getattr(reference, name), name
    assert len(ours) == len(reference)
    assert [ours.num_special_tokens_to_add(pair) for pair in (False, True)] == [2, 3]


OPTIONS: list[dict[str, Any]] = [
    {"do_lower_case": False},
    {"strip_accents": False},
    {"strip_accents": True, "do_lower_case": False},
    {"tokenize_chinese_chars": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_of_the_caller(options: dict[str, Any], minilm: Path) -> None:
    expected = transformers.AutoTokenizer.from_pretrained(minilm, **options)
    assert plain(formers_bert.BertTokenizer.from_pretrained(minilm, **options)(TEXTS)) == plain(
        expected(TEXTS)
    )


@pytest.mark.parametrize("options", [{}, *OPTIONS], ids=str)
def test_from_a_vocabulary(options: dict[str, Any], minilm: Path) -> None:
    vocabulary = str(minilm / "vocab.txt")
    expected = transformers.BertTokenizer(vocab=vocabulary, **options)
    for actual in (
        formers_bert.BertTokenizer(vocabulary, **options),
        formers_bert.BertTokenizer(vocab_file=vocabulary, **options),
        formers_bert.BertTokenizer.from_pretrained(vocabulary, **options),
    ):
        assert plain(actual(TEXTS, **ALL_FIELDS)) == plain(expected(TEXTS, **ALL_FIELDS))


def added(tokenizer: Any, token: type) -> Any:
    tokenizer.add_tokens(
        ["newtoken", "hello", token("Cased", normalized=False), token("one", single_word=True)]
    )
    tokenizer.add_special_tokens({"eos_token": "</s>", "additional_special_tokens": ["<a>", "<b>"]})
    return tokenizer


ADDED_TEXTS = [
    "a newtoken b",
    "NewToken",
    "xnewtokenx",
    "Cased cased",
    "one someone",
    "<a> x<b></s>",
    "hello [MASK]",
]


def test_added_tokens(minilm: Path) -> None:
    expected = added(transformers.AutoTokenizer.from_pretrained(minilm), transformers.AddedToken)
    actual = added(formers_bert.BertTokenizer.from_pretrained(minilm), transformers.AddedToken)
    assert plain(actual(ADDED_TEXTS, **ALL_FIELDS)) == plain(expected(ADDED_TEXTS, **ALL_FIELDS))
    assert actual.get_added_vocab() == expected.get_added_vocab()
    assert actual.all_special_tokens == expected.all_special_tokens
    assert len(actual) == len(expected)
    ids = expected(ADDED_TEXTS)["input_ids"]
    assert actual.batch_decode(ids, skip_special_tokens=True) == expected.batch_decode(
        ids, skip_special_tokens=True
    )


def test_each_reads_what_the_other_saved(minilm: Path, tmp_path: Path) -> None:
    theirs = added(transformers.AutoTokenizer.from_pretrained(minilm), transformers.AddedToken)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = added(formers_bert.BertTokenizer.from_pretrained(minilm), transformers.AddedToken)
    ours.save_pretrained(tmp_path / "ours")
    texts = [*ADDED_TEXTS, *TEXTS]
    expected = plain(theirs(texts, **ALL_FIELDS))
    for saved in ("theirs", "ours"):
        for load in (transformers.AutoTokenizer, formers_bert.BertTokenizer, transformers.BertTokenizer):
            loaded = load.from_pretrained(tmp_path / saved)
            assert plain(loaded(texts, **ALL_FIELDS)) == expected, (saved, load)
            assert loaded.special_tokens_map == theirs.special_tokens_map
            assert loaded.extra_special_tokens == theirs.extra_special_tokens
            assert loaded.model_max_length == theirs.model_max_length


def is_settled(char: str) -> bool:
    """Whether a character is as old as the tables of the tokenizers library, which are those of Unicode 8.

    Marks and punctuation that came, or changed, after them count as letters there: about 500 characters.
    """
    changed = "\u166d\u1734\u1885\u1886"
    is_new = unicodedata.ucd_3_2_0.category(char) == "Cn" and unicodedata.category(char)[0] in "MPCS"
    return char not in changed and (not is_new or unicodedata.category(char) in ("Cn", "So"))


def test_the_tokenizer_in_python_agrees(minilm: Path, ours: Any) -> None:
    legacy = formers_bert.BertTokenizerLegacy.from_pretrained(minilm)
    texts = ["".join(filter(is_settled, text)) for text in TEXTS]
    for text in texts:
        assert legacy(text).data == ours(text).data, text
    oracle = transformers.models.bert.tokenization_bert_legacy.BertTokenizerLegacy.from_pretrained(minilm)
    ordinary = [LONG, "Don't stop, it's fine.", "Héllo wörld", "中文 and English", "[MASK] me [SEP]"]
    for text in ordinary:
        assert legacy.tokenize(text) == oracle.tokenize(text)
        ids = oracle.encode(text)
        assert legacy.decode(ids) == oracle.decode(ids)
        assert legacy.decode(ids, skip_special_tokens=True) == oracle.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize(
    "form", [form for name, form in FORMS.items() if "return_offsets_mapping" not in form], ids=str
)
def test_the_tokenizer_in_python_cuts_and_pads_alike(form: dict[str, Any], minilm: Path, ours: Any) -> None:
    legacy = formers_bert.BertTokenizerLegacy.from_pretrained(minilm)
    texts = ["".join(filter(is_settled, text)) for text in TEXTS[:200]]
    assert legacy(texts, **form).data == ours(texts, **form).data
    assert legacy(texts[5], texts[6], **form).data == ours(texts[5], texts[6], **form).data


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("length", "stride"), [(3, 0), (6, 0), (6, 1), (9, 2), (14, 2), (21, 5)])
def test_pieces_in_python(side: str, length: int, stride: int, minilm: Path) -> None:
    legacy = formers_bert.BertTokenizerLegacy.from_pretrained(minilm, truncation_side=side)
    ours = formers_bert.BertTokenizer.from_pretrained(minilm, truncation_side=side)
    form: dict[str, Any] = {
        "truncation": True,
        "max_length": length,
        "stride": stride,
        "return_overflowing_tokens": True,
    }
    for pair in (
        ("a b c d e", "f g h i j k l m n"),
        ("a b c d e f g h", "i j"),
        ("a b c", "d e f"),
        (LONG, None),
    ):
        try:
            expected = ours(*pair, **form).data
        except ValueError:
            with pytest.raises(ValueError):
                legacy(*pair, **form)
        else:
            assert legacy(*pair, **form).data == expected
