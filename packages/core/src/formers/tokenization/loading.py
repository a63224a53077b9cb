"""``from_pretrained``: from the files of a folder to a tokenizer.

``tokenizer.json`` is the truth where it exists: what ``tokenizer_config.json`` says about stages of the pipeline
does not change it, and a contradiction is a warning. What the caller passes does change it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from formers.errors import (
    ConfigWarning,
    CorruptFileError,
    LoadError,
    TextInputError,
    TokenizerWarning,
    shorten,
    warn,
)
from formers.files.folder import Folder, read_consistently
from formers.files.resolve import Source, resolve_folder, resolve_single_file
from formers.files.strict_json import read_json
from formers.tokenization import pipeline
from formers.tokenization.special import EXTRA, NAMES, revive

if TYPE_CHECKING:
    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = ["ADDED", "BACKEND", "ROLES", "SETTINGS", "from_pretrained", "read_settings", "wanted_files"]

BACKEND = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
ROLES = "special_tokens_map.json"  # written before transformers 5; read for what SETTINGS leaves open
ADDED = "added_tokens.json"  # the same

T = TypeVar("T", bound="PreTrainedTokenizerBase")

# Keys of tokenizer_config.json that are not for the constructor: classes, and places on somebody's disk.
_NOT_SETTINGS = frozenset(
    {
        "added_tokens_decoder", "auto_map", "backend", "files_loaded", "is_local", "local_files_only", "merges",
        "merges_file", "name_or_path", "self", "special_tokens_map_file", "tokenizer_class", "tokenizer_file",
        "tokenizer_object", "vocab", "vocab_file",
    }
)  # fmt: skip


def from_pretrained(
    cls: type[T], name: str | os.PathLike[str], init_inputs: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> T:
    """See ``PreTrainedTokenizerBase.from_pretrained``."""
    given = dict(kwargs)
    given.pop("trust_remote_code", None)
    given.pop("use_fast", None)
    source = Source.from_kwargs(name, given)
    _warn_of_near_miss(cls, given)
    text = os.fspath(name)
    single = resolve_single_file(source)
    if single is not None:
        settings = {"name_or_path": text, **given, **_single_argument(cls, single)}
        return cls(*init_inputs, **settings)
    folder = resolve_folder(source, wanted_files(cls))
    return read_consistently(folder.path, lambda view: _build(cls, view, text, init_inputs, given))


def wanted_files(cls: type[PreTrainedTokenizerBase]) -> list[str]:
    """The files that a tokenizer class may read."""
    return [SETTINGS, *dict.fromkeys(cls.vocab_files_names.values()), ROLES, ADDED]


def read_settings(folder: Folder, name: str = SETTINGS) -> dict[str, Any]:
    """The object in a JSON file of the folder; empty if there is no such file."""
    path = folder.file(name)
    data = {} if path is None else read_json(path)
    if not isinstance(data, dict):
        raise CorruptFileError(f"{path}: {shorten(data)}; a JSON object is expected")
    return data


def _build(
    cls: type[T], folder: Folder, name: str, init_inputs: tuple[Any, ...], given: Mapping[str, Any]
) -> T:
    stored = read_settings(folder)
    not_settings = _NOT_SETTINGS.union(cls.vocab_files_names)
    stated = {key: revive(value) for key, value in stored.items() if key not in not_settings}
    for role, token in read_settings(folder, ROLES).items():
        if role not in stored and role in (*NAMES, *EXTRA):
            stated[role] = revive(token)
    arguments: dict[str, Any] = {"name_or_path": name, "added_tokens_decoder": _added(folder, stored)}
    path = folder.file(BACKEND) if cls.is_fast and "tokenizer_object" not in given else None
    if path is not None:
        backend = pipeline.read_backend(path)
        arguments["tokenizer_object"] = backend
        _follow_pipeline(stated, given, pipeline.options_of(backend), path)
    elif given.keys().isdisjoint({*cls.vocab_files_names, "vocab", "tokenizer_object"}) and not init_inputs:
        arguments.update(_vocabulary(cls, folder))
    try:
        tokenizer = cls(*init_inputs, **{**stated, **arguments, **given})
    except TextInputError as error:
        if any(str(error).startswith(f"{key}") for key in given):
            raise
        raise CorruptFileError(f"{folder.path / SETTINGS}: {error}") from error
    if path is not None:
        actual = pipeline.options_of(backend)
        for option in (pipeline.OPTIONS.keys() & given.keys()) - actual.keys():
            warn(
                f"{option}={given[option]!r} has no effect: no stage of the pipeline in {path} has this setting",
                TokenizerWarning,
            )
    return tokenizer


def _added(folder: Folder, stored: Mapping[str, Any]) -> dict[int, Any]:
    """Id to token, of the tokens that were added to the vocabulary, in the form of either age."""
    listed = stored.get("added_tokens_decoder")
    if isinstance(listed, Mapping):
        items = [(token_id, revive(token)) for token_id, token in listed.items()]
        source = folder.path / SETTINGS
    else:
        items = [(token_id, token) for token, token_id in read_settings(folder, ADDED).items()]
        source = folder.path / ADDED
    try:
        return {int(token_id): token for token_id, token in items}
    except (TypeError, ValueError) as error:
        raise CorruptFileError(
            f"{source}: the ids of added tokens are not whole numbers ({error})"
        ) from error


def _follow_pipeline(
    stated: dict[str, Any], given: Mapping[str, Any], actual: Mapping[str, Any], path: Path
) -> None:
    """Make the stored options those of the pipeline, in place, with a warning where they contradict it."""
    for option in pipeline.OPTIONS.keys() & stated.keys():
        value = stated[option]
        if option not in actual:
            continue
        stated[option] = actual[option]
        if value is None or value == actual[option] or option in given:
            continue
        warn(
            f"{path.parent / SETTINGS} says {option}={value!r}, but the pipeline in {BACKEND} has "
            f"{actual[option]!r}, which is used. Pass {option}={value!r} to change the pipeline.",
            TokenizerWarning,
        )


def _vocabulary(cls: type[PreTrainedTokenizerBase], folder: Folder) -> dict[str, str]:
    """The constructor's arguments that are files of the folder."""
    names = {argument: name for argument, name in cls.vocab_files_names.items() if name != BACKEND}
    found = {argument: folder.file(name) for argument, name in names.items()}
    if not any(found.values()):
        looked_for = ", ".join(dict.fromkeys(cls.vocab_files_names.values()))
        raise LoadError(
            f"{folder.path} holds no tokenizer that {cls.__name__} can read: looked for {looked_for}; found "
            f"{shorten(folder.names())}"
        )
    return {argument: os.fspath(path) for argument, path in found.items() if path is not None}


