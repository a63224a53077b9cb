from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_tokenizer import PLAIN_WORDS, WordTokenizer, small

from formers.errors import CorruptFileError, LoadError, TextInputError
from formers.tokenization import AddedToken
from formers.tokenization.truncating import shares

TEXTS = ["the cat sat on a mat .", "a", "", "the <s> cat", "dog"]


@pytest.fixture
def tokenizer(tmp_path: Path) -> WordTokenizer:
    (tmp_path / "words.txt").write_text("\n".join(PLAIN_WORDS))
    return WordTokenizer.from_pretrained(tmp_path)


FORMS: list[dict[str, Any]] = [
    {},
    {"padding": True, "padding_side": "left"},
    {"padding": "max_length", "max_length": 7, "return_length": True},
    {"truncation": True, "max_length": 4},
    {"truncation": True, "max_length": 8, "stride": 1, "return_overflowing_tokens": True, "padding": True},
    {"add_special_tokens": False, "return_special_tokens_mask": True},
    {"return_special_tokens_mask": True, "return_token_type_ids": False, "return_attention_mask": False},
    {"return_tensors": "pt", "padding": True},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_agrees_with_the_tokenizer_over_the_library(form: dict[str, Any], tokenizer: WordTokenizer) -> None:
    fast = small()
    for arguments in (
        (TEXTS,),
        (TEXTS, TEXTS[::-1]),
        ([(TEXTS[0], TEXTS[3])],),
        (TEXTS[0],),
        (TEXTS[3], TEXTS[0]),
    ):
        actual, expected = tokenizer(*arguments, **form), fast(*arguments, **form)
        assert {k: getattr(v, "tolist", lambda v=v: v)() for k, v in actual.items()} == {
            k: getattr(v, "tolist", lambda v=v: v)() for k, v in expected.items()
        }


def test_words_and_an_empty_batch(tokenizer: WordTokenizer) -> None:
    assert tokenizer(["the", "cat"], is_split_into_words=True).input_ids == [2, 4, 5, 3]
    assert tokenizer([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    assert tuple(tokenizer([], return_tensors="pt").input_ids.shape) == (0, 0)


def test_tokens_and_text(tokenizer: WordTokenizer) -> None:
    assert tokenizer.tokenize("the dog", "a") == ["the", "dog", "a"]
    assert tokenizer.tokenize("the dog", add_special_tokens=True) == ["<s>", "the", "<unk>", "</s>"]
    assert tokenizer.decode([2, 4, 5, 3]) == "<s> the cat </s>"
    assert tokenizer.decode([2, 4, 5, 3], skip_special_tokens=True) == "the cat"
    assert tokenizer.get_special_tokens_mask([4], [5]) == [1, 0, 1, 0, 1]
    assert tokenizer.num_special_tokens_to_add(pair=True) == 3
    with pytest.raises(TextInputError, match="token id -1"):
        tokenizer.decode([-1])


def test_added_tokens(tokenizer: WordTokenizer) -> None:
    assert tokenizer.add_tokens(["<new>", "<newer>", AddedToken("one", single_word=True)]) == 3
    assert tokenizer.tokenize("the<newer>one someone<new>") == ["the", "<newer>", "one", "someone", "<new>"]
    assert tokenizer.tokenize("the <s>", split_special_tokens=True) == ["the", "<s>"]
    assert len(tokenizer) == len(PLAIN_WORDS) + 3
    assert tokenizer.decode(tokenizer("the <new> cat").input_ids) == "<s> the <new> cat </s>"


def test_saving_and_loading(tokenizer: WordTokenizer, tmp_path: Path) -> None:
    tokenizer.add_tokens([AddedToken("<new>", lstrip=True)])
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    written = tokenizer.save_pretrained(tmp_path / "saved")
    assert [Path(path).name for path in written] == ["tokenizer_config.json", "words.txt"]
    loaded = WordTokenizer.from_pretrained(tmp_path / "saved")
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert str(loaded.added_tokens_decoder) == str(tokenizer.added_tokens_decoder)
    assert loaded.mask_token_id == tokenizer.mask_token_id == len(PLAIN_WORDS) + 1
    assert pickle.loads(pickle.dumps(loaded))(TEXTS) == tokenizer(TEXTS)
    data = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text("utf-8"))
    assert data["tokenizer_class"] == "WordTokenizer"
    assert WordTokenizer.from_pretrained(tmp_path / "saved" / "words.txt").vocab_size == len(PLAIN_WORDS)
    data["added_tokens_decoder"]["90"] = {"content": "<far>"}
    (tmp_path / "saved" / "tokenizer_config.json").write_text(json.dumps(data))
    with pytest.raises(CorruptFileError, match="'<far>': the files say id 90"):
        WordTokenizer.from_pretrained(tmp_path / "saved")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (["the", 3], {}, r"text\[1\]: int 3"),
        ("x\ud800", {}, "text: lone surrogate"),
        (["the", "x\ud800"], {}, r"text\[1\]: lone surrogate"),
        ("the", {"is_split_into_words": True}, "text of type str"),
        ("the", {"return_offsets_mapping": True}, "WordTokenizer is written in Python and knows no offsets"),
        ("the", {"truncation": True, "max_length": 1}, "no room for the 2 special tokens"),
        ("the cat", {"truncation": "only_second", "max_length": 3}, "only_second"),
    ],
)
def test_bad_input(text: Any, options: dict[str, Any], message: str, tokenizer: WordTokenizer) -> None:
    with pytest.raises(TextInputError, match=message):
        tokenizer(text, **options)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"looked for words\.txt"):
        WordTokenizer.from_pretrained(tmp_path)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_the_shares_of_a_pair(first: int, second: int, room: int) -> None:
    keep_first, keep_second = shares(first, second, "longest_first", room)
    assert keep_second is not None
    if first + second <= room:
        assert (keep_first, keep_second) >= (first, second)
        return
    assert keep_first + keep_second == room
    assert keep_first <= first or keep_second <= second
    if min(first, second) >= room // 2 + 1:
        assert abs(keep_first - keep_second) <= 1


def test_decoding_joins_special_tokens_like_others(tokenizer: WordTokenizer) -> None:
    tokenizer.add_tokens(["<new>"])
    tokenizer.add_tokens(["<special>"], special_tokens=True)
    assert tokenizer.extra_special_tokens == ["<special>"]
    ids = tokenizer.convert_tokens_to_ids(["<unk>", "<new>", "<special>", "cat"])
    tokenizer.convert_tokens_to_string = "|".join  # type: ignore[method-assign, assignment]
    assert tokenizer.decode(ids) == "<unk>|<new>|<special>|cat"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<new>|cat"
