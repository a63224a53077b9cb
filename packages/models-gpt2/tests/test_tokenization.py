from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formers import AutoTokenizer, TextInputError
from formers.errors import CorruptFileError
from formers.tokenization.bpe_files import ALPHABET
from formers_gpt2 import GPT2Tokenizer, GPT2TokenizerFast

END = "<|endoftext|>"
MERGES = ["t h", "th e", "Ġ the", "c a", "ca t", "Ġ cat"]
VOCABULARY = {
    token: index for index, token in enumerate([*ALPHABET, *(pair.replace(" ", "") for pair in MERGES), END])
}


@pytest.fixture(scope="module")
def tokenizer() -> GPT2Tokenizer:
    return GPT2Tokenizer(VOCABULARY, MERGES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vocab.json").write_text(json.dumps(VOCABULARY), "utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n", "utf-8")
    return tmp_path


def test_one_class_under_two_names() -> None:
    assert GPT2TokenizerFast is GPT2Tokenizer


def test_a_space_belongs_to_the_word_behind_it(tokenizer: GPT2Tokenizer) -> None:
    assert tokenizer.tokenize("the cat") == ["the", "Ġcat"]
    assert tokenizer.tokenize(" the cat") == ["Ġthe", "Ġcat"]
    assert tokenizer.decode(tokenizer("the cat").input_ids) == "the cat"


def test_nothing_is_added(tokenizer: GPT2Tokenizer) -> None:
    encoded = tokenizer("the", " cat")
    assert set(encoded) == {"input_ids", "attention_mask"}
    assert encoded.input_ids == [VOCABULARY["the"], VOCABULARY["Ġcat"]]
    assert len(tokenizer) == tokenizer.vocab_size == len(VOCABULARY)


def test_special_tokens(tokenizer: GPT2Tokenizer) -> None:
    assert tokenizer.bos_token == tokenizer.eos_token == tokenizer.unk_token == END
    assert tokenizer.pad_token is None
    ids = tokenizer(f"cat{END}cat").input_ids
    assert ids == [VOCABULARY["cat"], VOCABULARY[END], VOCABULARY["cat"]]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "catcat"


def test_padding_needs_a_token_that_a_caller_chooses() -> None:
    tokenizer = GPT2Tokenizer(VOCABULARY, MERGES)
    with pytest.raises(TextInputError, match="pad_token"):
        tokenizer(["the", "the cat"], padding=True)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    encoded = tokenizer(["the", "the cat"], padding=True)
    assert encoded.input_ids[0] == [VOCABULARY[END], VOCABULARY["the"]]
    assert encoded.attention_mask == [[0, 1], [1, 1]]


@given(st.text())
def test_every_text_comes_back(tokenizer: GPT2Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids) == text


class TestPrefixSpace:
    def test_the_first_word_is_one_within_a_text(self) -> None:
        tokenizer = GPT2Tokenizer(VOCABULARY, MERGES, add_prefix_space=True)
        assert tokenizer.tokenize("the cat") == ["Ġthe", "Ġcat"]
        assert tokenizer.add_prefix_space is True

    def test_it_is_kept_with_the_pipeline(self, tmp_path: Path) -> None:
        GPT2Tokenizer(VOCABULARY, MERGES, add_prefix_space=True).save_pretrained(tmp_path)
        assert GPT2Tokenizer.from_pretrained(tmp_path).tokenize("the") == ["Ġthe"]
        changed = GPT2Tokenizer.from_pretrained(tmp_path, add_prefix_space=False)
        assert changed.tokenize("the") == ["the"]


class TestErrors:
    """What becomes of half a character."""

    @pytest.mark.parametrize(("policy", "expected"), [("replace", "a\ufffd"), ("ignore", "a")])
    def test_policies(self, policy: str, expected: str) -> None:
        tokenizer = GPT2Tokenizer(VOCABULARY, MERGES, errors=policy)
        half = tokenizer("aé").input_ids[:-1]
        assert tokenizer.decode(half) == expected
        assert tokenizer.batch_decode([half, half]) == [expected, expected]
        assert tokenizer.convert_tokens_to_string(tokenizer.convert_ids_to_tokens(half)) == expected

    def test_strict(self) -> None:
        tokenizer = GPT2Tokenizer(VOCABULARY, MERGES, errors="strict")
        ids = tokenizer("aé").input_ids
        assert tokenizer.decode(ids) == "aé"
        with pytest.raises(UnicodeDecodeError):
            tokenizer.decode(ids[:-1])

    def test_added_tokens_are_text(self) -> None:
        tokenizer = GPT2Tokenizer(VOCABULARY, MERGES, errors="ignore")
        tokenizer.add_tokens(["漢 字"])
        assert tokenizer.decode(tokenizer("the漢 字cat").input_ids) == "the漢 字cat"
        assert tokenizer.decode(tokenizer(f"the{END}").input_ids, skip_special_tokens=True) == "the"

    def test_it_is_saved(self, tmp_path: Path) -> None:
        GPT2Tokenizer(VOCABULARY, MERGES, errors="ignore").save_pretrained(tmp_path)
        assert GPT2Tokenizer.from_pretrained(tmp_path).errors == "ignore"

    def test_others_are_refused(self) -> None:
        with pytest.raises(TextInputError, match=r"errors='shout'.*replace, ignore, strict"):
            GPT2Tokenizer(VOCABULARY, MERGES, errors="shout")


class TestFiles:
    @pytest.mark.parametrize("names", [("vocab", "merges"), ("vocab_file", "merges_file")])
    def test_by_their_names(self, folder: Path, names: tuple[str, str]) -> None:
        paths = (folder / "vocab.json", str(folder / "merges.txt"))
        tokenizer = GPT2Tokenizer(**dict(zip(names, paths, strict=True)))
        assert tokenizer.get_vocab() == VOCABULARY
        assert tokenizer.tokenize("the cat") == ["the", "Ġcat"]

    def test_in_a_folder(self, folder: Path) -> None:
        assert GPT2Tokenizer.from_pretrained(folder).tokenize("the cat") == ["the", "Ġcat"]

    def test_through_the_model_type(self, folder: Path) -> None:
        (folder / "config.json").write_text('{"model_type": "gpt2"}', "utf-8")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert type(tokenizer) is GPT2Tokenizer
        assert tokenizer.eos_token == END

    def test_a_pipeline_wins(self, folder: Path) -> None:
        GPT2Tokenizer(VOCABULARY, MERGES[:-1]).save_pretrained(folder)
        assert GPT2Tokenizer.from_pretrained(folder).tokenize(" cat") == ["Ġ", "cat"]

    def test_a_round_trip(self, tokenizer: GPT2Tokenizer, tmp_path: Path) -> None:
        tokenizer.save_pretrained(tmp_path)
        again = GPT2Tokenizer.from_pretrained(tmp_path)
        assert again.get_vocab() == tokenizer.get_vocab()
        assert again("the cats").input_ids == tokenizer("the cats").input_ids

    def test_the_files_of_the_vocabulary(self, tokenizer: GPT2Tokenizer, folder: Path) -> None:
        files = tokenizer.vocabulary_files()
        assert files["merges.txt"] == (folder / "merges.txt").read_text("utf-8")
        written = json.loads(files["vocab.json"])
        assert list(written.items()) == list(VOCABULARY.items())

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"vocab": VOCABULARY}, "got vocab without merges"),
            ({"merges": MERGES}, "got merges without vocab"),
        ],
    )
    def test_one_is_not_enough(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(TextInputError, match=message):
            GPT2Tokenizer(**given)

    def test_files_that_do_not_belong_together(self, folder: Path) -> None:
        (folder / "merges.txt").write_text("x yz\n", "utf-8")
        with pytest.raises(CorruptFileError, match=r"merges\.txt.*'yz'"):
            GPT2Tokenizer.from_pretrained(folder)

    def test_without_a_vocabulary_there_is_one_token(self) -> None:
        assert GPT2Tokenizer().get_vocab() == {END: 0}
