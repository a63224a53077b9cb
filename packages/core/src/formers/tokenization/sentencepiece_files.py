"""Models of the SentencePiece library (Kudo and Richardson 2018), as ``spiece.model`` and ``*.spm`` files hold them.

Such a file is a message of Google's protocol buffers: the pieces with their scores, how the model was trained, and
how text is normalised before it is split. The package ``protobuf`` reads it, and is imported when one is read. The
messages are described here by the published numbers of their fields, those alone that a tokenizer needs, so
that neither the SentencePiece library nor code that was generated for one version of ``protobuf`` is needed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple

from formers.errors import CorruptFileError, LoadError, MissingExtraError, shorten
from formers.tokenization.charsmap import check_charsmap
from formers.tokenization.pipeline import LONGEST_PIECE

__all__ = [
    "MAX_BYTES",
    "MAX_PIECES",
    "MAX_TEXT",
    "Algorithm",
    "Kind",
    "Piece",
    "PieceModel",
    "parse_pieces",
    "read_content",
    "read_pieces",
]

MAX_BYTES = 32 * 2**20
"""Of a file. Those of a quarter of a million pieces have some five million; reading takes up to 20 bytes for each."""
MAX_PIECES = 2**21
MAX_TEXT = 16 * 2**20
"""Characters of all pieces together: the ``tokenizers`` library takes some 300 bytes for each."""

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_AGAIN = "Download it again"


class Kind(IntEnum):
    """What a piece is for."""

    NORMAL = 1
    UNKNOWN = 2  # stands for what no piece spells
    CONTROL = 3  # a mark such as the end of a text
    USER_DEFINED = 4  # always one token
    UNUSED = 5
    BYTE = 6  # <0x00> to <0xFF>


class Algorithm(IntEnum):
    """How a text is split into pieces."""

    UNIGRAM = 1
    BPE = 2
    WORD = 3
    CHAR = 4


class Piece(NamedTuple):
    """A piece: its place in the model is its id."""

    text: str
    score: float  # log-probability
    kind: Kind = Kind.NORMAL


@dataclass(frozen=True, slots=True)
class PieceModel:
    """A model, whatever it was read from.

    Args:
        source: the file, for messages.
        pieces: in the order of their ids.
        unknown: the id of the piece that stands for what no piece spells.
        charsmap: the normalisation of characters, as in ``charsmap``; empty for none.
        algorithm: how a text is split.
        byte_fallback: spell what no piece spells in bytes.
        add_dummy_prefix: a text is read as if a space came before it.
        remove_extra_whitespaces: spaces at the ends are dropped, and several are one.
        escape_whitespaces: a space is written as U+2581 in pieces.
        whitespace_as_suffix: it belongs to the word before it.

    Raises:
        CorruptFileError: a text comes twice, is empty or too long, a score is no number, there is no piece
            ``unknown``, or ``charsmap`` is malformed.
    """

    source: str
    pieces: tuple[Piece, ...]
    unknown: int
    charsmap: bytes = b""
    algorithm: Algorithm = Algorithm.UNIGRAM
    byte_fallback: bool = False
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True
    whitespace_as_suffix: bool = False

    def __post_init__(self) -> None:
        places: dict[str, int] = {}
        length = 0
        for place, piece in enumerate(self.pieces):
            length += len(piece.text)
            if len(piece.text) > LONGEST_PIECE:
                self._refuse(place, "has {length:,} characters", length=len(piece.text))
            earlier = places.setdefault(piece.text, place)
            if earlier != place:
                self._refuse(place, "is also the piece of id {earlier}", earlier=earlier)
            if not piece.text:
                self._refuse(place, "is empty")
            if not math.isfinite(piece.score):
                self._refuse(place, "has the score {score}", score=piece.score)
        if length > MAX_TEXT:
            raise CorruptFileError(
                f"{self.source}: pieces of {length:,} characters together; expected at most {MAX_TEXT:,}"
            )
        if not 0 <= self.unknown < len(self.pieces):
            raise CorruptFileError(
                f"{self.source}: {len(self.pieces):,} pieces, but the unknown one is said to be {self.unknown}"
            )
        if self.charsmap:
            check_charsmap(self.charsmap, self.source)

    def with_pieces(self, texts: Iterable[str], score: float = 0.0) -> PieceModel:
        """The model with further pieces, which get the ids after the last."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return PieceModel(**{**values, "pieces": (*self.pieces, *(Piece(text, score) for text in texts))})

    def _refuse(self, place: int, problem: str, **values: object) -> None:
        text = shorten(self.pieces[place].text)
        raise CorruptFileError(
            f"{self.source}: the piece {text} of id {place} {problem.format(**values)}; expected a text of its own, "
            f"of at most {LONGEST_PIECE:,} characters, and a number"
        )


def read_pieces(path: str | os.PathLike[str], *, install: str = "formers[spiece]") -> PieceModel:
    """Read the file of a model: ``parse_pieces`` of ``read_content``; raises as they do."""
    return parse_pieces(read_content(path), os.fspath(path), install=install)


