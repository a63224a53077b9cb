"""``sanitize_control_tokens``: what a user writes never becomes a control token.

Control tokens that occur in the caller's texts are put between two marks, so that in the rendered chat it is known
which were written by the template. The chat is then encoded with a copy of the pipeline that knows the control
tokens under other names, and with these names where the template has written them. What looks like a control token
elsewhere is text, tokenized by itself as transformers does: the copy also splits words at a barrier.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from formers.errors import TextInputError
from formers.tokenization.chat.continuing import PRIVATE, unused_characters

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from formers.tokenization.backend import TokenizersBackend
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["Marks", "control_tokens", "encode", "separate", "wrap"]

_NEUTRAL = "\ufffc"  # stands for a character that is part of no token
_COPIES: WeakKeyDictionary[TokenizersBackend, _Copy] = WeakKeyDictionary()


class _Copy(NamedTuple):
    """A pipeline that knows the control tokens under other names; what it was made from; its ids to the true ones."""

    state: tuple[Any, ...]
    backend: Tokenizer
    true_ids: dict[int, int]


class Marks(NamedTuple):
    """The characters before and after a control token of the caller's."""

    before: str
    after: str


def control_tokens(tokenizer: PreTrainedTokenizerBase, template_texts: Iterable[str]) -> list[str]:
    """The tokens that steer a chat model: special ones, and those of ``chat_control_tokens``.

    Without the latter, added tokens that the template writes count, too.
    """
    added = tokenizer.added_tokens_decoder.values()
    special = [*tokenizer.all_special_tokens, *(token.content for token in added if token.special)]
    listed = tokenizer.chat_control_tokens
    if listed is None:
        written = "\0".join(template_texts)
        listed = [token.content for token in added if token.content in written]
    known = {token.content for token in added}
    return sorted({token for token in (*special, *listed) if token in known}, key=len, reverse=True)


def wrap(value: Any, tokens: Sequence[str], marks: Marks) -> Any:
    """A copied value with every control token in its texts between marks; keys stay as they are."""
    if not tokens:
        return value
    pattern = re.compile("|".join(map(re.escape, tokens)))
    marked = rf"{marks.before}\g<0>{marks.after}"

    def walk(item: Any) -> Any:
        if isinstance(item, str):
            return pattern.sub(marked, item)
        if isinstance(item, dict):
            return {key: walk(part) for key, part in item.items()}
        return type(item)(map(walk, item)) if isinstance(item, (list, tuple)) else item

    return walk(value)


def separate(text: str, marks: Marks) -> tuple[str, list[tuple[int, int]]]:
    """A rendered text without its marks, and the (start, end) of what was between them.

    A mark without its partner counts for nothing: the template has taken the text apart.
    """
    forms = {form: kind for kind, mark in enumerate(marks) for form in (mark, json.dumps(mark)[1:-1])}
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    place, start = 0, None
    for piece in re.split(f"({'|'.join(map(re.escape, forms))})", text):
        kind = forms.get(piece)
        if kind is None:
            pieces.append(piece)
            place += len(piece)
        elif kind == 0:
            start = place
        elif start is not None:
            spans.append((start, place))
            start = None
    return "".join(pieces), spans


def encode(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    spans: Sequence[tuple[int, int]],
    tokens: Sequence[str],
    **options: Any,
) -> list[int]:
    """The ids of a text in which the characters of ``spans`` are no control tokens.

    Args:
        tokenizer: whose ids.
        text: the rendered chat.
        spans: (start, end) of each control token that the caller wrote.
        tokens: the control tokens.
        options: of the tokenizer's call: truncation and its like.

    Raises:
        TextInputError: the tokenizer is written in Python.
    """
    from formers.tokenization.backend import TokenizersBackend  # which is made of this package's methods

    if not spans:
        ids: list[int] = tokenizer(text, **options).data["input_ids"]
        return ids
    if not isinstance(tokenizer, TokenizersBackend):
        raise TextInputError(
            f"sanitize_control_tokens=True: {type(tokenizer).__name__} is written in Python and cannot tell tokens "
            "that look alike apart; use the class over the tokenizers library"
        )
    barrier, *free = unused_characters([text], len(tokens) + 1, PRIVATE)
    names = dict(zip(tokens, free, strict=True))
    other, ids_of = _disguised(tokenizer, names, barrier)
    disguised = other(_renamed(tokenizer, text, spans, names, barrier), **options).data["input_ids"]
    return [ids_of.get(token_id, token_id) for token_id in disguised]


def _renamed(
    tokenizer: TokenizersBackend,
    text: str,
    spans: Sequence[tuple[int, int]],
    names: dict[str, str],
    barrier: str,
) -> str:
    """The text with barriers around the spans, and the control tokens elsewhere under their other names."""
    parts, place = [], 0
    for start, end in spans:
        parts += [text[place:start], _NEUTRAL * (end - start)]
        place = end
    neutral = "".join([*parts, text[place:]])
    found = tokenizer(neutral, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    token_of = {tokenizer.convert_tokens_to_ids(token): token for token in names}
    changes = [(start, end, barrier + text[start:end] + barrier) for start, end in spans]
    for token_id, (start, end) in zip(found["input_ids"], found["offset_mapping"], strict=True):
        token = token_of.get(token_id)
        if token is None or start >= end:
            continue
        # The unknown token may also stand for a word that the vocabulary does not have.
        if token != tokenizer.unk_token or neutral[start:end].strip() == token:
            changes.append((start, end, names[token]))
    pieces, place = [], 0
    for start, end, new in sorted(changes):
        pieces += [text[place:start], new]
        place = end
    return "".join([*pieces, text[place:]])


def _disguised(
    tokenizer: TokenizersBackend, names: dict[str, str], barrier: str
) -> tuple[TokenizersBackend, dict[int, int]]:
    """A tokenizer that knows the control tokens under other names, and its ids of added tokens to the true ones."""
    backend = tokenizer.backend_tokenizer
    stages = [
        None if stage is None else stage.__getstate__()
        for stage in (backend.normalizer, backend.pre_tokenizer)
    ]
    state = (barrier, tuple(names.items()), len(tokenizer), *stages)
    cached = _COPIES.get(tokenizer)
    if cached is None or cached.state != state:
        content = json.loads(backend.to_str())
        for token in content["added_tokens"]:
            if token["content"] in names:
                token |= {"content": names[token["content"]], "normalized": False}
                token |= dict.fromkeys(("lstrip", "rstrip", "single_word"), False)
        renamed = type(backend).from_str(json.dumps(content))
        renamed.pre_tokenizer = _split_at(barrier, renamed.pre_tokenizer)
        true_name, vocabulary = {name: token for token, name in names.items()}, tokenizer.get_vocab()
        ids = {
            token_id: vocabulary[true_name.get(token.content, token.content)]
            for token_id, token in renamed.get_added_tokens_decoder().items()
        }
        cached = _COPIES[tokenizer] = _Copy(state, renamed, ids)
    other = copy.copy(tokenizer)
    other._tokenizer = cached.backend
    return other, cached.true_ids


def _split_at(barrier: str, stage: Any) -> Any:
    """A stage that does what ``stage`` does, and then splits at the barrier, also where it is written as bytes."""
    from tokenizers import Regex, pre_tokenizers

    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(barrier)[0][
        0
    ]
    split = pre_tokenizers.Split(Regex(f"{barrier}|{re.escape(as_bytes)}"), "removed")
    return split if stage is None else pre_tokenizers.Sequence([stage, split])
