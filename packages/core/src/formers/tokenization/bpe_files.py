"""Byte-level byte-pair encoding (Radford et al. 2019, section 2.2) from ``vocab.json`` and ``merges.txt``.

The vocabulary is a JSON object from token to id. The merges are pairs of tokens, one to a line, the first to be
applied first; a first line ``#version: ...`` is a heading. Tokens spell bytes as the characters of ``ALPHABET``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from formers.errors import CorruptFileError, LoadError, TokenizerWarning, shorten, warn
from formers.files.strict_json import MAX_BYTES, read_json
from formers.tokenization.pipeline import check_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "ALPHABET",
    "Merge",
    "byte_level_bpe",
    "convert",
    "missing_bytes",
    "read_merges",
    "read_vocabulary",
]

Merge = tuple[str, str]
PathLike = str | os.PathLike[str]

_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_MOVED = {byte: 0x100 + place for place, byte in enumerate(sorted(set(range(0x100)) - set(_PRINTABLE)))}
ALPHABET = "".join(chr(_MOVED.get(byte, byte)) for byte in range(0x100))
"""The character that stands for each byte: itself if it is printable, else one from U+0100 on."""

_LARGEST_ID = 2**32 - 1  # what the tokenizers library can hold


def byte_level_bpe(
    vocab: PathLike | Mapping[str, int],
    merges: PathLike | Iterable[str | Sequence[str]],
    *,
    add_prefix_space: bool = False,
    trim_offsets: bool = False,
    use_regex: bool = True,
    unk_token: str | None = None,
) -> Tokenizer:
    """A pipeline for byte-level BPE: its decoder is set, special tokens and a template are the caller's to add.

    Args:
        vocab: a ``vocab.json``, or token to id.
        merges: a ``merges.txt``, or pairs of tokens; a string holds both with a space between.
        add_prefix_space: put a space before a text that does not begin with one, so that its first word is
            encoded as a word within a text.
        trim_offsets: leave the space before a word out of its offsets.
        use_regex: split at words, numbers and punctuation first, with the regular expression of the paper's
            code; without, the whole text is one word, for a caller who sets another splitter before it.
        unk_token: what stands for a byte that is not in the vocabulary. None: such a byte is dropped, and a
            vocabulary file without all of them is a warning.

    Raises:
        CorruptFileError: a file is not what its name promises; the message names file, line and token. For
            values given in place of files, it names the argument.
        LoadError: a file cannot be read.
    """
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.processors import ByteLevel as ByteLevelOffsets

    ids = _checked_ids(vocab, "vocab") if isinstance(vocab, Mapping) else read_vocabulary(vocab)
    listed = _Merges.read(merges) if isinstance(merges, str | os.PathLike) else _Merges.of(merges)
    listed.check(ids)
    if unk_token is None and not isinstance(vocab, Mapping):
        _warn_of_missing_bytes(ids, vocab)
    backend = Tokenizer(
        BPE(ids, listed.pairs, unk_token=unk_token, continuing_subword_prefix="", end_of_word_suffix="")
    )
    backend.pre_tokenizer = ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)
    backend.decoder = ByteLevelDecoder()
    if trim_offsets:
        backend.post_processor = ByteLevelOffsets(trim_offsets=True)
    return backend


def convert(files: Mapping[str, Path], settings: Mapping[str, Any]) -> Tokenizer:
    """The pipeline for a folder with ``vocab.json`` and ``merges.txt`` that says nothing else about its tokenizer.

    Its settings may hold ``add_prefix_space`` and ``trim_offsets``.

    Raises:
        CorruptFileError: the files are none of byte-level BPE, or are malformed.
    """
    ids = read_vocabulary(files["vocab.json"])
    missing = missing_bytes(ids)
    if missing or "a</w>" in ids:
        reason = f"has no token for {len(missing)} of the 256 bytes" if missing else "marks the ends of words"
        raise CorruptFileError(
            f"{files['vocab.json']} {reason}, so it is of another kind than byte-level BPE; expected a "
            "tokenizer_config.json that names its tokenizer_class, and the plugin of that class"
        )
    return byte_level_bpe(
        ids,
        files["merges.txt"],
        add_prefix_space=bool(settings.get("add_prefix_space")),
        trim_offsets=bool(settings.get("trim_offsets")),
    )


def read_vocabulary(path: PathLike) -> dict[str, int]:
    """Token to id from a ``vocab.json``.

    Raises:
        CorruptFileError: it is not a JSON object of whole numbers, or two tokens have one id.
        LoadError: it cannot be read.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise CorruptFileError(
            f"{os.fspath(path)}: {shorten(content)}; expected a JSON object from token to id"
        )
    return _checked_ids(content, os.fspath(path))


