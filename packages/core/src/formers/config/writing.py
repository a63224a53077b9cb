"""From a configuration to dicts and JSON, as transformers 4 and 5 read them."""

from __future__ import annotations

import math
from typing import Any

from formers.config.declared import Declared
from formers.config.dtypes import dict_dtype_to_str
from formers.config.labels import labels_in
from formers.errors import ConfigValidationError, shorten
from formers.files.strict_json import dump_json

__all__ = ["comparable", "to_dict", "to_diff_dict", "to_json"]

_INTERNAL = frozenset(("_labels", "_constructing", "_from_data", "_attn_implementation", "_commit_hash"))
_NOT_COMPARED = ("_name_or_path", "transformers_version")


def to_dict(config: Declared) -> dict[str, Any]:
    """Every attribute, nested configurations as dicts; a deep copy."""
    values = {
        name: _plain(value)
        for name, value in config.__dict__.items()
        if name not in _INTERNAL and not (name == "transformers_version" and value is None)
    }
    values.update(labels_of(config))
    values["model_type"] = config.model_type
    values.setdefault("_name_or_path", "")
    dict_dtype_to_str(values)
    return values


def to_diff_dict(config: Declared) -> dict[str, Any]:
    """What a file needs: ``model_type``, all that the class itself declares, and what differs from the base class.

    A value of the base class is left out only if it is the default of this class too, so that reading restores it.
    """
    cls = type(config)
    base = _defaults(_base_of(cls)) or {}
    usual = _defaults(cls)
    values = to_dict(config)
    values.pop("_name_or_path")
    own = set(cls._own)

    def is_default(name: str) -> bool:
        if name in own or name not in base or values[name] != base[name]:
            return False
        return usual is not None and usual.get(name) == values[name]

    kept = {name: value for name, value in values.items() if name == "model_type" or not is_default(name)}
    if kept.keys() & {"id2label", "label2id"}:  # two halves of one thing
        kept.update(labels_of(config))
    if not values["model_type"]:
        del kept["model_type"]
    for name in cls.sub_configs:
        nested = config.__dict__.get(name)
        if isinstance(nested, Declared):
            kept[name] = to_diff_dict(nested)
            kept[name].pop("transformers_version", None)
    return kept


def to_json(config: Declared, use_diff: bool) -> str:
    """The text of a ``config.json``.

    Infinity is written as transformers 5 writes it, ``{"__float__": "Infinity"}``, since JSON has no such number.
    Raises ``ConfigValidationError`` naming the key whose value JSON cannot hold.
    """
    values = to_diff_dict(config) if use_diff else to_dict(config)
    encoded = {name: _encode_floats(value) for name, value in values.items()}
    try:
        return dump_json(encoded)
    except (TypeError, ValueError, RecursionError):
        for name, value in encoded.items():
            try:
                dump_json({name: value})
            except (TypeError, ValueError, RecursionError) as error:
                raise ConfigValidationError(
                    f"{type(config).__name__}: {name}={shorten(value)} cannot be written to JSON ({error}); "
                    "use numbers, strings, booleans, lists and dicts with string keys."
                ) from error
        raise


def comparable(config: Declared) -> dict[str, Any]:
    """What two equal configurations have in common: everything but where they came from."""
    values = {name: value for name, value in config.__dict__.items() if name not in _INTERNAL}
    values.update(labels_of(config))
    for name in _NOT_COMPARED:
        values.pop(name, None)
    return values


def labels_of(config: Declared) -> dict[str, Any]:
    """The keys about labels, as a file holds them."""
    return labels_in(config).entries()


def _base_of(cls: type[Declared]) -> type[Declared]:
    return next(base for base in cls.__mro__ if Declared in base.__bases__)


def _defaults(cls: type[Declared]) -> dict[str, Any] | None:
    """What a default configuration of the class holds; None if there is no such thing."""
    if cls.has_no_defaults_at_init:
        return None
    cached = cls.__dict__.get("_default_values")
    if cached is None:
        try:
            cached = to_dict(cls())
        except (TypeError, ValueError):  # needs arguments after all
            return None
        cls._default_values = cached  # type: ignore[attr-defined]
    return cached


def _plain(value: Any) -> Any:
    if isinstance(value, Declared):
        return to_dict(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return value


def _encode_floats(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"__float__": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, dict):
        return {key: _encode_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode_floats(item) for item in value]
    return value
