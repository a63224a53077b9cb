"""``BatchEncoding``: what a tokenizer returns."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from formers.errors import TextInputError, shorten
from formers.tokenization.tensors import converter, import_torch

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding

__all__ = ["BatchEncoding", "CharSpan", "TokenSpan"]


class CharSpan(NamedTuple):
    """Characters ``start`` up to, not including, ``end`` of the text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens ``start`` up to, not including, ``end`` of the row."""

    start: int
    end: int


Span = TypeVar("Span", CharSpan, TokenSpan)


class BatchEncoding(UserDict[str, Any]):
    """The model's inputs by name, as a mapping and as attributes: ``batch["input_ids"]``, ``batch.input_ids``.

    The tokens' relation to words and characters is there too, if the tokenizer is backed by the ``tokenizers``
    library. These methods take the row first; without it, row 0 is meant.

    Args:
        data: the fields.
        encoding: the encodings of the rows, or a function that gives them where they are asked for.
        tensor_type: "pt" or "np" turns the fields into tensors.
        prepend_batch_axis: make each field a batch of one.
        n_sequences: texts in a row, 1 or 2; known from the encodings where there are any.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | Callable[[], list[Encoding]] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        self.data = {} if data is None else dict(data)
        self._encodings: list[Encoding] | Callable[[], list[Encoding]] | None = None
        if encoding is not None:
            many = callable(encoding) or isinstance(encoding, Sequence)
            self._encodings = encoding if many else [encoding]  # type: ignore[assignment, list-item]
        self._n_sequences = n_sequences
        if tensor_type is not None:
            self.convert_to_tensors(tensor_type, prepend_batch_axis)

    @property
    def n_sequences(self) -> int | None:
        """Texts in a row: 1, or 2 for pairs; None if that is not known."""
        if self._n_sequences is None and self.encodings:
            self._n_sequences = self.encodings[0].n_sequences
        return self._n_sequences

    @property
    def encodings(self) -> list[Encoding] | None:
        """The ``tokenizers.Encoding`` of every row, or None from a tokenizer in Python."""
        if callable(self._encodings):
            self._encodings = self._encodings()
        return self._encodings

    @property
    def is_fast(self) -> bool:
        """Whether there are ``encodings``."""
        return self._encodings is not None

    def __getitem__(self, key: Any) -> Any:
        """A field by its name, a row's ``Encoding`` by its index, or the encodings of a slice of rows.

        Where there are no encodings, a slice gives these rows of every field.
        """
        if isinstance(key, str):
            return self.data[key]
        if isinstance(key, (int, slice)) and self.encodings is not None:
            return self.encodings[key]
        if isinstance(key, slice):
            return {name: value[key] for name, value in self.data.items()}
        raise KeyError(
            f"{shorten(key)}: expected the name of a field, a slice, or, with encodings, a row's index"
        )

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(
                f"BatchEncoding has no attribute {name!r}; its fields are {list(self.__dict__.get('data', ()))}"
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_encodings": self.encodings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def convert_to_tensors(
        self, tensor_type: str | None = None, prepend_batch_axis: bool = False
    ) -> BatchEncoding:
        """Turn the fields into tensors of "pt" or "np", in place; None changes nothing.

        Raises ``TextInputError`` for a field whose rows differ in length.
        """
        if tensor_type is not None:
            convert = converter(tensor_type)
            for name, value in self.data.items():
                self.data[name] = convert(name, [value] if prepend_batch_axis else value)
        return self

    def to(self, device: str | torch.device | int, *, non_blocking: bool = False) -> BatchEncoding:
        """Move the torch tensors among the fields to a device, in place."""
        torch = import_torch("BatchEncoding.to()")
        if isinstance(device, bool) or not isinstance(device, (str, int, torch.device)):
            raise TextInputError(f"device={shorten(device)}: expected a device, such as 'cuda' or 0")
        for name, value in self.data.items():
            if isinstance(value, torch.Tensor):
                self.data[name] = value.to(device=device, non_blocking=non_blocking)
        return self

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row."""
        return self._row("tokens", batch_index).tokens

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row, 0 or 1 for the text that it is from; None for special tokens."""
        return self._row("sequence_ids", batch_index).sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row, the index of its word in its text; None for special tokens."""
        return self._row("word_ids", batch_index).word_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The text, 0 or 1, that a token is from; None for special tokens."""
        row, token = self._token("token_to_sequence", batch_or_token_index, token_index)
        return row.token_to_sequence(token)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The index of a token's word in its text; None for special tokens."""
        row, token = self._token("token_to_word", batch_or_token_index, token_index)
        return row.token_to_word(token)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters of a token in its text; None for special tokens."""
        row, token = self._token("token_to_chars", batch_or_token_index, token_index)
        return _span(CharSpan, row.token_to_chars(token))

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word of text 0 or 1; None if it has none."""
        row, word = self._place("word_to_tokens", batch_or_word_index, word_index)
        return _span(TokenSpan, row.word_to_tokens(word, sequence_index))

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word in text 0 or 1; None if it has no token."""
        row, word = self._place("word_to_chars", batch_or_word_index, word_index)
        return _span(CharSpan, row.word_to_chars(word, sequence_index))

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that holds a character of text 0 or 1; None for white space."""
        row, char = self._place("char_to_token", batch_or_char_index, char_index)
        return row.char_to_token(char, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The word that holds a character of text 0 or 1; None for white space."""
        row, char = self._place("char_to_word", batch_or_char_index, char_index)
        return row.char_to_word(char, sequence_index)

    def _row(self, method: str, index: int) -> Encoding:
        if self.encodings is None:
            raise TextInputError(
                f"{method}() needs the encodings of a tokenizer backed by the tokenizers library; "
                "this batch has none"
            )
        return self.encodings[index]

    def _place(self, method: str, first: int, second: int | None) -> tuple[Encoding, int]:
        row, place = (0, first) if second is None else (first, second)
        if place < 0:
            raise TextInputError(f"{method}(): index {place}; expected at least 0")
        return self._row(method, row), place

    def _token(self, method: str, first: int, second: int | None) -> tuple[Encoding, int]:
        index, token = (0, first) if second is None else (first, second)
        row = self._row(method, index)
        if token < -len(row.ids):
            raise TextInputError(f"{method}(): index {token}; the row has {len(row.ids)} tokens")
        return row, token if token >= 0 else len(row.ids) + token


def _span(kind: type[Span], found: tuple[int, int] | None) -> Span | None:
    return None if found is None else kind(*found)