def _checked_ids(entries: Mapping[str, int], source: str) -> dict[str, int]:
    """Token to id as a dict of its own, if every id is a whole number and belongs to one token."""
    for token, token_id in entries.items():
        if type(token_id) is not int or not 0 <= token_id <= _LARGEST_ID:
            raise CorruptFileError(
                f"{source}: the token {shorten(token)} has the id {shorten(token_id)}; expected a whole number "
                f"from 0 to {_LARGEST_ID:,}"
            )
    check_ids(entries, source)
    return dict(entries)


def read_merges(path: PathLike) -> list[Merge]:
    """The pairs in a ``merges.txt``, the first to be applied first. Empty lines are passed over.

    Raises:
        CorruptFileError: a line is not two tokens with a space between, or the file is not UTF-8.
        LoadError: it cannot be read.
    """
    return _Merges.read(path).pairs


def missing_bytes(ids: Mapping[str, int]) -> list[int]:
    """The bytes that a vocabulary has no token for; empty for every complete byte-level vocabulary."""
    return [byte for byte, character in enumerate(ALPHABET) if character not in ids]


class _Merges(NamedTuple):
    """Pairs of tokens, and where each comes from."""

    source: str  # the file and "line", or the argument
    numbers: list[int]
    pairs: list[Merge]

    @classmethod
    def read(cls, path: PathLike) -> _Merges:
        found = cls(f"{os.fspath(path)}, line", [], [])
        for number, line in enumerate(_read_text(path).split("\n"), start=1):
            line = line.removesuffix("\r")
            if line and not (number == 1 and line.startswith("#version")):
                found.numbers.append(number)
                found.pairs.append(_pair(line, found.source, number))
        return found

    @classmethod
    def of(cls, merges: Iterable[str | Sequence[str]]) -> _Merges:
        pairs = [_pair(merge, "merges, entry", index) for index, merge in enumerate(merges)]
        return cls("merges, entry", list(range(len(pairs))), pairs)

    def check(self, ids: Mapping[str, int]) -> None:
        """Raise unless both sides of each pair, and what they make, are tokens, and no pair comes twice."""
        seen: dict[Merge, int] = {}
        for number, (left, right) in zip(self.numbers, self.pairs, strict=True):
            if left not in ids or right not in ids or left + right not in ids:
                token = next(token for token in (left, right, left + right) if token not in ids)
                raise CorruptFileError(
                    f"{self.source} {number}: the merge {shorten(f'{left} {right}')} needs the token "
                    f"{shorten(token)}, which is not in the vocabulary; do the two files belong together?"
                )
            earlier = seen.setdefault((left, right), number)
            if earlier != number:
                raise CorruptFileError(
                    f"{self.source} {number}: the merge {shorten(f'{left} {right}')} repeats that of "
                    f"{self.source.rpartition(' ')[2]} {earlier}; "
                    "each pair of tokens has one place"
                )


def _pair(merge: str | Sequence[str], source: str, number: int) -> Merge:
    parts = merge.split(" ") if isinstance(merge, str) else list(merge)
    if len(parts) != 2 or not all(isinstance(part, str) and part for part in parts):
        raise CorruptFileError(
            f"{source} {number}: {shorten(merge)}; expected two tokens with one space between"
        )
    return parts[0], parts[1]


def _read_text(path: PathLike) -> str:
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise LoadError(
            f"{shorten(name)} cannot be read ({error}); expected a merges.txt, one pair of tokens to a line"
        ) from error
    if len(content) > MAX_BYTES:
        raise CorruptFileError(f"{name}: more than {MAX_BYTES:,} bytes; no list of merges is as long")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CorruptFileError(
            f"{name}, line {line}: {shorten(content[error.start : error.start + 1])} is not UTF-8; expected one "
            "pair of tokens to a line"
        ) from error


def _warn_of_missing_bytes(ids: Mapping[str, int], path: PathLike) -> None:
    missing = missing_bytes(ids)
    if missing:
        warn(
            f"{os.fspath(path)} has no token for {len(missing)} of the 256 bytes, such as "
            f"{ALPHABET[missing[0]]!r} for {missing[0]:#04x}; text with them loses them, as there is no unk_token",
            TokenizerWarning,
        )
