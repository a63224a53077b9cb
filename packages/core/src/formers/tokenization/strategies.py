"""The names of the padding and truncation strategies, and of the tensor libraries."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from formers.errors import TextInputError, shorten

__all__ = ["PaddingStrategy", "TensorType", "TruncationStrategy", "choose"]


class PaddingStrategy(StrEnum):
    """How far to pad: to the longest row of the batch, to ``max_length``, or not at all."""

    LONGEST = "longest"
    MAX_LENGTH = "max_length"
    DO_NOT_PAD = "do_not_pad"


class TruncationStrategy(StrEnum):
    """Where to remove tokens: from the first text, the second, whichever is longer, or nowhere."""

    ONLY_FIRST = "only_first"
    ONLY_SECOND = "only_second"
    LONGEST_FIRST = "longest_first"
    DO_NOT_TRUNCATE = "do_not_truncate"


class TensorType(StrEnum):
    """Which library's tensors to return."""

    PYTORCH = "pt"
    NUMPY = "np"


Choice = TypeVar("Choice", bound=StrEnum)


def choose(kind: type[Choice], argument: str, value: object) -> Choice:
    """The member of ``kind`` called ``value``, or a ``TextInputError`` that lists the names."""
    try:
        return kind(value)  # type: ignore[arg-type]  # anything else than a name is refused
    except ValueError:
        names = ", ".join(repr(member.value) for member in kind)
        raise TextInputError(f"{argument}={shorten(value)}: expected one of {names}") from None
