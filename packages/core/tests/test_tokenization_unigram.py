from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from spiece import field, trained, written
from tokenizers import Tokenizer

from formers import TokenizersBackend
from formers.errors import CorruptFileError, LoadError
from formers.tokenization.sentencepiece_files import read_pieces
from formers.tokenization.unigram import Prefix, unigram

TEXTS = [
    "the cat sat on a mat", "  the   dog ", "", " ", "ﬁsh ①", "the\tcat\nran", "unknown: Ω the Ω",
    "thethe cat", "a" * 40,
]  # fmt: skip


def pipeline(path: Path, **options: Any) -> Tokenizer:
    return unigram(read_pieces(path), **options)


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_dummy_prefix": False},
        {"remove_extra_whitespaces": False},
        {"byte_fallback": True, "vocab_size": 320},
    ],
    ids=str,
)
def test_the_pieces_are_those_of_the_library(tmp_path: Path, options: dict[str, Any], words: bool) -> None:
    path = trained(tmp_path, **options)
    backend = pipeline(path, words=words)
    library = sentencepiece.SentencePieceProcessor(model_file=str(path))
    for text in TEXTS:
        if options == {"add_dummy_prefix": False}:
            text = text.lstrip()  # the pipeline keeps such a space, which may follow a special token
        assert backend.encode(text).ids == library.encode(text), text


def test_bytes_become_text_again(tmp_path: Path) -> None:
    backend = pipeline(trained(tmp_path, byte_fallback=True, vocab_size=320))
    row = backend.encode("the 漢字 cat")
    assert "<0xE6>" in row.tokens
    assert backend.decode(row.ids) == "the 漢字 cat"
    cut = row.tokens.index("<0xE6>") + 1
    assert backend.decode(row.ids[:cut]) == "the \ufffd"


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("always", ["▁a", "<pad>", "▁a"]),
        ("first", ["▁a", "<pad>", "<unk>"]),
        ("never", ["<unk>", "<pad>", "<unk>"]),
    ],
)
def test_where_a_text_gets_a_space(tmp_path: Path, prefix: Prefix, expected: list[str]) -> None:
    path = tmp_path / "spiece.model"
    path.write_bytes(written())
    encoding = pipeline(path, prefix=prefix, words=False).encode("a<pad>a")
    assert [["<pad>", "</s>", "<unk>", "▁", "▁a", "b"][found] for found in encoding.ids] == expected


def test_control_pieces_are_special_and_defined_ones_whole(tmp_path: Path) -> None:
    backend = pipeline(trained(tmp_path, user_defined_symbols=["<gap>"], control_symbols=["<mark>"]))
    added = backend.get_added_tokens_decoder()
    assert {token.content: token.special for token in added.values()} == {
        "<pad>": True, "</s>": True, "<mark>": True, "<gap>": False,
    }  # fmt: skip
    assert "<gap>" in backend.encode("the<gap>cat").tokens
    assert all(backend.token_to_id(token.content) == place for place, token in added.items())


def test_without_words_a_text_begins_without_a_space_where_the_model_says_so(tmp_path: Path) -> None:
    """Splitting into words would lose the spaces between them."""
    backend = pipeline(trained(tmp_path, add_dummy_prefix=False), words=True)
    row = backend.encode("the cat")
    assert not row.tokens[0].startswith("▁")
    assert backend.decode(row.ids) == "the cat"


@pytest.mark.parametrize(
    ("trainer", "normalizer", "message"),
    [
        (field(3, 2), b"", "of the kind BPE; expected UNIGRAM"),
        (field(3, 4), b"", "of the kind CHAR"),
        (field(24, 1), b"", "treat_whitespace_as_suffix=True"),
        (b"", field(5, 0), "escape_whitespaces=False"),
    ],
)
def test_models_of_other_kinds_are_refused(
    tmp_path: Path, trainer: bytes, normalizer: bytes, message: str
) -> None:
    path = tmp_path / "spiece.model"
    path.write_bytes(written(trainer=trainer, normalizer=normalizer))
    with pytest.raises(LoadError, match=message):
        pipeline(path)


def test_the_scores_survive_files_and_processes(tmp_path: Path) -> None:
    """The library alone reads 0.1 to 0.3 of them as another number."""
    tokenizer = TokenizersBackend(tokenizer_object=pipeline(trained(tmp_path)), unk_token="<unk>")
    text = tokenizer.backend_tokenizer.to_str()
    assert Tokenizer.from_str(text).to_str() != text
    tokenizer.save_pretrained(tmp_path / "saved")
    loaded = TokenizersBackend.from_pretrained(tmp_path / "saved")
    for again in (loaded, pickle.loads(pickle.dumps(loaded)), copy.deepcopy(tokenizer)):
        assert json.loads(again.backend_tokenizer.to_str())["model"] == json.loads(text)["model"]


def test_a_pipeline_with_an_endless_piece_is_refused(tmp_path: Path) -> None:
    """The library would end the process."""
    described = json.loads(pipeline(trained(tmp_path)).to_str())
    described["model"]["vocab"].append(["a" * 1_000_000, -1.0])
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(described))
    with pytest.raises(CorruptFileError, match="a piece of 1,000,000 characters; expected at most 4,096"):
        TokenizersBackend(tokenizer_file=path)
