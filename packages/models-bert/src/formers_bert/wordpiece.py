"""BERT's tokenization in Python: cleaning, splitting into words, and WordPiece (Devlin et al. 2019, section 3)."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence

from formers import CorruptFileError, LoadError

__all__ = ["BasicTokenizer", "WordpieceTokenizer", "read_vocabulary"]

# Blocks of Chinese characters (CJK Unified Ideographs and its extensions); not of Hangul, Hiragana or Katakana.
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def read_vocabulary(path: str | os.PathLike[str]) -> dict[str, int]:
    """Token to id from a ``vocab.txt``: the token of line n, counted from 0, has the id n.

    Raises:
        CorruptFileError: a token is there twice, or the file is not UTF-8.
        LoadError: the file cannot be read.
    """
    name = os.fspath(path)
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            lines = file.read().split("\n")
    except UnicodeDecodeError as error:
        raise CorruptFileError(f"{name}: not UTF-8 text ({error}); expected one token to a line") from error
    except OSError as error:
        raise LoadError(
            f"{name}: cannot be read ({error}); expected a vocab.txt, one token to a line"
        ) from error
    if lines[-1] == "":
        lines.pop()
    ids: dict[str, int] = {}
    for index, line in enumerate(lines):
        token = line.removesuffix("\r")
        if token in ids:
            raise CorruptFileError(f"{name}: line {index + 1} repeats {token!r} of line {ids[token] + 1}")
        ids[token] = index
    return ids


class BasicTokenizer:
    """Text to words: cleaned, split at white space, punctuation and Chinese characters.

    Args:
        do_lower_case: lower-case the words.
        never_split: words that are passed on as they are.
        tokenize_chinese_chars: make a word of each Chinese character.
        strip_accents: remove accents; None: if the words are lower-cased.
    """

    def __init__(
        self,
        do_lower_case: bool = True,
        never_split: Collection[str] = (),
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
    ) -> None:
        self._lower = do_lower_case
        self._chinese = tokenize_chinese_chars
        self._strip = do_lower_case if strip_accents is None else strip_accents
        self.never_split = frozenset(never_split)

    def tokenize(self, text: str) -> list[str]:
        """The words of a text."""
        words: list[str] = []
        for word in "".join(self._cleaned(text)).split(" "):
            if word in self.never_split:
                words.append(word)
            elif word:
                words += _split_at_punctuation(self._normalised(word))
        return words

    def normalise(self, text: str) -> str:
        """A text as its words will be: cleaned, and lower-cased and without accents as far as that is asked for."""
        words = "".join(self._cleaned(text)).split(" ")
        return " ".join(word if word in self.never_split else self._normalised(word) for word in words)

    def _cleaned(self, text: str) -> Iterator[str]:
        for char in text:
            if _is_space(char):
                yield " "
            elif not _is_control(char):
                yield f" {char} " if self._chinese and _is_chinese(char) else char

    def _normalised(self, word: str) -> str:
        if self._strip:
            word = "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
        return "".join(char.lower() for char in word) if self._lower else word


class WordpieceTokenizer:
    """Words to pieces: the longest piece that the vocabulary has, then the longest of what is left.

    Args:
        vocabulary: the pieces; those that continue a word begin with ``##``.
        unk_token: the token for a word that cannot be built.
        max_input_chars_per_word: longer words become ``unk_token``.
    """

    def __init__(
        self, vocabulary: Mapping[str, int], unk_token: str, max_input_chars_per_word: int = 100
    ) -> None:
        self._vocabulary = vocabulary
        self._unknown = unk_token
        self._longest = max_input_chars_per_word

    def tokenize(self, words: Sequence[str], *, whole: Collection[str] = ()) -> list[str]:
        """The pieces of the words; those in ``whole`` are passed on as they are."""
        return [piece for word in words for piece in ((word,) if word in whole else self._pieces(word))]

    def _pieces(self, word: str) -> list[str]:
        if len(word) > self._longest:
            return [self._unknown]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = prefix + word[start:end]
                if piece in self._vocabulary:
                    break
            else:
                return [self._unknown]
            pieces.append(piece)
            start = end
        return pieces


def _split_at_punctuation(word: str) -> Iterator[str]:
    start = 0
    for index, char in enumerate(word):
        if _is_punctuation(char):
            if start < index:
                yield word[start:index]
            yield char
            start = index + 1
    if start < len(word):
        yield word[start:]


def _is_chinese(char: str) -> bool:
    return char > "\u2e7f" and any(first <= ord(char) <= last for first, last in _CHINESE)


def _is_space(char: str) -> bool:
    return char in " \t\n\r" or unicodedata.category(char) in ("Zs", "Zl", "Zp")


def _is_control(char: str) -> bool:
    return char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf", "Co")


def _is_punctuation(char: str) -> bool:
    return (
        char.isascii() and char.isprintable() and not char.isalnum() and char != " "
    ) or unicodedata.category(char).startswith("P")
