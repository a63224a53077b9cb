"""The stages of a ``tokenizers`` pipeline as options: reading them off, and changing them.

``tokenizer.json`` describes the pipeline completely. The options below are the names under which users, and
``tokenizer_config.json``, speak of single settings of its stages.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from formers.errors import CorruptFileError, LoadError, TextInputError, TokenizerWarning, shorten, warn

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

__all__ = [
    "LONGEST_PIECE",
    "OPTIONS",
    "as_readable",
    "change_options",
    "check_ids",
    "check_vocabulary",
    "from_json",
    "normalise_with",
    "options_of",
    "read_backend",
    "vanishing",
]

LONGEST_PIECE = 4096
"""Characters: the library goes one call deeper with each, and ends the process where the stack ends."""

OPTIONS = {
    "do_lower_case": ("normalizer", "lowercase"),
    "strip_accents": ("normalizer", "strip_accents"),
    "tokenize_chinese_chars": ("normalizer", "handle_chinese_chars"),
    "clean_text": ("normalizer", "clean_text"),
    "add_prefix_space": ("pre_tokenizer", "add_prefix_space"),
}


def read_backend(path: str | os.PathLike[str]) -> Tokenizer:
    """The pipeline in a ``tokenizer.json``.

    Raises:
        CorruptFileError: the file is no pipeline, or two tokens have one id.
        LoadError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise LoadError(f"{os.fspath(path)}: cannot be read ({error})") from error
    try:
        backend = from_json(content)
    except BaseException as error:
        if not isinstance(error, Exception) and not _is_panic(error):
            raise
        raise CorruptFileError(
            f"{os.fspath(path)}: not a tokenizer of the tokenizers library ({shorten(str(error))}); "
            f"{len(content):,} bytes. Download or save it again"
        ) from error
    check_vocabulary(backend, os.fspath(path))
    lost = vanishing(backend.get_added_tokens_decoder().values(), normalise_with(backend))
    if lost is not None:
        raise CorruptFileError(f"{os.fspath(path)}: {lost}")
    return backend


def from_json(content: bytes) -> Tokenizer:
    """The pipeline that a JSON text describes, with the very scores that it states.

    The library reads some numbers as a neighbour of theirs. The scores of a unigram model would then change with each
    way through a file, and with them which of two spellings of a text, as good as equal, is the best.

    Raises ``Exception``, as the library does, for anything that is no pipeline.
    """
    from tokenizers import Tokenizer

    exact = _with_exact_scores(content) if b'"Unigram"' in content else None
    return Tokenizer.from_buffer(content) if exact is None else exact


def _with_exact_scores(content: bytes) -> Tokenizer | None:
    """The pipeline of a unigram model; None if it is of another kind, or anything about it is unusual."""
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import Unigram

    try:
        stated = json.loads(content, object_pairs_hook=_without_repeats)
        model, added = stated["model"], {token["id"]: token["content"] for token in stated["added_tokens"]}
        if model["type"] != "Unigram" or not model.keys() <= {"type", "unk_id", "vocab", "byte_fallback"}:
            return None
        vocabulary = [(piece, score + 0.0) for piece, score in model["vocab"]]
        longest = max((len(piece) for piece, _ in vocabulary), default=0)
    except Exception:  # noqa: BLE001 - the library reads it next, and says what is wrong
        return None
    if longest > LONGEST_PIECE:
        raise ValueError(f"a piece of {longest:,} characters; expected at most {LONGEST_PIECE:,}")
    try:
        frame = {
            **stated,
            "added_tokens": [],
            "model": {**model, "vocab": model["vocab"][:1], "unk_id": None},
        }
        backend = Tokenizer.from_str(json.dumps(frame))
        backend.model = Unigram(vocabulary, model.get("unk_id"), bool(model.get("byte_fallback")))
        for special, tokens in groupby(stated["added_tokens"], key=itemgetter("special")):
            add = backend.add_special_tokens if special else backend.add_tokens
            add([AddedToken(**{name: token[name] for name in token if name != "id"}) for token in tokens])
    except Exception:  # noqa: BLE001 - the library reads it next, and says what is wrong
        return None
    found = backend.get_added_tokens_decoder()
    return backend if {place: token.content for place, token in found.items()} == added else None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON text, in which each name comes once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found


