"""The call forms: one text or many, pairs, words; and what is wrong with an input that is none of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from formers.errors import TextInputError, shorten

__all__ = [
    "Text",
    "Texts",
    "as_batch",
    "explain",
    "explain_single",
    "is_batch",
    "is_pair",
    "problem_of",
    "text_problem",
]

Text = str | Sequence[str]
"""One text, or its words where ``is_split_into_words`` is True."""
Texts = Text | Sequence[Text] | Sequence[tuple[Text, Text]]
"""One text, a batch of them, or a batch of pairs."""

_EXPECTED = "a string, a list of strings, or a list of (text, text) pairs"
_EXPECTED_WORDS = (
    "a list of words, a list of such lists, or a list of pairs of them (is_split_into_words=True)"
)


def is_batch(text: Any, words: bool) -> bool:
    """Whether ``text`` is a batch. Raises ``TextInputError`` if it is neither a text nor a batch."""
    if not isinstance(text, str if not words else ()) and not isinstance(text, (list, tuple)):
        raise TextInputError(
            f"text of type {type(text).__name__}, {shorten(text)}: expected {_EXPECTED_WORDS if words else _EXPECTED}"
        )
    if words:
        return len(text) > 0 and isinstance(text[0], (list, tuple))
    if isinstance(text, str):
        return False
    if len(text) > 0 and not isinstance(text[0], (str, list, tuple)):
        explain(text, words)
    return True


def as_batch(text: Any, text_pair: Any) -> list[Any]:
    """The items of a batch, each a text or a pair of them.

    Raises ``TextInputError`` unless ``text_pair`` is None or a list of the same length.
    """
    if text_pair is None:
        return list(text)
    if not isinstance(text_pair, (list, tuple)):
        raise TextInputError(
            f"text_pair of type {type(text_pair).__name__}: text is a batch of {len(text)}, so a list of "
            f"{len(text)} texts is expected"
        )
    if len(text) != len(text_pair):
        raise TextInputError(
            f"text has {len(text)} items, but text_pair has {len(text_pair)}: one each is expected"
        )
    return list(zip(text, text_pair, strict=True))


def is_pair(item: Any, words: bool) -> bool:
    """Whether an item of a batch is a pair."""
    return isinstance(item, (list, tuple)) and (not words or (len(item) > 0 and not isinstance(item[0], str)))


def explain(items: Sequence[Any], words: bool, cause: BaseException | None = None) -> NoReturn:
    """Raise the error for the first item of a batch that cannot be tokenized, with its index."""
    for index, item in enumerate(items):
        problem = _problem(item, words)
        if problem is not None:
            raise TextInputError(f"text[{index}]: {problem}") from cause
    raise TextInputError(f"the input cannot be tokenized ({cause}); expected {_EXPECTED}") from cause


def explain_single(text: Any, text_pair: Any, words: bool, cause: BaseException) -> NoReturn:
    """Raise the error for one text, or one pair, that cannot be tokenized."""
    check = _words_problem if words else text_problem
    for name, value in (("text", text), ("text_pair", text_pair)):
        problem = None if name == "text_pair" and value is None else check(value)
        if problem is not None:
            raise TextInputError(f"{name}: {problem}") from cause
    raise TextInputError(f"the input cannot be tokenized ({cause})") from cause


def problem_of(text: Any, words: bool) -> str | None:
    """What keeps one text, or its words, from being tokenized; None if nothing does."""
    return _words_problem(text) if words else text_problem(text)


def _problem(item: Any, words: bool) -> str | None:
    check = _words_problem if words else text_problem
    paired = is_pair(item, words)
    if paired and len(item) != 2:
        return f"{len(item)} texts, {shorten(item)}; expected a text, or a pair of two"
    for place, part in enumerate(item if paired else (item,)):
        problem = check(part)
        if problem is not None:
            return f"item {place} of the pair: {problem}" if paired else problem
    return None


def text_problem(text: Any) -> str | None:
    """What keeps one text from being tokenized; None if nothing does."""
    if not isinstance(text, str):
        return f"{type(text).__name__} {shorten(text)}; expected a string"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return (
            f"lone surrogate {text[error.start]!r} at index {error.start}, which is no character; "
            "decode the bytes with errors='replace', or remove it"
        )
    return None


def _words_problem(words: Any) -> str | None:
    if not isinstance(words, (list, tuple)):
        return f"{type(words).__name__} {shorten(words)}; expected a list of words, as is_split_into_words=True says"
    for index, word in enumerate(words):
        problem = text_problem(word)
        if problem is not None:
            return f"word {index}: {problem}"
    return None