def read_content(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a model's file, as they are.

    Raises:
        CorruptFileError: it is too large.
        LoadError: it cannot be read.
    """
    source = os.fspath(path)
    try:
        with open(source, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise LoadError(
            f"{shorten(source)} cannot be read ({error}); expected a SentencePiece model"
        ) from error
    if len(content) > MAX_BYTES:
        raise CorruptFileError(f"{source}: more than {MAX_BYTES:,} bytes; no SentencePiece model is as large")
    return content


def parse_pieces(content: bytes, source: str, *, install: str = "formers[spiece]") -> PieceModel:
    """The model in the bytes of a file.

    Args:
        content: the bytes.
        source: the file, for messages.
        install: what brings ``protobuf``, for the message if it is missing.

    Raises:
        MissingExtraError: ``protobuf`` is not installed.
        CorruptFileError: the content is empty, cut short, a git-lfs pointer, a web page, or anything else than such
            a model.
    """
    _check_content(content, source)
    model = _parsed(content, source, install)
    if not model.pieces:
        raise CorruptFileError(f"{source}: {len(content):,} bytes, but not one piece. {_AGAIN}")
    if len(model.pieces) > MAX_PIECES:
        raise CorruptFileError(f"{source}: {len(model.pieces):,} pieces; expected at most {MAX_PIECES:,}")
    if not (model.HasField("trainer") and model.HasField("normalizer")):
        raise CorruptFileError(
            f"{source}: {len(content):,} bytes with {len(model.pieces):,} pieces, but it does not say how text is "
            f"normalised, so its end is missing. {_AGAIN}"
        )
    pieces = tuple(_piece(raw, place, source) for place, raw in enumerate(model.pieces))
    unknown = [place for place, piece in enumerate(pieces) if piece.kind is Kind.UNKNOWN]
    if len(unknown) != 1:
        raise CorruptFileError(f"{source}: {len(unknown)} pieces for what is unknown; expected one. {_AGAIN}")
    trainer, normalizer = model.trainer, model.normalizer
    try:
        algorithm = Algorithm(trainer.model_type)
    except ValueError:
        raise CorruptFileError(
            f"{source}: its model_type is {trainer.model_type}; expected one of {[*map(int, Algorithm)]}"
        ) from None
    return PieceModel(
        source,
        pieces,
        unknown[0],
        normalizer.precompiled_charsmap,
        algorithm,
        trainer.byte_fallback,
        normalizer.add_dummy_prefix,
        normalizer.remove_extra_whitespaces,
        normalizer.escape_whitespaces,
        trainer.treat_whitespace_as_suffix,
    )


def _check_content(content: bytes, source: str) -> None:
    """Name what is often found in place of a model."""
    start = content[:512].lstrip().lower()
    if not content:
        problem = f"it is empty. {_AGAIN}"
    elif content.startswith(_LFS_POINTER):
        problem = "it is a git-lfs pointer, not the model; run 'git lfs pull' to get it"
    elif start.startswith((b"<!doctype", b"<html", b"<?xml")):
        problem = f"it is a web page, not a SentencePiece model. {_AGAIN}"
    else:
        return
    raise CorruptFileError(f"{source}: {problem}")


def _parsed(content: bytes, source: str, install: str) -> Any:
    try:
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{source} is read with protobuf, which is not installed. Install it: pip install '{install}'"
        ) from error
    model = _messages()["Model"]()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise CorruptFileError(
            f"{source}: not a SentencePiece model, or cut short ({len(content):,} bytes; {error}). {_AGAIN}"
        ) from error
    return model


def _piece(raw: bytes, place: int, source: str) -> Piece:
    from google.protobuf.message import DecodeError

    message = _messages()["Piece"]()
    try:
        message.ParseFromString(raw)
        return Piece(message.piece.decode("utf-8"), message.score, Kind(message.type))
    except (DecodeError, ValueError) as error:  # ValueError: not UTF-8, or a kind that does not exist
        raise CorruptFileError(
            f"{source}: the piece of id {place} is malformed ({error}). {_AGAIN}"
        ) from error


# Name, number and kind of each field, and its value where the file has none. Pieces are bytes at first: a file of
# millions of them is refused before it has become as many objects. Numbers of a list of names are plain ones, so
# that an unknown name is seen.
_FIELDS: dict[str, tuple[tuple[str, int, str, str | None], ...]] = {
    "Piece": (("piece", 1, "bytes", None), ("score", 2, "float", None), ("type", 3, "int32", "1")),
    "Trainer": (
        ("model_type", 3, "int32", "1"),
        ("treat_whitespace_as_suffix", 24, "bool", "false"),
        ("byte_fallback", 35, "bool", "false"),
    ),
    "Normalizer": (
        ("precompiled_charsmap", 2, "bytes", None),
        ("add_dummy_prefix", 3, "bool", "true"),
        ("remove_extra_whitespaces", 4, "bool", "true"),
        ("escape_whitespaces", 5, "bool", "true"),
    ),
    "Model": (
        ("pieces", 1, "bytes*", None),
        ("trainer", 2, "Trainer", None),
        ("normalizer", 3, "Normalizer", None),
    ),
}
_PACKAGE = "formers.sentencepiece"


@cache
def _messages() -> dict[str, Any]:
    """The classes of the messages, in a pool of their own beside those of other programs."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="formers/sentencepiece.proto", package=_PACKAGE)
    file.syntax = "proto2"
    numbers = descriptor_pb2.FieldDescriptorProto
    for message, fields in _FIELDS.items():
        described = file.message_type.add(name=message)
        for name, number, kind, default in fields:
            field = described.field.add(name=name, number=number)
            field.label = numbers.LABEL_REPEATED if kind.endswith("*") else numbers.LABEL_OPTIONAL
            kind = kind.removesuffix("*")
            if kind in _FIELDS:
                field.type, field.type_name = numbers.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = getattr(numbers, f"TYPE_{kind.upper()}")
            if default is not None:
                field.default_value = default
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        message: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{message}"))
        for message in _FIELDS
    }
