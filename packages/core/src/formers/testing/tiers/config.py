"""Tier ``config``: a configuration is data, and comes back as it was saved. No torch here."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

from formers.config import PreTrainedConfig
from formers.errors import ConfigValidationError
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.subject import Subject


@check("config.model_type")
def model_type(subject: Subject, cases: Cases) -> None:
    """The class is for one of the manifest's types, and builds without arguments."""
    with cases(subject.architecture.config):
        cls = subject.config_class
        require(issubclass(cls, PreTrainedConfig), f"{cls.__name__} is no PreTrainedConfig")
        own = cls.model_type
        require(own in subject.architecture.model_types, f"its model_type is {own!r}")
        require(cls().model_type == own, f"an instance has model_type {cls().model_type!r}")


@check("config.tiny")
def tiny(subject: Subject, cases: Cases) -> None:
    """``tiny`` gives a small configuration of the manifest's class, without dropout, and takes settings."""
    with cases(subject.architecture.tiny):
        config = subject.config()
        values = config.to_dict()
        dropped = [
            name
            for name, value in values.items()
            if isinstance(value, float) and value > 0 and ("drop" in name) and "layer" not in name
        ]
        require(not dropped, f"dropout makes every check a matter of luck: {', '.join(dropped)}")
        again = subject.config(num_labels=5)
        require(again.num_labels == 5, "tiny(num_labels=5) has another number of labels")
        require(subject.config().to_dict() == values, "a second call gives another configuration")


@check("config.round_trip")
def round_trip(subject: Subject, cases: Cases) -> None:
    """Through a dict, JSON, a file, a pickle and a copy, a configuration stays equal."""
    for label, config in (("default", subject.config_class()), ("tiny", subject.config(num_labels=3))):
        cls = type(config)
        folder = subject.folder()
        config.save_pretrained(folder)
        for name in ("dict", "difference", "JSON", "folder", "pickle", "copy"):
            with cases(label, name):
                found = _through(name, config, folder)
                require(type(found) is cls, f"it is a {type(found).__name__}")
                left, right = _settings(found), _settings(config)
                changed = sorted(one for one in left.keys() | right.keys() if left.get(one) != right.get(one))
                require(not changed, f"other values: {', '.join(changed)}")


def _through(way: str, config: PreTrainedConfig, folder: Path) -> PreTrainedConfig:
    """A configuration that went one way and came back."""
    cls = type(config)
    if way == "folder":
        return cls.from_pretrained(folder)
    if way == "pickle":
        return pickle.loads(pickle.dumps(config))  # type: ignore[no-any-return]
    if way == "copy":
        return copy.deepcopy(config)
    values: dict[str, Any] = json.loads(config.to_json_string())
    if way != "JSON":
        values = config.to_dict() if way == "dict" else config.to_diff_dict()
    return cls.from_dict(values)


def _settings(config: PreTrainedConfig) -> dict[str, object]:
    values: dict[str, object] = {
        name: getattr(config, name, None) for name in sorted(_declared(type(config)))
    }
    values |= config.to_dict()
    for name in ("_name_or_path", "transformers_version", "formers_version"):
        values.pop(name, None)
    return values


@check("config.unknown_keys")
def unknown_keys(subject: Subject, cases: Cases) -> None:
    """Keys that the class does not know survive reading and writing."""
    with cases("from a file"):
        folder = subject.folder()
        values = json.loads(subject.config().to_json_string())
        values["a_key_of_somebody_else"] = {"nested": [1, 2.5, None]}
        (folder / "config.json").write_text(json.dumps(values), "utf-8")
        config = subject.config_class.from_pretrained(folder)
        again = subject.folder()
        config.save_pretrained(again)
        kept = json.loads((again / "config.json").read_text("utf-8")).get("a_key_of_somebody_else")
        require(kept == {"nested": [1, 2.5, None]}, f"it became {kept!r}")


@check("config.bytes")
def stable_bytes(subject: Subject, cases: Cases) -> None:
    """``config.json`` read and written has the same bytes."""
    for label, config in (("default", subject.config_class()), ("tiny", subject.config(num_labels=3))):
        with cases(label):
            first, second = subject.folder(), subject.folder()
            config.save_pretrained(first)
            type(config).from_pretrained(first).save_pretrained(second)
            text = (first / "config.json").read_bytes()
            require((second / "config.json").read_bytes() == text, "the bytes are others")
            require(
                json.loads(text)["model_type"] in subject.architecture.model_types, "no model_type is written"
            )


@check("config.auto")
def auto(subject: Subject, cases: Cases) -> None:
    """``AutoConfig`` reads a folder as the manifest's class."""
    from formers.auto.configuration import AutoConfig

    with cases("from_pretrained"):
        folder = subject.folder()
        subject.config().save_pretrained(folder)
        found = AutoConfig.from_pretrained(folder)
        require(type(found) is subject.config_class, f"it is a {type(found).__name__}")
    with cases("for_model"):
        found = AutoConfig.for_model(subject.model_type)
        require(type(found) is subject.config_class, f"it is a {type(found).__name__}")


@check("config.validation", law=5)
def validation(subject: Subject, cases: Cases) -> None:
    """A whole number that is a text is refused, and the message names the field."""
    config = subject.config()
    numbers = [
        name
        for name, value in config.to_dict().items()
        if type(value) is int and name in _declared(type(config)) and not name.endswith("_token_id")
    ]
    if not numbers:
        raise NotApplicable("it declares no fields that are whole numbers")
    for name in numbers:
        with cases(name):
            try:
                wrong: dict[str, Any] = {name: "many"}
                subject.config_class(**wrong)
            except ConfigValidationError as error:
                require(name in str(error) or _mapped(config, name) in str(error), f"not named: {error}")
            else:
                raise AssertionError(f"{name}='many' goes unnoticed")


def _declared(cls: type[PreTrainedConfig]) -> set[str]:
    """The names annotated by the classes of the plugin itself."""
    return {
        name for one in cls.__mro__ if one.__module__.partition(".")[0] != "formers" for name in _own(one)
    }


def _own(cls: type) -> dict[str, object]:
    return inspect.get_annotations(cls)


def _mapped(config: PreTrainedConfig, name: str) -> str:
    return next((alias for alias, own in config.attribute_map.items() if own == name), name)


@check("config.names")
def names(subject: Subject, cases: Cases) -> None:
    """What every architecture has can be read under the names that the core uses."""
    config = subject.config()
    for name in ("hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size"):
        with cases(name):
            value = getattr(config, name, None)
            require(
                isinstance(value, int) and value > 0, f"config.{name} is {value!r}; map it with attribute_map"
            )
