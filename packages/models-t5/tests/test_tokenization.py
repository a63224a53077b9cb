from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from small_spiece import trained
from tokenizers import AddedToken

import formers_t5
from formers import CorruptFileError, LoadError, TextInputError, TokenizerWarning
from formers_t5.tokenization import MAX_SENTINELS, T5Tokenizer

TEXT = "the cat <extra_id_0> a mat <extra_id_1>dog"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("t5"))


@pytest.fixture
def tokenizer(file: Path) -> T5Tokenizer:
    return T5Tokenizer(file)


def pieces_of(file: Path) -> int:
    size: int = sentencepiece.SentencePieceProcessor(model_file=str(file)).get_piece_size()
    return size


def test_ids_are_those_of_sentencepiece_with_the_end_token(file: Path, tokenizer: T5Tokenizer) -> None:
    library = sentencepiece.SentencePieceProcessor(model_file=str(file))
    for text in ("the cat sat", "  ﬁsh ①  swam ", "", "Ω the café", "translate English to German: a dog"):
        assert tokenizer(text).input_ids == [*library.encode(text), 1]
        assert tokenizer.tokenize(text) == library.encode(text, out_type=str)
        assert tokenizer.decode(library.encode(text), skip_special_tokens=False) == tokenizer.decode(
            tokenizer(text).input_ids[:-1]
        )
    row = tokenizer("the ﬁsh", return_offsets_mapping=True)
    assert all(0 <= start <= end <= 7 for start, end in row.offset_mapping)


def test_sentinels_are_the_last_ids_counted_down(file: Path, tokenizer: T5Tokenizer) -> None:
    size = pieces_of(file)
    assert len(tokenizer) == tokenizer.vocab_size == size + 100
    assert tokenizer.get_sentinel_tokens() == [f"<extra_id_{number}>" for number in range(100)]
    assert tokenizer.get_sentinel_token_ids() == list(range(size + 99, size - 1, -1))
    assert tokenizer.convert_tokens_to_ids("<extra_id_0>") == size + 99
    assert tokenizer.additional_special_tokens == tokenizer.get_sentinel_tokens()
    assert tokenizer.all_special_tokens[:4] == ["</s>", "<unk>", "<pad>", "<extra_id_0>"]
    row = tokenizer(TEXT).input_ids
    assert (row.count(size + 99), row.count(size + 98)) == (1, 1)
    assert "extra_id" not in tokenizer.decode(row, skip_special_tokens=True)


@pytest.mark.parametrize("extra_ids", [0, 3])
def test_the_number_of_sentinels_is_the_callers(file: Path, extra_ids: int) -> None:
    tokenizer = T5Tokenizer(file, extra_ids=extra_ids)
    assert len(tokenizer) == pieces_of(file) + extra_ids
    assert len(tokenizer.get_sentinel_tokens()) == extra_ids


@pytest.mark.parametrize("extra_ids", [-1, "ten", 1.5, True, MAX_SENTINELS + 1])
def test_an_impossible_number_of_sentinels(file: Path, extra_ids: Any) -> None:
    with pytest.raises(TextInputError, match="extra_ids"):
        T5Tokenizer(file, extra_ids=extra_ids)


def test_further_special_tokens_stand_beside_the_sentinels(file: Path) -> None:
    tokenizer = T5Tokenizer(file, extra_ids=2, additional_special_tokens=["<sep>", "<extra_id_1>"])
    assert tokenizer.additional_special_tokens == ["<sep>", "<extra_id_1>", "<extra_id_0>"]
    assert tokenizer.convert_tokens_to_ids("<sep>") == pieces_of(file) + 2
    assert tokenizer.get_sentinel_tokens() == ["<extra_id_0>", "<extra_id_1>"]
    assert tokenizer.decode(tokenizer("the<sep>cat").input_ids, skip_special_tokens=True) == "the cat"


def test_sentinels_that_a_model_has_are_used(tmp_path: Path) -> None:
    file = trained(tmp_path, user_defined_symbols=["<extra_id_1>", "<extra_id_0>"])
    tokenizer = T5Tokenizer(file, extra_ids=3)
    assert tokenizer.get_sentinel_token_ids() == [4, 3, pieces_of(file)]
    assert len(tokenizer) == pieces_of(file) + 1


def test_pairs_end_twice_and_have_one_type(tokenizer: T5Tokenizer) -> None:
    row = tokenizer("the cat", "a dog", return_token_type_ids=True)
    first, second = (tokenizer(text, add_special_tokens=False).input_ids for text in ("the cat", "a dog"))
    assert (
        row.input_ids == [*first, 1, *second, 1] == tokenizer.build_inputs_with_special_tokens(first, second)
    )
    assert row.token_type_ids == [0] * len(row.input_ids)
    assert tokenizer.create_token_type_ids_from_sequences(first, second) == row.token_type_ids
    assert tokenizer.build_inputs_with_special_tokens(first) == [*first, 1]
    assert tokenizer.get_special_tokens_mask(first, second) == [0] * len(first) + [1] + [0] * len(second) + [
        1
    ]
    assert tokenizer.num_special_tokens_to_add() == 1
    assert set(tokenizer("the cat")) == {"input_ids", "attention_mask"}


