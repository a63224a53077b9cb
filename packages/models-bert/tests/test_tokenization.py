"""BERT's tokenizers on a small vocabulary; ``tests/parity`` compares them with transformers on a real one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formers import CorruptFileError, LoadError, PreTrainedTokenizer, PreTrainedTokenizerFast, TextInputError
from formers_bert import BertTokenizer, BertTokenizerFast, BertTokenizerLegacy
from formers_bert.wordpiece import BasicTokenizer, WordpieceTokenizer, read_vocabulary

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "hello",
    "Hello",
    "word",
    "##y",
    "##s",
    ".",
    ",",
    "'",
    "s",
    "中",
]
WORDS += ["国", "e", "é", "a", "b", "un", "##want", "##ed", "never", "##split", "!", "\u0301"]
IDS = {word: index for index, word in enumerate(WORDS)}
SPECIAL = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert") / "vocab.txt"
    path.write_text("".join(f"{word}\n" for word in WORDS), "utf-8")
    return path


def both(vocabulary: Path, **options: Any) -> list[Any]:
    return [BertTokenizer(vocabulary, **options), BertTokenizerLegacy(vocabulary, **options)]


def test_the_classes() -> None:
    assert BertTokenizerFast is BertTokenizer
    assert issubclass(BertTokenizer, PreTrainedTokenizerFast)
    assert issubclass(BertTokenizerLegacy, PreTrainedTokenizer)
    assert BertTokenizer.is_fast
    assert not BertTokenizerLegacy.is_fast


def test_the_forms_of_a_vocabulary(vocabulary: Path, tmp_path: Path) -> None:
    expected = BertTokenizer(IDS)
    for tokenizer in (
        BertTokenizer(vocabulary),
        BertTokenizer(str(vocabulary)),
        BertTokenizer(vocab=IDS),
        BertTokenizer(vocab_file=vocabulary),
        BertTokenizer.from_pretrained(vocabulary),
        BertTokenizer.from_pretrained(vocabulary.parent),
    ):
        assert tokenizer.get_vocab() == IDS == expected.get_vocab()
        assert tokenizer("hello").input_ids == expected("hello").input_ids
    expected.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert BertTokenizer(tokenizer_file=tmp_path / "tokenizer.json").get_vocab() == IDS


def test_special_tokens_that_the_vocabulary_lacks_are_added() -> None:
    tokenizer = BertTokenizer({"[PAD]": 0, "[UNK]": 1, "hello": 2})
    assert tokenizer.get_added_vocab() == {"[PAD]": 0, "[UNK]": 1, "[SEP]": 3, "[CLS]": 4, "[MASK]": 5}
    assert tokenizer("hello").input_ids == [4, 2, 3]
    assert BertTokenizer().get_vocab() == {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    assert BertTokenizer()("hello").input_ids == [2, 1, 3]


def test_special_tokens(vocabulary: Path) -> None:
    for tokenizer in both(vocabulary):
        assert tokenizer.special_tokens_map == SPECIAL
        assert tokenizer.model_input_names == ["input_ids", "token_type_ids", "attention_mask"]
        assert tokenizer.mask_token_id == 4
        assert tokenizer.tokenize("hello [MASK] .[SEP]") == ["hello", "[MASK]", ".", "[SEP]"]
    other = BertTokenizer({**IDS, "<s>": 90}, cls_token="<s>", model_max_length=7)
    assert other("hello").input_ids[0] == 90


def test_the_format_of_rows(vocabulary: Path) -> None:
    for tokenizer in both(vocabulary):
        assert tokenizer.build_inputs_with_special_tokens([5]) == [2, 5, 3]
        assert tokenizer.build_inputs_with_special_tokens([5], [7, 8]) == [2, 5, 3, 7, 8, 3]
        assert tokenizer.create_token_type_ids_from_sequences([5]) == [0, 0, 0]
        assert tokenizer.create_token_type_ids_from_sequences([5], [7, 8]) == [0, 0, 0, 1, 1, 1]
        assert tokenizer.get_special_tokens_mask([5], [7, 8]) == [1, 0, 1, 0, 0, 1]
        assert tokenizer.get_special_tokens_mask([2, 5, 4, 3, 0], already_has_special_tokens=True) == [
            1,
            0,
            1,
            1,
            1,
        ]
        encoded = tokenizer("hello", "wordy", return_special_tokens_mask=True)
        assert encoded.input_ids == [2, 5, 3, 7, 8, 3]
        assert encoded.token_type_ids == [0, 0, 0, 1, 1, 1]
        assert encoded.special_tokens_mask == [1, 0, 1, 0, 0, 1]


def test_lower_case_is_the_default(vocabulary: Path) -> None:
    for tokenizer in both(vocabulary):
        assert tokenizer.do_lower_case is True
        assert tokenizer.tokenize("Hello") == ["hello"]
    for tokenizer in both(vocabulary, do_lower_case=False):
        assert tokenizer.do_lower_case is False
        assert tokenizer.tokenize("Hello") == ["Hello"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["e"]),
        ({"strip_accents": False}, ["é"]),
        ({"do_lower_case": False}, ["é"]),
        ({"do_lower_case": False, "strip_accents": True}, ["e"]),
    ],
)
def test_accents(options: dict[str, bool], expected: list[str], vocabulary: Path) -> None:
    for tokenizer in both(vocabulary, **options):
        assert tokenizer.tokenize("é") == expected


def test_chinese_characters(vocabulary: Path) -> None:
    for tokenizer in both(vocabulary):
        assert tokenizer.tokenize("中国") == ["中", "国"]
    for tokenizer in both(vocabulary, tokenize_chinese_chars=False):
        assert tokenizer.tokenize("中国") == ["[UNK]"]


def test_unknown_and_long_words(vocabulary: Path) -> None:
    for tokenizer in both(vocabulary):
        assert tokenizer.tokenize("hello xyz unwanted") == ["hello", "[UNK]", "un", "##want", "##ed"]
        assert tokenizer.tokenize("word" + "s" * 96) == ["word", *["##s"] * 96]
        assert tokenizer.tokenize("word" + "s" * 97) == ["[UNK]"]
        assert tokenizer.convert_tokens_to_ids("xyz") == 1


def test_text_is_cleaned(vocabulary: Path) -> None:
    for tokenizer in both(vocabulary):
        assert tokenizer.tokenize("hel\0lo\ufffd\u200d\ta\nb\u3000s") == ["hello", "a", "b", "s"]
    assert BertTokenizer(vocabulary, clean_text=False).tokenize("hel\0lo") == ["[UNK]"]


def test_the_prefix_of_pieces() -> None:
    ids = {**{token: index for index, token in enumerate(SPECIAL.values())}, "word": 5, "@y": 6}
    tokenizer = BertTokenizer(ids, wordpieces_prefix="@")
    assert tokenizer.tokenize("wordy") == ["word", "@y"]
    assert tokenizer.decode([5, 6]) == "wordy"


def test_words_that_are_never_split(vocabulary: Path) -> None:
    legacy = BertTokenizerLegacy(vocabulary, never_split=["never.split", "hello."])
    assert legacy.tokenize("hello. Hello.") == ["hello.", "hello", "."]
    assert BertTokenizerLegacy(vocabulary, do_basic_tokenize=False).tokenize("Hello hello.") == [
        "Hello",
        "[UNK]",
    ]


def test_decoding(vocabulary: Path) -> None:
    text = "hello wordy, a's b!"
    for tokenizer in both(vocabulary):
        ids = tokenizer(text).input_ids
        assert tokenizer.convert_tokens_to_string(["un", "##want", "##ed", "a"]) == "unwanted a"
        assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ' s", "'s") == text
    legacy = BertTokenizerLegacy(vocabulary)
    assert legacy.decode(legacy(text).input_ids) == "[CLS] hello wordy, a's b! [SEP]"
    assert legacy.decode(legacy("a .").input_ids, clean_up_tokenization_spaces=False) == "[CLS] a . [SEP]"


@given(st.text(alphabet=[*"Hello wordysé.,'!中国ab\t[]MASK", "\u0301", "İ", "ß", "ﬁ", "👍", "\u2028"]))
def test_the_two_agree(text: str) -> None:
    fast, legacy = _pair()
    assert fast(text, text).data == legacy(text, text).data


def _pair(found: list[Any] = []) -> list[Any]:  # noqa: B006 - made once
    if not found:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "vocab.txt")
            path.write_text("\n".join(WORDS), "utf-8")
            found += both(path)
    return found


def test_saving_and_loading(vocabulary: Path, tmp_path: Path) -> None:
    for index, tokenizer in enumerate(both(vocabulary, do_lower_case=False, model_max_length=12)):
        tokenizer.add_tokens(["<new>"])
        folder = tmp_path / str(index)
        tokenizer.save_pretrained(folder)
        loaded = type(tokenizer).from_pretrained(folder)
        text = "Hello <new> wordy [MASK]"
        assert loaded(text) == tokenizer(text) == pickle.loads(pickle.dumps(loaded))(text)
        assert (loaded.do_lower_case, loaded.model_max_length) == (False, 12)
        data = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        assert data["tokenizer_class"] == type(tokenizer).__name__
        assert data["do_lower_case"] is False
        loaded.save_pretrained(tmp_path / f"again{index}")
        for path in folder.iterdir():
            assert path.read_bytes() == (tmp_path / f"again{index}" / path.name).read_bytes()


def test_the_vocabulary_alone(vocabulary: Path, tmp_path: Path) -> None:
    for index, tokenizer in enumerate(both(vocabulary)):
        written = tokenizer.save_vocabulary(tmp_path / str(index), "en")
        assert written == (str(tmp_path / str(index) / "en-vocab.txt"),)
        assert Path(written[0]).read_bytes() == vocabulary.read_bytes()


def test_a_vocabulary_that_is_there_is_kept_up_to_date(vocabulary: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("old")
    BertTokenizer(vocabulary).save_pretrained(tmp_path)
    assert BertTokenizerLegacy.from_pretrained(tmp_path).get_vocab() == IDS
    BertTokenizer(vocabulary).save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new" / "vocab.txt").exists()
    BertTokenizer(vocabulary).save_pretrained(tmp_path / "new", legacy_format=True)
    assert BertTokenizerLegacy.from_pretrained(tmp_path / "new").get_vocab() == IDS


def test_the_pipeline_decides_where_there_is_one(vocabulary: Path, tmp_path: Path) -> None:
    BertTokenizer(vocabulary, do_lower_case=False).save_pretrained(tmp_path)
    loaded = BertTokenizer(tokenizer_file=tmp_path / "tokenizer.json")
    assert loaded.do_lower_case is False
    assert loaded.tokenize("Hello") == ["Hello"]
    (tmp_path / "tokenizer_config.json").unlink()
    assert BertTokenizer.from_pretrained(tmp_path).tokenize("Hello") == ["Hello"]
    assert BertTokenizer.from_pretrained(tmp_path, do_lower_case=True).tokenize("Hello") == ["hello"]


def test_bad_vocabularies(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("a\nb\na\n")
    with pytest.raises(CorruptFileError, match=r"vocab\.txt: line 3 repeats 'a' of line 1"):
        BertTokenizer(path)
    path.write_bytes(b"a\n\xff\n")
    with pytest.raises(CorruptFileError, match=r"vocab\.txt: not UTF-8"):
        BertTokenizerLegacy(path)
    with pytest.raises(LoadError, match=r"nowhere\.txt: cannot be read"):
        BertTokenizer(tmp_path / "nowhere.txt")
    with pytest.raises(TextInputError, match="vocab: two tokens have one id"):
        BertTokenizer({"a": 0, "b": 0})
    path.unlink()
    with pytest.raises(LoadError, match=r"looked for vocab\.txt, tokenizer\.json"):
        BertTokenizer.from_pretrained(tmp_path)


def test_vocabularies_from_windows(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"[UNK]\r\na\r\n\xc2\xa0\r\n")
    assert read_vocabulary(path) == {"[UNK]": 0, "a": 1, "\xa0": 2}


def test_the_stages_by_themselves() -> None:
    assert BasicTokenizer().tokenize(" Héllo,wörld!\u2028x ") == ["hello", ",", "world", "!", "x"]
    assert BasicTokenizer(False).tokenize("Héllo") == ["Héllo"]
    pieces = WordpieceTokenizer({"un": 0, "##want": 1, "##ed": 2}, "[UNK]")
    assert pieces.tokenize(["unwanted", "unwant", "want"]) == [
        "un",
        "##want",
        "##ed",
        "un",
        "##want",
        "[UNK]",
    ]
