"""Where a tokenizer puts its special tokens around one sequence of ids, or two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from formers.errors import TextInputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Template"]

_PROBES = ("a", "0", ".", "the", "一")


class Template:
    """Special tokens and the slots between them, read off an example, so that it holds for every post-processor.

    Each part is ``(sequence, token_id, type_id)``; ``sequence`` is 0 or 1 for a slot, None for a special token.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[tuple[int | None, int, int]]) -> None:
        self.parts = tuple(parts)

    @classmethod
    def of(cls, backend: Tokenizer, pair: bool) -> Template:
        """The template of a backend whose truncation and padding are off."""
        for probe in (*_PROBES, *backend.get_vocab()):
            encoding = backend.encode(probe, probe if pair else None)
            parts: list[tuple[int | None, int, int]] = []
            for sequence, token_id, type_id in zip(
                encoding.sequence_ids, encoding.ids, encoding.type_ids, strict=True
            ):
                if sequence is None or not parts or parts[-1][0] != sequence:
                    parts.append((sequence, token_id, type_id))
            slots = [part[0] for part in parts if part[0] is not None]
            if slots == ([0, 1] if pair else [0]):
                return cls(parts)
        raise TextInputError("the tokenizer makes no token of any text, so it shows no special tokens either")

    @property
    def types(self) -> frozenset[int]:
        """The type ids in use."""
        return frozenset(part[2] for part in self.parts)

    def ids(self, *sequences: Sequence[int]) -> list[int]:
        """The sequences with the special tokens."""
        return [
            token
            for slot, token_id, _ in self.parts
            for token in ((token_id,) if slot is None else sequences[slot])
        ]

    def type_ids(self, *sequences: Sequence[int]) -> list[int]:
        """The type of each token of ``ids``."""
        return [
            type_id
            for slot, _, type_id in self.parts
            for _ in range(1 if slot is None else len(sequences[slot]))
        ]

    def special_mask(self, *sequences: Sequence[int]) -> list[int]:
        """1 for the special tokens of ``ids``, 0 for the others."""
        return [
            int(slot is None)
            for slot, _, _ in self.parts
            for _ in range(1 if slot is None else len(sequences[slot]))
        ]