def test_white_space_after_special_tokens(file: Path) -> None:
    legacy, new = (T5Tokenizer(file, legacy=value) for value in (True, False))
    assert legacy.tokenize("<extra_id_0>the") == ["<extra_id_0>", *legacy.tokenize("the")]
    assert new.tokenize("<extra_id_0>the")[1] != legacy.tokenize("<extra_id_0>the")[1]
    assert new.tokenize("<extra_id_0> the") == legacy.tokenize("<extra_id_0>the")
    assert new("the  cat sat ").input_ids == legacy("the  cat sat ").input_ids
    assert new.decode(new("<extra_id_0>the cat").input_ids[:-1]) == "<extra_id_0>the cat"
    assert legacy.decode(legacy("<extra_id_0>the cat").input_ids[:-1]) == "<extra_id_0> the cat"
    assert (legacy.legacy, new.legacy, T5Tokenizer(file).legacy) == (True, False, True)


def test_without_a_space_before_the_first_word(file: Path) -> None:
    tokenizer = T5Tokenizer(file, add_prefix_space=False)
    tokens = tokenizer.tokenize("the cat")
    assert not tokens[0].startswith("▁")
    assert any(token.startswith("▁") for token in tokens)
    assert tokenizer.decode(tokenizer("the cat").input_ids, skip_special_tokens=True) == "the cat"
    assert tokenizer.add_prefix_space is False
    assert T5Tokenizer(file).add_prefix_space is True


@pytest.mark.parametrize("name", ["legacy", "add_prefix_space"])
def test_options_are_true_or_false(file: Path, name: str) -> None:
    with pytest.raises(TextInputError, match=f"{name}='no'"):
        T5Tokenizer(file, **{name: "no"})


def test_byte_fallback(tmp_path: Path) -> None:
    tokenizer = T5Tokenizer(trained(tmp_path, byte_fallback=True, vocab_size=330))
    ids = tokenizer("the 漢字 <extra_id_0> cat").input_ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the 漢字 cat"
    tokenizer.save_pretrained(tmp_path / "saved")
    assert (
        T5Tokenizer.from_pretrained(tmp_path / "saved")("the 漢字").input_ids
        == tokenizer("the 漢字").input_ids
    )


def test_symbols_of_the_users_who_trained_the_model(tmp_path: Path) -> None:
    tokenizer = T5Tokenizer(trained(tmp_path, user_defined_symbols=["<br>"], control_symbols=["<ctl>"]))
    ids = tokenizer("the<br>cat<ctl>").input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the<br> cat"
    assert "<br>" not in tokenizer.all_special_tokens


def test_a_vocabulary_of_the_caller() -> None:
    vocab = [("<pad>", 0), ("</s>", 0.0), ("<unk>", 0.0), ("▁a", -1.0), ("b", -2.0)]
    tokenizer = T5Tokenizer(vocab, extra_ids=1)
    assert tokenizer("ab a?").input_ids == [3, 4, 3, 2, 1]
    assert len(tokenizer) == 6
    assert T5Tokenizer(vocab, extra_ids=3).get_sentinel_token_ids() == [5, 6, 7]
    for wrong, message in (
        ([("<unk>", 0.0), ("a", "x")], r"vocab\[1\]"),
        (["<unk>"], r"vocab\[0\]"),
        ([("<unk>", 0.0), ("\ud800", -1.0)], r"vocab\[1\]"),
        ([("a", 0.0)], "without the unk_token '<unk>'"),
    ):
        with pytest.raises(TextInputError, match=message):
            T5Tokenizer(wrong)
    with pytest.raises(CorruptFileError, match="'a' of id 2 is also"):
        T5Tokenizer([("<unk>", 0.0), ("a", -1.0), ("a", -2.0)])


def test_without_anything_there_are_special_tokens_only() -> None:
    tokenizer = T5Tokenizer(extra_ids=2)
    assert tokenizer.get_vocab() == {
        "<pad>": 0, "</s>": 1, "<unk>": 2, "▁": 3, "<extra_id_1>": 4, "<extra_id_0>": 5,
    }  # fmt: skip
    assert tokenizer("a b").input_ids == [3, 2, 3, 2, 1]


def test_other_special_tokens(file: Path) -> None:
    tokenizer = T5Tokenizer(file, eos_token="<end>", pad_token="<p>")
    assert tokenizer.eos_token_id == pieces_of(file) + 100
    assert tokenizer("the").input_ids[-1] == tokenizer.eos_token_id
    assert tokenizer.pad_token_id == pieces_of(file) + 101


