"""Where a tokenizer written in Python puts its special tokens, by the name of the pattern."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from formers.errors import TextInputError

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["Frame", "SpecialTokensPattern", "frame_of"]


class SpecialTokensPattern(StrEnum):
    """The special tokens around one sequence, A, or two, A and B."""

    NONE = "none"
    CLS_SEP = "cls_sep"  # [CLS] A [SEP], [CLS] A [SEP] B [SEP]
    CLS_DOUBLE_SEP = "cls_double_sep"  # [CLS] A [SEP], [CLS] A [SEP] [SEP] B [SEP]
    BOS = "bos"  # [BOS] A, [BOS] A [BOS] B
    EOS = "eos"  # A [EOS], A [EOS] B [EOS]
    BOS_EOS = "bos_eos"  # [BOS] A [EOS], [BOS] A [EOS] B [EOS]
    PREFIX_SUFFIX = "prefix_suffix"  # prefix_tokens A suffix_tokens, prefix_tokens A B suffix_tokens


class Frame(NamedTuple):
    """The ids before the first sequence, between two sequences, and after the last."""

    before: list[int]
    between: list[int]
    after: list[int]


_ROLES: dict[SpecialTokensPattern, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    SpecialTokensPattern.NONE: ((), (), ()),
    SpecialTokensPattern.CLS_SEP: (("cls",), ("sep",), ("sep",)),
    SpecialTokensPattern.CLS_DOUBLE_SEP: (("cls",), ("sep", "sep"), ("sep",)),
    SpecialTokensPattern.BOS: (("bos",), ("bos",), ()),
    SpecialTokensPattern.EOS: ((), ("eos",), ("eos",)),
    SpecialTokensPattern.BOS_EOS: (("bos",), ("eos",), ("eos",)),
}


def frame_of(tokenizer: PreTrainedTokenizerBase, pattern: SpecialTokensPattern) -> Frame:
    """The ids that a pattern puts around sequences.

    Raises ``TextInputError`` if the tokenizer has no token for a role in it.
    """
    if pattern is SpecialTokensPattern.PREFIX_SUFFIX:
        prefix, suffix = (getattr(tokenizer, name, ()) for name in ("prefix_tokens", "suffix_tokens"))
        return Frame(list(prefix), [], list(suffix))
    return Frame(*([_id(tokenizer, pattern, role) for role in roles] for roles in _ROLES[pattern]))


def _id(tokenizer: PreTrainedTokenizerBase, pattern: SpecialTokensPattern, role: str) -> int:
    found: int | None = getattr(tokenizer, f"{role}_token_id")
    if found is None:
        raise TextInputError(
            f"special_tokens_pattern={pattern.value!r} needs a {role}_token; this {type(tokenizer).__name__} has "
            f"none. Pass {role}_token=..., or another pattern"
        )
    return found
