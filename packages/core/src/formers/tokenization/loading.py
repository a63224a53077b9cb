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
from formers.tokenization.boundaries import BOUNDARIES
from formers.tokenization.chat import saved
from formers.tokenization.special import EXTRA, NAMES, revive

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from formers.tokenization.base import PreTrainedTokenizerBase

__all__ = [
    "ADDED",
    "BACKEND",
    "FINGERPRINT",
    "GENERIC",
    "ROLES",
    "SETTINGS",
    "NoPipelineError",
    "from_pretrained",
    "read_settings",
    "wanted_files",
]

BACKEND = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
ROLES = "special_tokens_map.json"  # written before transformers 5; read for what SETTINGS leaves open
ADDED = "added_tokens.json"  # the same
CONFIG = "config.json"  # read where there is nothing but an old vocabulary
GENERIC = ("PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")
"""Names of tokenizer classes that say nothing about how text is split."""

T = TypeVar("T", bound="PreTrainedTokenizerBase")


FINGERPRINT = "tokenizer_fingerprint"
"""The key of tokenizer_config.json that carries it. No other reader gives this key a meaning."""


class NoPipelineError(LoadError):
    """A folder has neither a ``tokenizer.json`` nor old files that a converter reads."""


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
    verify = given.pop("verify", False)
    source = Source.from_kwargs(name, given)
    _warn_of_near_miss(cls, given)
    text = os.fspath(name)
    single = resolve_single_file(source)
    if single is not None:
        settings = {"name_or_path": text, **given, **_single_argument(cls, single)}
        tokenizer = cls(*init_inputs, **settings)
        _verify(tokenizer, verify, os.fspath(single))
        return tokenizer
    folder = resolve_folder(source, wanted_files(cls))
    if not source.is_local and _needs_converter(cls, folder, given):
        folder = resolve_folder(source, [*wanted_files(cls), *_old_files()])
    tokenizer = read_consistently(folder.path, lambda view: _build(cls, view, text, init_inputs, given))
    _verify(tokenizer, verify, os.fspath(folder.path / SETTINGS))
    return tokenizer


def _verify(tokenizer: PreTrainedTokenizerBase, expected: bool | str, source: str) -> None:
    """Check the fingerprint that the caller expects or, for True, the one that the files carry."""
    if expected is False:
        return
    from formers.tokenization import fingerprint

    if expected is not True:
        fingerprint.verify(tokenizer, expected, "verify")
    elif FINGERPRINT in tokenizer.init_kwargs:
        fingerprint.verify(tokenizer, tokenizer.init_kwargs[FINGERPRINT], source)
    else:
        raise LoadError(
            f"verify=True: {source} carries no {FINGERPRINT}; save the tokenizer with fingerprint=True, or pass "
            "the fingerprint itself as verify"
        )


def wanted_files(cls: type[PreTrainedTokenizerBase]) -> list[str]:
    """The files that a tokenizer class may read."""
    config = [CONFIG] if _has_no_files(cls) else []
    chat = [saved.TEMPLATE, f"{saved.ADDITIONAL}/"]
    return [SETTINGS, *dict.fromkeys(cls.vocab_files_names.values()), ROLES, ADDED, *config, *chat]


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
    template = saved.read_templates(folder, stored, folder.path / SETTINGS)
    if template is not None:
        arguments[saved.KEY] = template
    path = folder.file(BACKEND) if cls.is_fast and "tokenizer_object" not in given else None
    if path is not None:
        backend = pipeline.read_backend(path)
        arguments["tokenizer_object"] = backend
        _follow_pipeline(stated, given, pipeline.options_of(backend), path)
        boundaries = {name: stated.pop(name) for name in BOUNDARIES if name in stated}
        beside = {argument: folder.file(cls.vocab_files_names[argument]) for argument in cls.carried_files}
        arguments.update((argument, os.fspath(file)) for argument, file in beside.items() if file is not None)
    elif given.keys().isdisjoint({*cls.vocab_files_names, "vocab", "tokenizer_object"}) and not init_inputs:
        if _needs_converter(cls, folder, given):
            stated, arguments["tokenizer_object"] = _converted(cls, folder, stated, given)
        else:
            arguments.update(_vocabulary(cls, folder))
    try:
        tokenizer = cls(*init_inputs, **{**stated, **arguments, **given})
    except TextInputError as error:
        if any(str(error).startswith(f"{key}") for key in given):
            raise
        raise CorruptFileError(f"{folder.path / SETTINGS}: {error}") from error
    if path is not None:
        _follow_boundaries(tokenizer, boundaries, given, path)
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
        _warn_of_contradiction(path, option, value, actual[option])