@pytest.mark.parametrize("legacy", [None, True, False])
def test_saved_and_loaded(file: Path, tmp_path: Path, legacy: bool | None) -> None:
    tokenizer = T5Tokenizer(file, legacy=legacy, additional_special_tokens=["<sep>"], model_max_length=512)
    tokenizer.add_tokens(["newtoken"])
    paths = tokenizer.save_pretrained(tmp_path / "a", fingerprint=True)
    assert {Path(path).name for path in paths} == {"tokenizer.json", "tokenizer_config.json", "spiece.model"}
    assert (tmp_path / "a/spiece.model").read_bytes() == file.read_bytes()
    loaded = T5Tokenizer.from_pretrained(tmp_path / "a", verify=True)
    assert loaded.legacy == tokenizer.legacy
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.all_special_tokens == tokenizer.all_special_tokens
    assert loaded.model_max_length == 512
    loaded.save_pretrained(tmp_path / "b")
    for name in ("tokenizer.json", "tokenizer_config.json", "spiece.model"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    again = pickle.loads(pickle.dumps(loaded))
    assert again(TEXT).input_ids == tokenizer(TEXT).input_ids


def test_the_model_file_is_kept_as_it_is(file: Path, tokenizer: T5Tokenizer, tmp_path: Path) -> None:
    (path,) = tokenizer.save_vocabulary(tmp_path / "words", filename_prefix="my")
    assert path == str(tmp_path / "words" / "my-spiece.model")
    assert Path(path).read_bytes() == file.read_bytes()
    tokenizer.save_pretrained(tmp_path / "without", legacy_format=False)
    assert not (tmp_path / "without" / "spiece.model").exists()
    lone = T5Tokenizer.from_pretrained(tmp_path / "without")
    assert lone.vocab_file is None
    with pytest.raises(LoadError, match="was not made of a"):
        lone.save_vocabulary(tmp_path)
    gone = T5Tokenizer(path)
    Path(path).unlink()
    gone.save_pretrained(tmp_path / "gone")
    assert (tmp_path / "gone" / "spiece.model").read_bytes() == file.read_bytes()
    with pytest.raises(LoadError, match="cannot be read"):
        T5Tokenizer(path)


def test_a_pipeline_is_the_truth_about_white_space(file: Path, tmp_path: Path) -> None:
    T5Tokenizer(file, legacy=False).save_pretrained(tmp_path)
    with pytest.warns(TokenizerWarning, match="legacy=True has no effect") as caught:
        loaded = T5Tokenizer.from_pretrained(tmp_path, legacy=True)
    assert len(caught) == 1
    assert loaded.legacy is False
    (tmp_path / "tokenizer.json").unlink()
    assert T5Tokenizer.from_pretrained(tmp_path).legacy is False
    assert T5Tokenizer.from_pretrained(tmp_path, legacy=True).legacy is True


def test_one_file_is_enough(file: Path, tmp_path: Path) -> None:
    assert T5Tokenizer.from_pretrained(file)(TEXT).input_ids == T5Tokenizer(vocab_file=file)(TEXT).input_ids
    T5Tokenizer(file).save_pretrained(tmp_path)
    lone = T5Tokenizer(tokenizer_file=tmp_path / "tokenizer.json")
    assert lone(TEXT).input_ids == T5Tokenizer(file)(TEXT).input_ids
    assert len(lone.get_sentinel_tokens()) == 100


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"version https://git-lfs.github.com/spec/v1\n", b"not a model", b"\x0a\x05"]
)
def test_a_broken_model_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "spiece.model").write_bytes(content)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(CorruptFileError, match=r"spiece\.model"):
        T5Tokenizer.from_pretrained(tmp_path)


def test_a_truncated_model_is_refused_wherever_it_ends(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    short = tmp_path / "spiece.model"
    step = len(content) // 40
    for end in (*range(1, 900, 61), *range(1, len(content) - 8, step)):
        short.write_bytes(content[:end])
        with pytest.raises(CorruptFileError, match=r"spiece\.model"):
            T5Tokenizer(short)


def test_a_model_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="of the kind BPE"):
        T5Tokenizer(trained(tmp_path, model_type="bpe"))


def test_too_many_sentinels_in_a_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(file.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"extra_ids": 10**12}))
    with pytest.raises(CorruptFileError, match="extra_ids"):
        T5Tokenizer.from_pretrained(tmp_path)


def test_trained_anew(tokenizer: T5Tokenizer) -> None:
    small = tokenizer.train_new_from_iterator(["aab aab aac"] * 50, vocab_size=115, show_progress=False)
    assert type(small) is T5Tokenizer
    assert len(small.get_sentinel_tokens()) == 100
    assert small("aab").input_ids[-1] == small.eos_token_id
    assert small.decode(small("aab aac").input_ids, skip_special_tokens=True) == "aab aac"


def test_the_names_of_it() -> None:
    names = ("T5Tokenizer", "T5TokenizerFast", "MT5Tokenizer", "MT5TokenizerFast")
    assert {getattr(formers_t5, name) for name in names} == {T5Tokenizer}


def test_added_tokens_keep_their_flags(file: Path) -> None:
    token = AddedToken("<mask>", lstrip=True)
    tokenizer = T5Tokenizer(file, additional_special_tokens=[token])
    assert tokenizer("the <mask>").input_ids[:-2] == tokenizer("the").input_ids[:-1]
    assert tokenizer.added_tokens_decoder[tokenizer.convert_tokens_to_ids("<mask>")].lstrip