def _single_argument(cls: type[PreTrainedTokenizerBase], path: Path) -> dict[str, str]:
    if path.suffix == ".json" and cls.vocab_files_names.get("tokenizer_file") == BACKEND:
        return {"tokenizer_file": os.fspath(path)}
    arguments = [argument for argument, name in cls.vocab_files_names.items() if name != BACKEND]
    if len(arguments) != 1:
        needs = ", ".join(cls.vocab_files_names.values())
        raise LoadError(
            f"{path} is one file, but {cls.__name__} is made of {needs}: pass the folder that holds them"
        )
    return {arguments[0]: os.fspath(path)}


def _warn_of_near_miss(cls: type[PreTrainedTokenizerBase], given: Mapping[str, Any]) -> None:
    """Warn of arguments that look like misspelt settings; they are stored, but nothing reads them."""
    known = {*NAMES, *EXTRA, *pipeline.OPTIONS, *_SETTINGS, *_NOT_SETTINGS, *cls.vocab_files_names}
    for base in cls.__mro__:
        code = getattr(base.__dict__.get("__init__"), "__code__", None)
        known.update(() if code is None else code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    unknown = [name for name in given if name not in known]
    if not unknown:
        return
    import difflib  # only where something is odd

    for name in unknown:
        near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)
        if near:
            warn(f"{cls.__name__} has no setting {name!r}; did you mean {near[0]!r}?", ConfigWarning)


_SETTINGS = frozenset(
    {
        "clean_up_tokenization_spaces", "max_len", "model_input_names", "model_max_length",
        "model_specific_special_tokens", "pad_token_type_id", "padding_side", "split_special_tokens",
        "truncation_side",
    }
)  # fmt: skip
