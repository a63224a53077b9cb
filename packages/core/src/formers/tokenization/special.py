"""Special tokens: which token begins, separates, pads, ... and the attributes that show and change it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, overload

from tokenizers import AddedToken

from formers.errors import TextInputError, shorten
from formers.tokenization.inputs import text_problem

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["NAMES", "SpecialToken", "SpecialTokenId", "SpecialTokens", "check_tokens", "revive", "special"]

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
EXTRA = ("extra_special_tokens", "additional_special_tokens")  # two names of one list


class SpecialTokens:
    """The special tokens of one tokenizer: the seven named ones, a model's own named ones, and a list.

    Only the assignment of roles is here; the tokens' ids are the vocabulary's.
    """

    __slots__ = ("extra", "named")

    def __init__(self) -> None:
        self.named: dict[str, str | AddedToken | None] = dict.fromkeys(NAMES)
        self.extra: list[str | AddedToken] = []

    def copy(self) -> SpecialTokens:
        """A copy that later changes do not reach."""
        other = SpecialTokens()
        other.named, other.extra = dict(self.named), list(self.extra)
        return other

    def assign(self, name: str, token: object) -> None:
        """Give ``token`` (text, ``AddedToken`` or None) the role ``name``."""
        if token is not None:
            _check_token(name, token, ", None or")
        self.named[name] = token  # type: ignore[assignment]  # checked

    def assign_extra(self, tokens: object, *, replace: bool = True) -> None:
        """Set the list of other special tokens; a mapping gives them names, as in ``{"image_token": "<image>"}``."""
        if isinstance(tokens, Mapping):
            for name, token in tokens.items():
                if not isinstance(name, str) or not name.isidentifier():
                    raise TextInputError(f"extra_special_tokens: {shorten(name)} is no name for a token")
                self.assign(name, revive(token))
            return
        if not isinstance(tokens, (list, tuple)):
            raise TextInputError(f"extra_special_tokens={shorten(tokens)}: expected a list of tokens")
        revived = [revive(token) for token in tokens]
        check_tokens("extra_special_tokens", revived)
        kept = [] if replace else self.extra
        present = {str(token) for token in kept}
        self.extra = [*kept, *(token for token in revived if str(token) not in present)]

    def tokens(self) -> list[str | AddedToken]:
        """Every special token once, the seven named ones first."""
        unique = {str(token): token for token in (*self.named.values(), *self.extra) if token is not None}
        return list(unique.values())

    def texts(self) -> dict[str, str]:
        """Name to text, of the named tokens that are set."""
        return {name: str(token) for name, token in self.named.items() if token is not None}

    def own(self) -> dict[str, str]:
        """The named tokens beyond the seven."""
        return {name: text for name, text in self.texts().items() if name not in NAMES}


def check_tokens(argument: str, tokens: Iterable[object]) -> None:
    """Raise ``TextInputError``, with the index, for the first item that is no token."""
    for index, token in enumerate(tokens):
        _check_token(f"{argument}[{index}]", token)


def _check_token(name: str, token: object, expected: str = " or") -> None:
    if not isinstance(token, (str, AddedToken)):
        raise TextInputError(f"{name}={shorten(token)}: expected a string{expected} an AddedToken")
    problem = None if isinstance(token, AddedToken) else text_problem(token)
    if problem is not None:
        raise TextInputError(f"{name}: {problem}")


class SpecialToken:
    """The attribute ``pad_token`` and its siblings: the token's text, or None."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, tokenizer: None, owner: type) -> SpecialToken: ...
    @overload
    def __get__(self, tokenizer: PreTrainedTokenizerBase, owner: type) -> str | None: ...
    def __get__(self, tokenizer: PreTrainedTokenizerBase | None, owner: type) -> SpecialToken | str | None:
        if tokenizer is None:
            return self
        token = tokenizer._special.named[self._name]
        return None if token is None else str(token)

    def __set__(self, tokenizer: PreTrainedTokenizerBase, token: str | AddedToken | None) -> None:
        tokenizer._special.assign(self._name, token)
        if token is not None and not tokenizer.knows(str(token)):
            tokenizer.notice(
                f"unknown {token}",
                f"{self._name}={str(token)!r} is not in the vocabulary, so its id is the unknown token's. "
                f"Add it: tokenizer.add_special_tokens({{{self._name!r}: {str(token)!r}}})",
            )


class SpecialTokenId:
    """The attribute ``pad_token_id`` and its siblings: the token's id, or None."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name.removesuffix("_id")

    @overload
    def __get__(self, tokenizer: None, owner: type) -> SpecialTokenId: ...
    @overload
    def __get__(self, tokenizer: PreTrainedTokenizerBase, owner: type) -> int | None: ...
    def __get__(self, tokenizer: PreTrainedTokenizerBase | None, owner: type) -> SpecialTokenId | int | None:
        if tokenizer is None:
            return self
        token = tokenizer._special.named[self._name]
        return None if token is None else tokenizer.convert_tokens_to_ids(str(token))

    def __set__(self, tokenizer: PreTrainedTokenizerBase, token_id: int | None) -> None:
        token = None if token_id is None else tokenizer.convert_ids_to_tokens(token_id)
        if token_id is not None and token is None:
            raise TextInputError(f"{self._name}_id={shorten(token_id)}: no token has this id")
        tokenizer._special.assign(self._name, token)


def special(tokens: Iterable[str | AddedToken]) -> list[AddedToken]:
    """The tokens as special ones: matched in text as they are, before it is normalised, unless they say otherwise."""
    return [_as_special(token) for token in tokens]


def _as_special(token: str | AddedToken) -> AddedToken:
    if isinstance(token, str):
        return AddedToken(token, normalized=False, special=True)
    # Where ``normalized`` was not given, it is the opposite of ``special``, which the token does not tell.
    before = token.special
    token.special = True
    normalized = token.normalized
    token.special = before
    return AddedToken(
        token.content,
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=normalized,
        special=True,
    )


def revive(token: Any) -> Any:
    """A token as JSON files hold it: ``{"content": ..., "lstrip": ...}`` becomes an ``AddedToken``."""
    if not isinstance(token, Mapping) or not isinstance(token.get("content"), str):
        return token
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(token["content"], **{flag: bool(token[flag]) for flag in flags if flag in token})