def normalise_with(backend: Tokenizer) -> Callable[[str], str]:
    """What the pipeline does to a text before it splits it."""
    normalizer = backend.normalizer
    return str if normalizer is None else normalizer.normalize_str


def vanishing(tokens: Iterable[AddedToken], normalise: Callable[[str], str]) -> str | None:
    """What is wrong with the first added token of which normalisation leaves nothing; None if there is none.

    The library would find it between any two characters, and may never come to an end.
    """
    for token in tokens:
        if token.normalized and token.content and not normalise(token.content):
            return (
                f"normalisation leaves nothing of the added token {shorten(token.content)}, so it would be found "
                "everywhere; expected AddedToken(..., normalized=False)"
            )
    return None


def check_vocabulary(backend: Tokenizer, source: str) -> None:
    """``check_ids`` for the vocabulary of a pipeline."""
    check_ids(backend.get_vocab(with_added_tokens=False), source)


def check_ids(vocabulary: Mapping[str, int], source: str) -> None:
    """Raise ``CorruptFileError`` if two tokens share an id; warn if most ids below the largest are unused."""
    tokens = {token_id: token for token, token_id in vocabulary.items()}
    if len(tokens) < len(vocabulary):
        token, token_id = next((t, i) for t, i in vocabulary.items() if tokens[i] != t)
        raise CorruptFileError(
            f"{source}: the tokens {shorten(token)} and {shorten(tokens[token_id])} both have the id {token_id}; "
            "each token needs its own"
        )
    largest = max(tokens, default=0)
    if largest > 2 * len(tokens):
        warn(
            f"{source}: {len(tokens):,} tokens, but the id of {shorten(tokens[largest])} is {largest:,}; a model "
            "needs an embedding for every id up to it",
            TokenizerWarning,
        )


def options_of(backend: Tokenizer) -> dict[str, Any]:
    """The options that the stages of the pipeline have, with their values."""
    return {
        option: getattr(stage, field)
        for option, (part, field) in OPTIONS.items()
        for stage in _stages(getattr(backend, part), field)
    }


def change_options(backend: Tokenizer, wanted: Mapping[str, Any]) -> list[str]:
    """Set options of the pipeline, in place. Returns those that no stage of it has."""
    unknown = []
    for option, value in wanted.items():
        part, field = OPTIONS[option]
        stages = _stages(getattr(backend, part), field)
        for stage in stages:
            try:
                setattr(stage, field, value)
            except TypeError:
                raise TextInputError(f"{option}={shorten(value)}: expected True or False") from None
        if not stages:
            unknown.append(option)
    return unknown


def _stages(stage: Any, field: str) -> list[Any]:
    """The stages with a setting: the stage itself, or those of the sequence that it is."""
    if stage is None:
        return []
    if hasattr(stage, field):
        return [stage]
    try:
        parts = [stage[index] for index in range(len(stage))]
    except TypeError:  # not a sequence of stages
        return []
    return [part for part in parts if hasattr(part, field)]


def as_readable(error: BaseException, what: str) -> BaseException:
    """The ``TextInputError`` for an error of the library; other exceptions as they are."""
    if _is_panic(error):
        return TextInputError(f"{what}: the tokenizers library gave up on this input ({shorten(str(error))})")
    if type(error) is Exception or isinstance(error, OverflowError):
        return TextInputError(f"{what}: {error}")
    return error


def _is_panic(error: BaseException) -> bool:
    """Whether the library gave up in a way that ``except Exception`` does not catch."""
    return type(error).__module__ == "pyo3_runtime"
