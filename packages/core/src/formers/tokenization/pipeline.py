"""The stages of a ``tokenizers`` pipeline as options: reading them off, and changing them.

``tokenizer.json`` describes the pipeline completely. The options below are the names under which users, and
``tokenizer_config.json``, speak of single settings of its stages.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from formers.errors import CorruptFileError, LoadError, TextInputError, TokenizerWarning, shorten, warn

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

__all__ = [
    "OPTIONS",
    "as_readable",
    "change_options",
    "check_ids",
    "check_vocabulary",
    "normalise_with",
    "options_of",
    "read_backend",
    "vanishing",
]

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
    from tokenizers import Tokenizer

    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise LoadError(f"{os.fspath(path)}: cannot be read ({error})") from error
    try:
        backend = Tokenizer.from_buffer(content)
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
