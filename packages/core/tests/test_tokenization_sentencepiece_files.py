from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spiece import PIECES, field, piece, trained, written

from formers.errors import CorruptFileError, LoadError, MissingExtraError
from formers.tokenization import sentencepiece_files
from formers.tokenization.sentencepiece_files import Algorithm, Kind, Piece, PieceModel, read_pieces


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "spiece.model"


def test_a_model_is_read_as_the_library_reads_it(tmp_path: Path) -> None:
    path = trained(
        tmp_path,
        user_defined_symbols=["<gap>"],
        control_symbols=["<mark>"],
        byte_fallback=True,
        vocab_size=320,
    )
    model = read_pieces(path)
    library = sentencepiece.SentencePieceProcessor(model_file=str(path))
    assert len(model.pieces) == library.get_piece_size()
    for place, found in enumerate(model.pieces):
        assert found.text == library.id_to_piece(place)
        assert found.score == pytest.approx(library.get_score(place))
        assert (found.kind is Kind.CONTROL) == library.is_control(place)
        assert (found.kind is Kind.BYTE) == library.is_byte(place)
    assert [found.text for found in model.pieces if found.kind is Kind.USER_DEFINED] == ["<gap>"]
    assert model.unknown == library.unk_id() == 2
    assert model.byte_fallback
    assert model.add_dummy_prefix
    assert model.remove_extra_whitespaces
    assert len(model.charsmap) > 100_000  # nmt_nfkc


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"add_dummy_prefix": False}, {"add_dummy_prefix": False}),
        ({"remove_extra_whitespaces": False}, {"remove_extra_whitespaces": False}),
        ({"treat_whitespace_as_suffix": True}, {"whitespace_as_suffix": True}),
        ({"normalization_rule_name": "identity"}, {"charsmap": b""}),
        ({"model_type": "bpe"}, {"algorithm": Algorithm.BPE}),
        ({"model_type": "char"}, {"algorithm": Algorithm.CHAR}),
        ({"model_type": "word", "vocab_size": 20}, {"algorithm": Algorithm.WORD}),
    ],
    ids=str,
)
def test_its_settings(tmp_path: Path, options: dict[str, object], expected: dict[str, object]) -> None:
    model = read_pieces(trained(tmp_path, **options))
    assert {name: getattr(model, name) for name in expected} == expected


def test_what_the_file_leaves_open_has_the_values_of_the_format(file: Path) -> None:
    file.write_bytes(written())
    model = read_pieces(file)
    assert model == PieceModel(
        str(file), tuple(Piece(text, score, Kind(kind)) for text, score, kind in PIECES), 2
    )
    file.write_bytes(written(normalizer=field(5, 0) + field(9, b"a later field")))
    assert not read_pieces(file).escape_whitespaces


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 791656\n", "git lfs pull"),
        (b"<!DOCTYPE html>\n<html>Not found</html>", "web page"),
        (b"\n <HTML><body>", "web page"),
        (b'{"error": "not found"}', "not a SentencePiece model|not one piece"),
        (b"Entry not found", "not a SentencePiece model|not one piece"),
        (b"\x00" * 100, "not a SentencePiece model"),
        (b"\xff" * 100, "not a SentencePiece model"),
        (field(2, b"") + field(3, b""), "not one piece"),
        (written()[:20], "cut short"),
        (written([]) + b"".join(piece(*one) for one in PIECES[:2]), "0 pieces for what is unknown"),
        (b"".join(piece(*one) for one in PIECES), "its end is missing"),
        (b"".join(piece(*one) for one in PIECES) + field(2, b""), "its end is missing"),
        (written([*PIECES, ("▁a", -4.0, 1)]), "'▁a' of id 6 is also the piece of id 4"),
        (written([*PIECES, ("", -4.0, 1)]), "id 6 is empty"),
        (written([*PIECES, (b"\xff\xfe", -4.0, 1)]), "id 6 is malformed"),
        (written([*PIECES, ("c", float("nan"), 1)]), "'c' of id 6 has the score nan"),
        (written([*PIECES, ("c", float("-inf"), 1)]), "has the score -inf"),
        (written([*PIECES, ("c" * 5000, -4.0, 1)]), "id 6 has 5,000 characters"),
        (written([*PIECES, ("c", -4.0, 7)]), "id 6 is malformed"),
        (written([*PIECES, ("[U]", 0.0, 2)]), "2 pieces for what is unknown"),
        (written(trainer=field(3, 9)), "model_type is 9"),
        (written(normalizer=field(2, b"abc")), "character map"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_its_name(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(CorruptFileError, match=message) as caught:
        read_pieces(file)
    assert str(file) in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.model", tmp_path, "a\0b"):
        with pytest.raises(LoadError, match="cannot be read"):
            read_pieces(path)


def test_files_and_models_have_a_size(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_bytes(written())
    monkeypatch.setattr(sentencepiece_files, "MAX_TEXT", 10)
    with pytest.raises(CorruptFileError, match="characters together; expected at most 10"):
        read_pieces(file)
    monkeypatch.setattr(sentencepiece_files, "MAX_PIECES", 5)
    with pytest.raises(CorruptFileError, match="6 pieces; expected at most 5"):
        read_pieces(file)
    monkeypatch.setattr(sentencepiece_files, "MAX_BYTES", 50)
    with pytest.raises(CorruptFileError, match="more than 50 bytes"):
        read_pieces(file)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4), end=st.integers(0, 200)
)
def test_whatever_the_bytes_there_is_a_model_or_an_error_of_ours(
    file: Path, changes: list[tuple[int, int]], end: int
) -> None:
    content = bytearray(written(trainer=field(3, 1), normalizer=field(3, 1)))
    for place, byte in changes:
        content[place % len(content)] = byte
    file.write_bytes(content[: len(content) - end % 3])
    with contextlib.suppress(CorruptFileError):
        model = read_pieces(file)
        assert len({one.text for one in model.pieces}) == len(model.pieces) > model.unknown


def test_further_pieces_come_last(file: Path) -> None:
    file.write_bytes(written())
    model = read_pieces(file).with_pieces(["x", "y"])
    assert [one.text for one in model.pieces][-3:] == ["b", "x", "y"]
    with pytest.raises(CorruptFileError, match="'x' of id 8 is also"):
        model.with_pieces(["x"])


def test_the_reader_is_imported_when_a_model_is_read_and_its_lack_is_explained(file: Path) -> None:
    file.write_bytes(written())
    code = f"""
import sys
sys.modules["google.protobuf"] = None
from formers.tokenization.sentencepiece_files import read_pieces
assert "sentencepiece" not in sys.modules
read_pieces({str(file)!r}, install="some[extra]")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"{MissingExtraError.__name__}: {file} is read with protobuf" in done.stderr
    assert "pip install 'some[extra]'" in done.stderr
