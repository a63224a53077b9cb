"""From files and dicts to configurations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from formers.config import keys
from formers.config.declared import Declared, canonical
from formers.errors import ConfigValidationError, ConfigWarning, shorten, warn
from formers.files.folder import Folder, read_consistently
from formers.files.resolve import LOADING_OPTIONS, Source, resolve_folder, resolve_single_file
from formers.files.strict_json import DuplicateKeyError, read_json

if TYPE_CHECKING:
    from formers.config.base import PreTrainedConfig

__all__ = [
    "CONFIG_NAME",
    "ConfigFile",
    "build",
    "from_config_file",
    "of_chosen_class",
    "read_config",
    "read_config_file",
]

CONFIG_NAME = "config.json"
# Arguments of from_pretrained that concern the search for a class, which is over here.
_FOR_AUTO_CLASSES = frozenset({"trust_remote_code", "code_revision", "_from_auto", "_from_pipeline"})

C = TypeVar("C", bound="PreTrainedConfig")


class ConfigFile(NamedTuple):
    """A configuration file that has been read."""

    values: dict[str, Any]
    path: str
    commit: str | None = None


def read_config_file(path: str | os.PathLike[str]) -> ConfigFile:
    """Read one JSON file of a configuration.

    Raises:
        LoadError: the file is absent, unreadable, or not JSON (``CorruptFileError``).
        ConfigValidationError: a key is given twice with different values, or the file holds no object.
    """
    source = os.fspath(path)
    try:
        values = read_json(source, allow_nan=True)
    except DuplicateKeyError as error:
        raise ConfigValidationError(str(error)) from error
    if not isinstance(values, dict):
        raise ConfigValidationError(
            f"{source}: {shorten(values)} is no configuration; an object with keys, such as "
            '{"model_type": "..."}, is expected.'
        )
    return ConfigFile(values, source)


def read_config(source: Source, name: str = CONFIG_NAME) -> ConfigFile:
    """The configuration of a folder, of a model on the hub, or of one JSON file.

    Raises as ``read_config_file``, and ``LoadError`` for a folder without one, naming what it holds.
    """
    single = resolve_single_file(source)
    if single is not None:
        return read_config_file(single)

    def read(folder: Folder) -> ConfigFile:
        return read_config_file(folder.require(name))

    folder = resolve_folder(source, [name])
    file = read_consistently(folder.path, read)
    return file._replace(path=str(folder.path / name), commit=source.commit_of(folder.path))


def build(cls: type[C], values: Mapping[str, Any], overrides: Mapping[str, Any]) -> tuple[C, dict[str, Any]]:
    """An instance from the values of a file and overrides given in code, and the overrides that it has no use for.

    Raises ``ConfigValidationError`` for a value that is not accepted or a key that is reserved.
    """
    stored = {name: value for name, value in values.items() if name not in keys.CALLERS_CHOICE}
    file = canonical(cls, stored, from_data=True)
    given = canonical(cls, overrides, from_data=False)
    used = {name: given.pop(name) for name in list(given) if _is_setting(cls, name, file)}
    for name, value in used.items():
        declared = cls._fields.get(name)
        if declared is not None:
            used[name] = declared.check(value, cls.__name__)
        if name in cls.sub_configs and isinstance(value, dict) and isinstance(file.get(name), dict):
            used[name] = file[name] | value
    _override_labels(file, used)
    attention = used.pop("_attn_implementation", None)
    config = cls._from_data(file | used)
    if attention is not None:
        config._attn_implementation = attention
    unused = {}
    for name, value in given.items():
        if name in keys.GENERATION_PARAMETERS:
            keys.refuse_generation_parameter(cls.__name__, name, value)
        elif name in _FOR_AUTO_CLASSES:
            continue
        elif name in config.__dict__:  # an attribute that a hand-written constructor made
            setattr(config, name, value)
        else:
            unused[name] = value
    if len(unused) < len(given):
        config.validate()
    keys.warn_of_near_miss(cls.__name__, unused, cls._known | LOADING_OPTIONS)
    return config, unused


def from_config_file(
    cls: type[C], file: ConfigFile, name: str, overrides: Mapping[str, Any]
) -> tuple[C, dict[str, Any]]:
    """``of_chosen_class`` for a class that was called by its name: warns if the file is of another model type."""
    stored = file.values.get("model_type")
    if cls.model_type and isinstance(stored, str) and stored and stored != cls.model_type:
        warn(
            f"{file.path} describes a model of type {stored!r}, and {cls.__name__} is for {cls.model_type!r}; "
            "settings that the two share are used. AutoConfig chooses the class by the type.",
            ConfigWarning,
        )
    return of_chosen_class(cls, file, name, overrides)


def of_chosen_class(
    cls: type[C], file: ConfigFile, name: str, overrides: Mapping[str, Any]
) -> tuple[C, dict[str, Any]]:
    """``build`` from a file that was read under ``name``, and that ``cls`` serves; errors name the file."""
    try:
        config, unused = build(cls, file.values, overrides)
    except ConfigValidationError as error:
        raise ConfigValidationError(f"{file.path}: {error}") from error
    config.name_or_path = name
    config._commit_hash = file.commit
    return config, unused


def _is_setting(cls: type[Declared], name: str, file: Mapping[str, Any]) -> bool:
    if name in keys.GENERATION_PARAMETERS and name not in cls._known:
        return False
    if name in keys.CALLERS_CHOICE:
        return name == "_attn_implementation"
    return name in cls._known or name in file


def _override_labels(file: dict[str, Any], used: Mapping[str, Any]) -> None:
    """Drop what a file says about labels where an override says otherwise."""
    if used.get("id2label") is not None or used.get("label2id") is not None:
        for name in ("num_labels", "id2label", "label2id"):
            file.pop(name, None)
    elif used.get("num_labels") is not None:
        names = file.get("id2label")
        if not isinstance(names, dict) or len(names) != used["num_labels"]:
            file.pop("id2label", None)
            file.pop("label2id", None)
