"""The stages of a ``tokenizers`` pipeline as options: reading them off, and changing them.

``tokenizer.json`` describes the pipeline completely. The options below are the names under which users, and
``tokenizer_config.json``, speak of single settings of its stages.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from formers.errors import CorruptFileError, LoadError, TextInputError, TokenizerWarning, shorten, warn

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["OPTIONS", "as_readable", "change_options", "check_vocabulary", "options_of", "read_backend"]

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
    except Exception as error:
        raise CorruptFileError(
            f"{os.fspath(path)}: not a tokenizer of the tokenizers library ({shorten(str(error))}); "
            f"{len(content):,} bytes. Download or save it again"
        ) from error
    check_vocabulary(backend, os.fspath(path))
    return backend


def check_vocabulary(backend: Tokenizer, source: str) -> None:
    """Raise ``CorruptFileError`` if two tokens share an id; warn if most ids below the largest are unused."""
    vocabulary = backend.get_vocab(with_added_tokens=False)
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
    if type(error).__module__ == "pyo3_runtime":
        return TextInputError(f"{what}: the tokenizers library gave up on this input ({shorten(str(error))})")
    if type(error) is Exception or isinstance(error, OverflowError):
        return TextInputError(f"{what}: {error}")
    return error
