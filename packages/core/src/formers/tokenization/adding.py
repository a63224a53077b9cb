"""The methods that add tokens to a tokenizer, and give them the role of special tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken

from formers.errors import CorruptFileError, TextInputError, shorten
from formers.tokenization.special import EXTRA, check_tokens, revive, special

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["WORDS", "add_known", "add_special_tokens", "add_tokens", "as_list", "words_with_roles"]

WORDS = "words_with_roles"  # in tokenizer_config.json: special tokens that are ordinary words in a text


def add_tokens(
    self: PreTrainedTokenizerBase,
    new_tokens: str | AddedToken | Iterable[str | AddedToken],
    special_tokens: bool = False,
) -> int:
    """Add tokens, which text is split at before anything else; return how many were new.

    A model's embeddings must grow with it: ``model.resize_token_embeddings(len(tokenizer))``.

    Args:
        new_tokens: texts, or ``AddedToken`` objects, which say how they match.
        special_tokens: they are skipped by ``decode(skip_special_tokens=True)``, and never normalised.
    """
    tokens = as_list(new_tokens)
    check_tokens("new_tokens", tokens)
    if special_tokens:
        return self._add_tokens(special(tokens))
    return self._add_tokens([AddedToken(t) if isinstance(t, str) else t for t in tokens if str(t)])


def as_list(tokens: str | AddedToken | Iterable[str | AddedToken]) -> list[str | AddedToken]:
    """One token, or several, as a list."""
    if isinstance(tokens, (str, AddedToken)):
        return [tokens]
    if not isinstance(tokens, Iterable):
        raise TextInputError(f"new_tokens={shorten(tokens)}: expected a token, or a list of tokens")
    return list(tokens)


def add_special_tokens(
    self: PreTrainedTokenizerBase,
    special_tokens_dict: Mapping[str, Any],
    replace_extra_special_tokens: bool = True,
    replace_additional_special_tokens: bool | None = None,
) -> int:
    """Give tokens the role of special tokens, and add those that are not in the vocabulary.

    Args:
        special_tokens_dict: role to token, as in ``{"pad_token": "[PAD]"}``; ``extra_special_tokens`` (or
            ``additional_special_tokens``) takes a list.
        replace_extra_special_tokens: forget the earlier ones of that list; they stay in the vocabulary.
        replace_additional_special_tokens: the older name of the same.

    Returns:
        How many tokens were new.

    Raises ``TextInputError`` for a role that does not exist, or a wrong token; then nothing has changed.
    """
    replace = replace_additional_special_tokens
    replace = replace_extra_special_tokens if replace is None else replace
    roles = self._special.copy()
    wanted: list[str | AddedToken] = []
    for role, token in special_tokens_dict.items():
        if role in EXTRA:
            roles.assign_extra(token, replace=replace)
            wanted.extend(roles.extra)
        elif role in roles.named:
            if not isinstance(token, (str, AddedToken)):
                raise TextInputError(f"{role}={shorten(token)}: expected a string or an AddedToken")
            roles.assign(role, token)
            wanted.append(token)
        else:
            known = ", ".join((*roles.named, EXTRA[0]))
            raise TextInputError(
                f"{shorten(role)} is not the role of a special token; expected one of {known}"
            )
    new = self._add_tokens(special(wanted)) if wanted else 0
    self._special = roles
    return new


def add_known(self: PreTrainedTokenizerBase, added: Mapping[Any, Any]) -> None:
    """At construction: the tokens that a file lists with their ids, then the special ones, where missing."""
    try:
        listed = {int(token_id): revive(token) for token_id, token in added.items()}
    except (TypeError, ValueError) as error:
        raise TextInputError(f"added_tokens_decoder: the ids are not whole numbers ({error})") from error
    check_tokens("added_tokens_decoder", listed.values())
    present = self.added_tokens_decoder
    known = {token.content for token in present.values()}
    missing = {i: token for i, token in sorted(listed.items()) if str(token) not in known}
    self._add_tokens([AddedToken(t) if isinstance(t, str) else t for t in missing.values()])
    for token_id, token in missing.items():
        actual = self._token_id(str(token))
        if actual != token_id:
            raise CorruptFileError(
                f"added token {shorten(str(token))}: the files say id {token_id}, but after the tokens before "
                f"it, it has id {actual}; the vocabulary and the added tokens do not belong together"
            )
    known.update(str(token) for token in missing.values())
    known.update(_words(self.init_kwargs.get(WORDS)) & self.get_vocab().keys())
    self._add_tokens(special(token for token in self._special.tokens() if str(token) not in known))


def words_with_roles(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The special tokens that are words of the vocabulary, and were given a role without being added.

    Text is not split at them; it would be after loading, if the files did not tell them from the others.
    """
    roles = {str(token) for token in tokenizer._special.tokens()}
    return sorted(token for token in roles - tokenizer.added_tokens_encoder.keys() if tokenizer.knows(token))


def _words(stated: object) -> set[str]:
    if stated is None:
        return set()
    if not isinstance(stated, list) or not all(isinstance(word, str) for word in stated):
        raise TextInputError(f"{WORDS}={shorten(stated)}: expected a list of tokens")
    return set(stated)
