"""Laws: what is saved is what is loaded, to the byte; decoding undoes encoding; a row does not know its batch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tokenizer import IDS, NAMES, PLAIN_WORDS, ROLES, WordTokenizer, pipeline, small
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from formers.errors import CorruptFileError
from formers.tokenization import PreTrainedTokenizerBase, TokenizersBackend

CONTENTS = ["<new>", "cat", "Größe", "a b", " x", "\0", "👍🏽", "e\u0301", "[[", "the", "\u2028", '"\\']
TEXTS = ["the cat sat", "Words, <new>and <a> [[", "", "one  Größe\0👍🏽 x", "a b the\u2028e\u0301 <mask>"]
TOKENS = st.builds(
    AddedToken,
    st.sampled_from(CONTENTS),
    lstrip=st.booleans(),
    rstrip=st.booleans(),
    single_word=st.booleans(),
    normalized=st.booleans(),
    special=st.booleans(),
)
ADDED = st.lists(
    TOKENS.filter(lambda token: not (token.normalized and token.content == "\0")),  # nothing would be left
    max_size=5,
    unique_by=lambda token: token.content,
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "padding_side": st.sampled_from(["left", "right"]),
        "truncation_side": st.sampled_from(["left", "right"]),
        "model_max_length": st.sampled_from([0, 5, 512, int(1e30)]),
        "pad_token_type_id": st.integers(0, 3),
        "clean_up_tokenization_spaces": st.booleans(),
        "split_special_tokens": st.booleans(),
        "model_input_names": st.permutations(NAMES),
        "mask_token": st.sampled_from(["<mask>", "sat", AddedToken("<mask>", lstrip=True)]),
        "eos_token": st.sampled_from([None, "</s>", "<eos>"]),
        "extra_special_tokens": st.lists(st.sampled_from(["<a>", "<b>", "on"]), unique=True),
        "unknown_key": st.recursive(
            st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
            ),
            max_leaves=4,
        ),
    },
)
CALLS: list[dict[str, Any]] = [
    {},
    {"truncation": True, "max_length": 4},
    {"padding": "max_length", "max_length": 9, "padding_side": "left"},
    {"split_special_tokens": True, "add_special_tokens": False},
]


def over_the_library(**options: Any) -> PreTrainedTokenizerBase:
    return small(**options)


def in_python(**options: Any) -> PreTrainedTokenizerBase:
    with folder() as path:
        (path / "words.txt").write_text("\n".join(PLAIN_WORDS), "utf-8")
        return WordTokenizer(str(path / "words.txt"), **options)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def files(path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in path.iterdir()}


def rows(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    return [tokenizer(TEXTS, verbose=False, **call).data for call in CALLS]


@pytest.mark.parametrize("make", [over_the_library, in_python])
@given(options=SETTINGS, added=ADDED, later=ADDED)
@settings(max_examples=40, deadline=None)
def test_saving_and_loading_changes_nothing(
    make: Callable[..., PreTrainedTokenizerBase],
    options: dict[str, Any],
    added: list[AddedToken],
    later: list[AddedToken],
) -> None:
    tokenizer = make(**options)
    tokenizer.add_tokens(added)
    tokenizer.add_tokens(later, special_tokens=True)
    with folder() as path:
        tokenizer.save_pretrained(path / "first")
        loaded = type(tokenizer).from_pretrained(path / "first")
        assert rows(loaded) == rows(tokenizer)
        assert loaded.get_vocab() == tokenizer.get_vocab()
        assert loaded.added_tokens_decoder == tokenizer.added_tokens_decoder
        for name in (*options.keys() - {"unknown_key"}, "special_tokens_map", "extra_special_tokens"):
            assert getattr(loaded, name) == getattr(tokenizer, name), name
        assert loaded.init_kwargs.get("unknown_key") == options.get("unknown_key")
        loaded.save_pretrained(path / "second")
        assert files(path / "first") == files(path / "second")
        loaded.save_pretrained(path / "first")
        assert files(path / "first") == files(path / "second")


@pytest.mark.parametrize("make", [over_the_library, in_python])
@given(
    added=ADDED,
    change=st.sampled_from(["padding_side", "mask_token", "extra_special_tokens", "model_max_length"]),
)
@settings(max_examples=15, deadline=None)
def test_changes_after_loading_are_saved(
    make: Callable[..., PreTrainedTokenizerBase], added: list[AddedToken], change: str
) -> None:
    values: dict[str, Any] = {
        "padding_side": "left",
        "mask_token": "on",
        "extra_special_tokens": ["sat"],
        "model_max_length": 7,
    }
    with folder() as path:
        make(mask_token="mat").save_pretrained(path)
        tokenizer = type(make()).from_pretrained(path)
        setattr(tokenizer, change, values[change])
        tokenizer.add_tokens(added)
        tokenizer.save_pretrained(path)
        loaded = type(tokenizer).from_pretrained(path)
        assert getattr(loaded, change) == getattr(tokenizer, change)
        assert rows(loaded) == rows(tokenizer)


def byte_level() -> TokenizersBackend:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({char: index for index, char in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return TokenizersBackend(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", add_bos_token=True)


BYTE_LEVEL = byte_level()


@given(st.text())
def test_bytes_are_lossless(text: str) -> None:
    ids = BYTE_LEVEL(text, split_special_tokens=True).input_ids
    assert BYTE_LEVEL.decode(ids[1:]) == text
    assert BYTE_LEVEL.decode(ids, skip_special_tokens=True) == text
    assert BYTE_LEVEL.decode(ids) == "<s>" + text


@pytest.mark.parametrize("tokenizer", [small(), in_python()], ids=["library", "python"])
@given(st.lists(st.sampled_from(["the", "cat", "on", "a", "mat", ".", "dog", "<s>", "<new>"]), max_size=12))
def test_decoded_text_is_encoded_alike(tokenizer: PreTrainedTokenizerBase, words: list[str]) -> None:
    tokenizer.add_tokens("<new>")
    ids = tokenizer(" ".join(words), add_special_tokens=False).input_ids
    decoded = tokenizer.decode(ids)
    assert tokenizer(decoded, add_special_tokens=False).input_ids == ids
    assert tokenizer.decode(tokenizer(decoded, add_special_tokens=False).input_ids) == decoded
    special = set(tokenizer.all_special_ids)
    assert tokenizer.decode(ids, skip_special_tokens=True) == tokenizer.decode(
        [i for i in ids if i not in special]
    )
    assert tokenizer.convert_tokens_to_ids(tokenizer.convert_ids_to_tokens(ids)) == ids


ITEMS = st.lists(st.text(alphabet="the cat sat.,words é\n", max_size=30), min_size=1, max_size=5)
LIMITS = st.fixed_dictionaries(
    {"padding": st.sampled_from([True, "max_length"]), "max_length": st.integers(4, 16)},
    optional={
        "truncation": st.sampled_from([True, "longest_first"]),
        "pad_to_multiple_of": st.just(1),
        "return_special_tokens_mask": st.booleans(),
    },
)


@pytest.mark.filterwarnings("ignore::formers.TokenizerWarning")
@pytest.mark.parametrize("tokenizer", [small(), in_python()], ids=["library", "python"])
@given(
    ITEMS, st.none() | st.text(alphabet="the cat ", max_size=8), LIMITS, st.sampled_from(["left", "right"])
)
@settings(deadline=None)
def test_a_row_is_what_it_is_alone(
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    second: str | None,
    limits: dict[str, Any],
    side: str,
) -> None:
    pairs = None if second is None else [second] * len(texts)
    batch = tokenizer(texts, pairs, padding_side=side, **limits)
    alone = {name: value for name, value in limits.items() if name not in ("padding", "pad_to_multiple_of")}
    alone.setdefault("truncation", False)
    for index, text in enumerate(texts):
        row = tokenizer(text, second, **alone)
        missing = len(batch["input_ids"][index]) - len(row["input_ids"])
        real = slice(missing, None) if side == "left" else slice(0, len(row["input_ids"]))
        assert sum(batch["attention_mask"][index]) == len(row["input_ids"])
        for name, values in row.items():
            assert batch[name][index][real] == values
        assert set(batch["input_ids"][index]) - set(row["input_ids"]) <= {IDS["<pad>"]}


def test_the_small_tokenizers_have_the_same_special_tokens() -> None:
    assert in_python().special_tokens_map == small().special_tokens_map == ROLES
    assert isinstance(pipeline(), Tokenizer)


def test_a_word_that_was_given_a_role_stays_a_word() -> None:
    tokenizer = small()
    tokenizer.pad_token = "on"
    assert tokenizer.tokenize("only the mat") == small().tokenize("only the mat")
    with folder() as path:
        tokenizer.save_pretrained(path)
        loaded = TokenizersBackend.from_pretrained(path)
        assert loaded.pad_token_id == IDS["on"]
        assert loaded.tokenize("only the mat") == tokenizer.tokenize("only the mat")
        settings_of = (path / "tokenizer_config.json").read_text("utf-8")
        (path / "tokenizer_config.json").write_text(settings_of.replace('"on"\n  ]', "7\n  ]"))
        with pytest.raises(CorruptFileError, match=r"words_with_roles=\[7\]: expected a list of tokens"):
            TokenizersBackend.from_pretrained(path)
