"""The methods between tokens and ids, and the mask of special tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, overload

from formers.errors import TextInputError, shorten
from formers.tokenization.decoding import as_ids, explain_ids

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["convert_ids_to_tokens", "convert_tokens_to_ids", "get_special_tokens_mask"]


@overload
def convert_tokens_to_ids(self: PreTrainedTokenizerBase, tokens: str) -> int | None: ...  # type: ignore[overload-overlap]
@overload
def convert_tokens_to_ids(self: PreTrainedTokenizerBase, tokens: Iterable[str]) -> list[int]: ...
def convert_tokens_to_ids(
    self: PreTrainedTokenizerBase, tokens: str | Iterable[str]
) -> int | list[int] | None:
    """The id of a token, or the ids of several; a token outside the vocabulary has the unknown token's id."""
    if isinstance(tokens, str):
        return _id(self, tokens)
    if not isinstance(tokens, Iterable):
        raise TextInputError(f"tokens={shorten(tokens)}: expected a string, or a list of strings")
    items = list(tokens)
    for index, token in enumerate(items):
        if not isinstance(token, str):
            raise TextInputError(f"tokens[{index}]={shorten(token)}: expected a string")
    return [_id(self, token) for token in items]  # type: ignore[misc]  # None only where there is no unknown token


def _id(tokenizer: PreTrainedTokenizerBase, token: str) -> int | None:
    found = tokenizer._token_id(token)
    unknown = tokenizer._special.named["unk_token"]
    return tokenizer._token_id(str(unknown)) if found is None and unknown is not None else found


@overload
def convert_ids_to_tokens(
    self: PreTrainedTokenizerBase, ids: int, skip_special_tokens: bool = False
) -> str | None: ...
@overload
def convert_ids_to_tokens(
    self: PreTrainedTokenizerBase, ids: Any, skip_special_tokens: bool = False
) -> list[str]: ...
def convert_ids_to_tokens(
    self: PreTrainedTokenizerBase, ids: Any, skip_special_tokens: bool = False
) -> str | list[str] | None:
    """The token of an id, or the tokens of several; None for an id that has no token.

    Args:
        ids: an id, or a list, array or tensor of them.
        skip_special_tokens: leave special tokens out of a list.
    """
    numbers = as_ids(ids)
    rows = [numbers] if isinstance(numbers, int) else numbers
    try:
        tokens = [self._id_token(token_id) for token_id in rows]
    except (TypeError, OverflowError) as error:
        raise explain_ids(rows, error) from error
    if isinstance(numbers, int):
        return tokens[0]
    if skip_special_tokens:
        special = set(self.all_special_ids)
        tokens = [token for token, token_id in zip(tokens, rows, strict=True) if token_id not in special]
    return tokens  # type: ignore[return-value]  # None only for ids that have no token


def get_special_tokens_mask(
    self: PreTrainedTokenizerBase,
    token_ids_0: list[int],
    token_ids_1: list[int] | None = None,
    already_has_special_tokens: bool = False,
) -> list[int]:
    """1 for each special token, 0 for the others.

    Args:
        token_ids_0: ids of the first text, or a finished row.
        token_ids_1: ids of the second text.
        already_has_special_tokens: ``token_ids_0`` is a finished row; otherwise the mask is the one that
            ``build_inputs_with_special_tokens`` would need.
    """
    if already_has_special_tokens:
        if token_ids_1 is not None:
            raise TextInputError(
                "token_ids_1 is given with already_has_special_tokens=True: a finished row is one list of ids"
            )
        special = set(self.all_special_ids)
        return [int(token_id in special) for token_id in token_ids_0]
    return self._special_mask(token_ids_0, token_ids_1)
