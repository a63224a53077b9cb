"""Bad input: an ordinary exception that names the argument or the place, and a tokenizer that is none the worse."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from small_tokenizer import IDS, PLAIN_WORDS, WordTokenizer, small
from tokenizers import Tokenizer, models

from formers.errors import CorruptFileError, LoadError, TextInputError
from formers.tokenization import AddedToken, PreTrainedTokenizerBase, TokenizersBackend


@pytest.fixture(params=["library", "python"])
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> PreTrainedTokenizerBase:
    if request.param == "library":
        return small()
    (tmp_path / "words.txt").write_text("\n".join(PLAIN_WORDS))
    return WordTokenizer(str(tmp_path / "words.txt"))


Attempt = Callable[[PreTrainedTokenizerBase], Any]
ATTEMPTS: dict[str, tuple[Attempt, str]] = {
    "a lone surrogate as a token": (
        lambda t: t.add_tokens(["<new>", "x\ud800"]),
        r"new_tokens\[1\]: lone surrogate .* at index 1",
    ),
    "as a special token": (
        lambda t: t.add_special_tokens({"mask_token": "\ud800"}),
        "mask_token: lone surrogate",
    ),
    "as one of a list": (
        lambda t: t.add_special_tokens({"extra_special_tokens": ["a", "\udfff"]}),
        r"extra_special_tokens\[1\]: lone",
    ),
    "as a role": (lambda t: setattr(t, "pad_token", "\ud800"), "pad_token: lone surrogate"),
    "a role without a token": (lambda t: t.add_special_tokens({"pad_token": None}), "pad_token=None"),
    "a wrong role after a right one": (
        lambda t: t.add_special_tokens({"pad_token": "cat", "colour": "<x>"}),
        "'colour' is not the role",
    ),
    "no tokens": (lambda t: t.add_tokens(None), "new_tokens=None: expected a token, or a list"),  # type: ignore[arg-type]
    "a number as a token": (lambda t: t.add_tokens([3]), r"new_tokens\[0\]=3"),  # type: ignore[list-item]
    "an id below zero": (lambda t: t.decode([4, -1]), "token id -1 at index 1"),
    "an id that is too large": (lambda t: t.decode([10**30]), "token id 10+ at index 0"),
    "half an id": (lambda t: t.convert_ids_to_tokens([4, 0.5]), r"token id 0\.5 at index 1"),
    "a length below zero": (lambda t: t("the", padding="max_length", max_length=-1), "max_length=-1"),
    "a length that fills the memory": (
        lambda t: t("the", padding="max_length", max_length=10**13),
        "10,000,000,000,000 tokens: expected at most",
    ),
    "a multiple that fills the memory": (
        lambda t: t("the", padding=True, pad_to_multiple_of=10**13),
        "pad_to_multiple_of=10,000",
    ),
    "half a length": (lambda t: t("the", truncation=True, max_length=2.5), r"max_length=2\.5"),  # type: ignore[arg-type]
    "a stride below zero": (lambda t: t("the", truncation=True, max_length=9, stride=-1), "stride=-1"),
    "bytes": (lambda t: t(b"the"), "text of type bytes"),  # type: ignore[arg-type]
    "a number in a batch": (lambda t: t(["the", 3]), r"text\[1\]: int 3"),  # type: ignore[arg-type]
    "a surrogate in a batch": (
        lambda t: t(["the", "a\ud800"]),
        r"text\[1\]: lone surrogate '\\ud800' at index 1",
    ),
    "a surrogate in a pair": (
        lambda t: t([("the", "a\ud800")]),
        r"text\[0\]: item 1 of the pair: lone surrogate",
    ),
    "a surrogate in a word": (
        lambda t: t([["a"], ["the", "\ud800"]], is_split_into_words=True),
        r"text\[1\]: word 1: lone",
    ),
    "padding what is no encoding": (lambda t: t.pad(5), "encoded_inputs of type int, 5"),  # type: ignore[arg-type]
    "padding one id": (lambda t: t.pad({"input_ids": 5}), "input_ids=5: expected a list of ids"),
    "padding a row that is none": (
        lambda t: t.pad([{"input_ids": [5]}, {"input_ids": None}]),
        r"input_ids\[1\]=None",
    ),
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_calls(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    attempt, message = ATTEMPTS[name]
    before = (tokenizer.get_vocab(), tokenizer.special_tokens_map, tokenizer.extra_special_tokens)
    with pytest.raises(TextInputError, match=message):
        attempt(tokenizer)
    assert (tokenizer.get_vocab(), tokenizer.special_tokens_map, tokenizer.extra_special_tokens) == before
    assert tokenizer(["the cat"], padding=True).input_ids == [
        [IDS["<s>"], IDS["the"], IDS["cat"], IDS["</s>"]]
    ]


def test_a_surrogate_is_no_token_of_any_vocabulary(tokenizer: PreTrainedTokenizerBase) -> None:
    assert tokenizer.convert_tokens_to_ids(["the", "\ud800"]) == [IDS["the"], IDS["<unk>"]]


@pytest.mark.parametrize(
    "options",
    [{}, {"return_tensors": "pt"}, {"return_tensors": "np"}, {"padding": "max_length", "max_length": 4}],
)
@pytest.mark.parametrize("empty", [[], (), ([], [])])
def test_empty_batches(empty: Any, options: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> None:
    batch = (
        tokenizer(*empty, **options) if isinstance(empty, tuple) and empty else tokenizer(empty, **options)
    )
    for rows in batch.values():
        assert len(rows) == 0
        if "return_tensors" in options:
            assert tuple(rows.shape) == (0, 0)
            assert "int64" in str(rows.dtype)


def test_a_pipeline_of_another_kind() -> None:
    with pytest.raises(TextInputError, match=r"tokenizer_object=5: expected a tokenizers\.Tokenizer"):
        TokenizersBackend(tokenizer_object=5)  # type: ignore[arg-type]
    with pytest.raises(TextInputError, match=r"tokens\[1\]=3: expected a string"):
        small().convert_tokens_to_string(["the", 3])  # type: ignore[list-item]


def test_a_file_on_which_the_library_panics(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    backend = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    data = json.loads(backend.to_str())
    data["model"]["continuing_subword_prefix"] = "a" * 50
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(CorruptFileError, match=r"tokenizer\.json: not a tokenizer of the tokenizers library"):
        TokenizersBackend.from_pretrained(tmp_path)
    assert "panicked" in capfd.readouterr().err  # the library's own word on it


VALUES: list[Any] = [None, -1, 2**64, 1.5, "", "(((", [], {}, [[1]], {"type": "Nope"}]


def test_every_value_of_a_file_may_be_wrong(tmp_path: Path) -> None:
    """The file is refused, or serves; nothing but ordinary exceptions of formers comes out."""
    whole = json.loads(small().backend_tokenizer.to_str())
    path = tmp_path / "tokenizer.json"
    for part in whole:
        inner = [(part, key) for key in whole[part]] if isinstance(whole[part], dict) else []
        for place in [(part,), *inner]:
            for value in VALUES:
                data = json.loads(json.dumps(whole))
                (data if len(place) == 1 else data[part])[place[-1]] = value
                path.write_text(json.dumps(data))
                with suppress(LoadError, TextInputError):
                    TokenizersBackend.from_pretrained(tmp_path)("the cat é")


def test_a_token_that_would_be_found_everywhere_does_not_stop_the_process() -> None:
    """The library neither ends nor returns memory for it, so that this runs in a process of its own."""
    code = """
    import sys
    from small_tokenizer import small
    from formers.errors import TextInputError
    from formers.tokenization import AddedToken
    tokenizer = small()
    tokenizer.add_tokens([AddedToken("the", single_word=True, special=True, normalized=True), "<new>"])
    try:
        tokenizer.add_tokens([AddedToken("\\0", lstrip=True, special=True, normalized=True)])
    except TextInputError:
        print(len(tokenizer("one  Größe\\0👍🏽 x").input_ids))
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip().isdigit(), done.stderr


def test_added_tokens_with_odd_ids() -> None:
    with pytest.raises(TextInputError, match="added_tokens_decoder: the ids are not whole numbers"):
        small(added_tokens_decoder={"x": "<a>"})
    with pytest.raises(TextInputError, match=r"added_tokens_decoder\[0\]=3"):
        small(added_tokens_decoder={17: 3})
    assert small(added_tokens_decoder={"17": AddedToken("<a>")}).convert_tokens_to_ids("<a>") == 17
