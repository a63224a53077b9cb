"""2,000 texts on which tokenizers differ, the same on every machine, Python version and Unicode database.

The parts are in ``corpus.json``: sentences, words, look-alikes of special tokens, and blocks of characters that have
been in Unicode since 2010. What is drawn from them comes from SHA-256, and case is changed for ASCII letters alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from formers.files.strict_json import read_json

__all__ = ["SIZE", "texts"]

SIZE = 2000
SEED = "formers tokenizer corpus 1"

T = TypeVar("T")


def texts() -> list[str]:
    """The texts, most of 5 to 100 characters. None holds a lone surrogate."""
    parts = read_json(Path(__file__).with_name("corpus.json"))
    draw = _Draw(parts)
    rows = ["", " ", *parts["sentences"], *parts["special"], *parts["spaces"], *parts["emoji"]]
    kinds: list[Callable[[], str]] = [
        draw.phrase, draw.script, draw.mixture, draw.figures, draw.spaced, draw.emoji, draw.accented,
        draw.look_alike, draw.long_word, draw.hidden,
    ]  # fmt: skip
    while len(rows) < SIZE:
        rows.append(kinds[len(rows) % len(kinds)]())
    return rows


class _Draw:
    """Texts of each kind, one after another."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self._parts = parts
        self._numbers = _numbers()

    def below(self, limit: int) -> int:
        """A whole number from 0 on."""
        return next(self._numbers) % limit

    def one(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def part(self, kind: str) -> str:
        return str(self.one(self._parts[kind]))

    def character(self, kind: str) -> str:
        """A character of one of the blocks, each block as likely as another."""
        first, last = self.one(self._parts[kind])
        return chr(first + self.below(last - first + 1))

    def word(self) -> str:
        word = self.part("words")
        return self.one([word, word, _upper(word), _upper(word[:1]) + word[1:]])

    def phrase(self) -> str:
        words = [self.word() for _ in range(1 + self.below(12))]
        ends = [self.part("symbols") if self.below(4) == 0 else "" for _ in words]
        return " ".join(word + end for word, end in zip(words, ends, strict=True))

    def script(self) -> str:
        """Characters of one block, with a space here and there."""
        first, last = self.one(self._parts["ranges"])
        drawn = [chr(first + self.below(last - first + 1)) for _ in range(1 + self.below(24))]
        return "".join(" " + character if self.below(8) == 0 else character for character in drawn)

    def mixture(self) -> str:
        kinds = ["ranges", "ranges", "ranges", "marks", "hidden"]
        return "".join(self.character(self.one(kinds)) for _ in range(1 + self.below(20)))

    def figures(self) -> str:
        glue = ["", "", " ", ",", "."]
        kinds = ["numbers", "numbers", "symbols", "words"]
        return "".join(self.part(self.one(kinds)) + self.one(glue) for _ in range(1 + self.below(10)))

    def spaced(self) -> str:
        pieces = [self.part("spaces") + self.word() for _ in range(1 + self.below(8))]
        return "".join(pieces) + self.one(["", self.part("spaces")])

    def emoji(self) -> str:
        glue = ["", " ", "\u200d", self.word()]
        return "".join(self.part("emoji") + self.one(glue) for _ in range(1 + self.below(6)))

    def accented(self) -> str:
        """Letters with up to four marks each, in an order that need not be canonical."""
        letters = [self.one("aeiouncsAEIOUNCS") for _ in range(1 + self.below(12))]
        return "".join(
            letter + "".join(self.character("marks") for _ in range(self.below(5))) for letter in letters
        )

    def look_alike(self) -> str:
        pieces = []
        for _ in range(1 + self.below(4)):
            token = self.part("special")
            cut = self.below(len(token)) if self.below(3) == 0 else len(token)
            pieces += [self.one(["", " ", self.word(), self.word() + " "]), token[:cut]]
        return "".join(pieces) + self.one(["", " ", self.word()])

    def long_word(self) -> str:
        length = 50 + self.below(350)
        unit = self.one([self.character("ranges"), self.word(), self.part("symbols"), self.part("numbers")])
        return (unit * length)[:length]

    def hidden(self) -> str:
        """Words with control and formatting characters in and around them."""
        pieces = [self.one([self.word(), self.character("hidden")]) for _ in range(2 + self.below(10))]
        return self.one(["", " "]).join(pieces)


def _numbers() -> Iterator[int]:
    block = 0
    while True:
        digest = hashlib.sha256(f"{SEED}:{block}".encode()).digest()
        for start in range(0, len(digest), 4):
            yield int.from_bytes(digest[start : start + 4], "little")
        block += 1


def _upper(text: str) -> str:
    return "".join(chr(ord(char) - 32) if "a" <= char <= "z" else char for char in text)