def _follow_boundaries(
    tokenizer: PreTrainedTokenizerBase, stated: Mapping[str, Any], given: Mapping[str, Any], path: Path
) -> None:
    """Keep what is stated of tokens around a text as the pipeline has it, with a warning of a contradiction."""
    for name in stated.keys() - given.keys():
        actual = getattr(tokenizer, name)
        tokenizer.init_kwargs[name] = None if stated[name] is None else actual
        if stated[name] not in (None, actual):
            _warn_of_contradiction(path, name, stated[name], actual)


def _warn_of_contradiction(path: Path, option: str, stated: Any, actual: Any) -> None:
    warn(
        f"{path.parent / SETTINGS} says {option}={stated!r}, but the pipeline in {BACKEND} has {actual!r}, which is "
        f"used. Pass {option}={stated!r} to change the pipeline.",
        TokenizerWarning,
    )


def _vocabulary(cls: type[PreTrainedTokenizerBase], folder: Folder) -> dict[str, str]:
    """The constructor's arguments that are files of the folder."""
    names = {argument: name for argument, name in cls.vocab_files_names.items() if name != BACKEND}
    found = {argument: folder.file(name) for argument, name in names.items()}
    if not any(found.values()):
        raise LoadError(_nothing_to_read(cls, folder))
    return {argument: os.fspath(path) for argument, path in found.items() if path is not None}


def _nothing_to_read(cls: type[PreTrainedTokenizerBase], folder: Folder) -> str:
    looked_for = ", ".join(dict.fromkeys(cls.vocab_files_names.values()))
    return (
        f"{folder.path} holds no tokenizer that {cls.__name__} can read: looked for {looked_for}; found "
        f"{shorten(folder.names())}"
    )


def _has_no_files(cls: type[PreTrainedTokenizerBase]) -> bool:
    """Whether a class reads a pipeline, and no vocabulary files of its own."""
    return cls.is_fast and set(cls.vocab_files_names.values()) == {BACKEND}


def _needs_converter(cls: type[PreTrainedTokenizerBase], folder: Folder, given: Mapping[str, Any]) -> bool:
    """Whether there is nothing that the class reads, so that only a converter may help."""
    return (
        _has_no_files(cls)
        and given.keys().isdisjoint({*cls.vocab_files_names, "tokenizer_object"})
        and folder.file(BACKEND) is None
    )


def _old_files() -> list[str]:
    from formers.tokenization import converters

    return list(dict.fromkeys(name for one in converters.known_converters() for name in one.files))


def _converted(
    cls: type[PreTrainedTokenizerBase], folder: Folder, stated: dict[str, Any], given: Mapping[str, Any]
) -> tuple[dict[str, Any], Tokenizer]:
    """The settings and the pipeline that a converter makes of the folder.

    Raises:
        NoPipelineError: no converter is for this folder.
    """
    from formers.tokenization import converters

    config = read_settings(folder, CONFIG)
    names = (settings.get("tokenizer_class") for settings in (read_settings(folder), config))
    named = next((name for name in names if isinstance(name, str) and name), None)
    model_type = config.get("model_type")
    old = converters.OldFolder(folder.names(), named, model_type if isinstance(model_type, str) else None)
    chosen = converters.choose(old)
    if chosen is None:
        raise NoPipelineError(
            "\n".join(filter(None, (_nothing_to_read(cls, folder), converters.explain(old))))
        )
    settings = {**chosen.defaults, **stated}
    paths = {name: folder.require(name) for name in chosen.files}
    return settings, chosen.run(paths, {**settings, **given})


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
    known = {
        *NAMES,
        *EXTRA,
        *pipeline.OPTIONS,
        *BOUNDARIES,
        *_SETTINGS,
        *_NOT_SETTINGS,
        *cls.vocab_files_names,
    }
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
        "chat_control_tokens", "chat_template", "clean_up_tokenization_spaces", "max_len", "model_input_names",
        "model_max_length", "model_specific_special_tokens", "pad_token_type_id", "padding_side",
        "split_special_tokens", "truncation_side",
    }
)  # fmt: skip
