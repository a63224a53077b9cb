"""``GenerationConfig`` from and to ``generation_config.json``, and from the configuration of a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from formers.config.dtypes import dict_dtype_to_str
from formers.errors import ConfigValidationError, CorruptFileError, GenerationWarning, shorten, warn
from formers.files.folder import Folder, read_consistently
from formers.files.resolve import Source, resolve_folder, resolve_single_file
from formers.files.strict_json import read_json
from formers.generation.conversion import bias_entries, plain

if TYPE_CHECKING:
    from formers.config import PreTrainedConfig
    from formers.generation.configuration import GenerationConfig

__all__ = ["GENERATION_CONFIG_NAME", "from_model", "in_folder", "read", "read_file", "to_dict", "to_json"]

GENERATION_CONFIG_NAME = "generation_config.json"
_OUTPUTS = ("output_attentions", "output_hidden_states", "output_scores", "output_logits")
# Where composite configurations keep the half that writes text.
_DECODERS = ("decoder", "generator", "text_config")

C = TypeVar("C", bound="GenerationConfig")


def read(cls: type[C], source: Source, name: str | None) -> C:
    """The settings in a folder, in a model on the hub, or in one JSON file. Raises as ``read_file``."""
    single = resolve_single_file(source)
    if single is not None:
        return read_file(cls, single)
    name = name or GENERATION_CONFIG_NAME

    def from_folder(folder: Folder) -> C:
        return read_file(cls, folder.require(name))

    return read_consistently(resolve_folder(source, [name]).path, from_folder)


def in_folder(cls: type[C], folder: Folder) -> C | None:
    """The settings of a folder that is being read; None if it has none. Raises as ``read_file``."""
    path = folder.file(GENERATION_CONFIG_NAME)
    return None if path is None else read_file(cls, path)


def read_file(cls: type[C], path: str | os.PathLike[str]) -> C:
    """The settings in one JSON file.

    Raises:
        CorruptFileError: the file is not a JSON object.
        ConfigValidationError: a value cannot be right; names the file and the field.
        LoadError: the file cannot be opened.
    """
    place = os.fspath(path)
    values = read_json(place, allow_nan=True)
    if not isinstance(values, dict):
        raise CorruptFileError(
            f"{place}: {shorten(values)} is not the content of a generation configuration; "
            'a JSON object is expected, such as {"max_new_tokens": 50}.'
        )
    try:
        return cls._from_data(values, "file")
    except ConfigValidationError as error:
        raise ConfigValidationError(f"{place}: {error}") from error


def from_model(cls: type[C], config: PreTrainedConfig | Mapping[str, Any]) -> C:
    """The settings that a model's configuration holds, or that its decoder's does."""
    if isinstance(config, Mapping):
        whole: Mapping[str, Any] = config
        part: Any = next((config[name] for name in _DECODERS if name in config), {})
    else:
        whole, part = config.to_dict(), config.get_text_config(decoder=True).to_dict()
    half: Mapping[str, Any] = plain(part)
    values = {}
    for name in cls._fields:
        value = whole.get(name) if whole.get(name) is not None else half.get(name)
        if value is not None:
            values[name] = value
    values.pop("transformers_version", None)
    if any(values.get(name) for name in _OUTPUTS):
        values.setdefault("return_dict_in_generate", True)
    try:
        return cls._from_data(values | {"_from_model_config": True}, "model")
    except ConfigValidationError as error:
        raise ConfigValidationError(f"in the configuration of the model: {error}") from error


def to_dict(config: GenerationConfig, *, only_set: bool) -> dict[str, Any]:
    """Every field and every further key as a copy; with ``only_set`` without the fields that are None."""
    fields = type(config)._fields
    values = {
        name: _copied(value)
        for name, value in config._values().items()
        if not (only_set and value is None and name in fields)
    }
    dict_dtype_to_str(values)
    return values


def to_json(values: Mapping[str, Any]) -> str:
    """The text of a file. What JSON cannot hold is left out, with a ``GenerationWarning``: saving always works."""
    import json

    written = {}
    for name, value in values.items():
        if name == "sequence_bias":
            entries = bias_entries(value)
            value = value if entries is None else [[list(sequence), number] for sequence, number in entries]
        try:
            json.dumps(value, sort_keys=True)
        except (TypeError, ValueError, RecursionError) as error:
            warn(
                f"{name}={shorten(value)} cannot be written to a file ({error}) and is left out of it; pass it to "
                "generate() instead.",
                GenerationWarning,
            )
        else:
            written[name] = value
    return json.dumps(written, indent=2, sort_keys=True) + "\n"


def _copied(value: Any) -> Any:
    value = plain(value)
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    return value
