from __future__ import annotations

import copy
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from small_tokenizer import small
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split, Whitespace

from formers.errors import TextInputError
from formers.tokenization import TokenizersBackend

FORMS: list[dict[str, Any]] = [
    {},
    {"padding": True},
    {"padding": "max_length", "max_length": 9},
    {"truncation": True, "max_length": 4},
    {"truncation": True, "max_length": 5, "padding": "max_length", "padding_side": "left"},
    {"split_special_tokens": True},
]
TEXTS = ["the cat sat on a mat .", "words", "<s> a </s>"]


def test_threads_with_different_settings_do_not_disturb_each_other() -> None:
    tokenizer = small()
    expected = [tokenizer(TEXTS, **form).data for form in FORMS]

    def work(index: int) -> bool:
        return tokenizer(TEXTS, **FORMS[index % len(FORMS)]).data == expected[index % len(FORMS)]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(600)))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_are_equal_and_independent(duplicate: Any) -> None:
    tokenizer = small(model_max_length=70)
    tokenizer.add_tokens(["<new>"])
    other = duplicate(tokenizer)
    assert [other(TEXTS, **form) for form in FORMS] == [tokenizer(TEXTS, **form) for form in FORMS]
    other.add_tokens(["<more>"])
    other.pad_token = "cat"
    assert (len(other), tokenizer.pad_token) == (len(tokenizer) + 1, "<pad>")


def test_changes_of_the_pipeline_take_effect() -> None:
    tokenizer = small()
    tokenizer.backend_tokenizer.normalizer.lowercase = False
    assert tokenizer.tokenize("The") == ["<unk>"]
    tokenizer.backend_tokenizer.normalizer = None
    assert tokenizer.tokenize("The the") == ["<unk>", "the"]


def test_settings_made_on_the_pipeline_do_not_leak_into_calls() -> None:
    tokenizer = small()
    tokenizer.backend_tokenizer.enable_truncation(1)
    tokenizer.backend_tokenizer.enable_padding(length=50)
    assert len(tokenizer("the cat").input_ids) == 4


def test_a_pattern_that_explodes_is_an_ordinary_exception(capfd: pytest.CaptureFixture[str]) -> None:
    backend = Tokenizer(WordLevel({"a": 0, "?": 1}, unk_token="?"))
    backend.pre_tokenizer = Split(Regex(r"(a|aa)+$"), "isolated")
    tokenizer = TokenizersBackend(tokenizer_object=backend)
    with pytest.raises(TextInputError, match=r"gave up on this input .*retry-limit"):
        tokenizer("a" * 40 + "b")
    with pytest.raises(TextInputError, match="gave up"):
        tokenizer(["a", "a" * 40 + "b"])
    assert tokenizer("a").input_ids == [0]
    assert "panicked" in capfd.readouterr().err  # the library's own word on it


def test_options_are_found_in_sequences_of_stages() -> None:
    backend = Tokenizer(WordLevel({"Ġa": 0, "a": 1, "?": 2}, unk_token="?"))
    backend.pre_tokenizer = Sequence([Whitespace(), ByteLevel(add_prefix_space=False)])
    assert TokenizersBackend(tokenizer_object=backend)("a").input_ids == [1]
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    prefixed = TokenizersBackend(tokenizer_object=backend, add_prefix_space=True)
    assert prefixed("a").input_ids == [0]
    assert prefixed.add_prefix_space is True


def test_time_is_linear_in_the_text() -> None:
    tokenizer = small()

    def seconds(text: str) -> float:
        start = time.thread_time()  # of this thread alone: other processes do not count
        tokenizer(text)
        return time.thread_time() - start

    text = "the cat sat on a mat . " * 10_000
    seconds(text)
    once, four_times = (min(seconds(text * factor) for _ in range(3)) for factor in (1, 4))
    assert four_times / once < 11  # a quadratic algorithm takes 16 times as long; caches run out on the way


@pytest.mark.parametrize("text", ["\0", "a\u200db", "\u202eabc", "e\u0301", "é", "👩‍👩‍👧‍👦", "\U0010ffff"])
def test_odd_characters(text: str) -> None:
    encoded = small()(text, return_offsets_mapping=True)
    assert all(0 <= start <= end <= len(text) for start, end in encoded.offset_mapping)


def test_repr_and_lengths() -> None:
    tokenizer = small()
    tokenizer.add_tokens("<new>")
    assert len(tokenizer) == tokenizer.vocab_size + 1 == len(tokenizer.get_vocab())
    assert tokenizer.vocab == tokenizer.get_vocab()
    assert "added_tokens=1" in repr(tokenizer)
    assert tokenizer.convert_tokens_to_string(["word", "##s", "."]) == "words."
