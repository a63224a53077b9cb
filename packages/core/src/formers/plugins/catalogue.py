"""What the core knows about packages that need not be installed: data only, read from one file."""

from __future__ import annotations

import functools
import os

from formers.errors import PluginWarning, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["look_alike", "model_type_of_class", "name_pattern", "packages"]

# What may follow the prefix of an architecture in the name of one of its classes.
_CLASS_ENDINGS = (
    "CTC",
    "Config",
    "Double",
    "Encoder",
    "For",
    "LMHead",
    "Layer",
    "Model",
    "PreTrained",
    "Tokenizer",
)


@functools.cache
def _data() -> Mapping[str, Any]:
    import json  # needed only for a fallback or an error message

    with open(os.path.join(os.path.dirname(__file__), "catalogue.json"), encoding="utf-8") as file:
        data: Mapping[str, Any] = json.load(file)
    return data


def packages() -> Mapping[str, str]:
    """From each model type of this project to the distribution that provides it."""
    found: Mapping[str, str] = _data()["packages"]
    return found


def look_alike(model_type: str) -> str | None:
    """Why a model type is not the known one that its name suggests; None for all others."""
    reason: str | None = _data()["look_alikes"].get(model_type)
    return reason


def name_pattern(name: str | os.PathLike[str], *, tokenizer: bool = False) -> str | None:
    """The model type that a checkpoint's name suggests, with a warning; None if it contains no pattern.

    The first pattern of the catalogue that occurs in the last component of the name decides; the folders above
    have no say. ``tokenizer=True`` also considers types that have a tokenizer but no configuration.
    """
    last = os.path.basename(os.fspath(name).replace("\\", "/").rstrip("/")).lower()
    skipped = () if tokenizer else _data()["tokenizer_only"]
    for pattern, model_type in _data()["name_patterns"]:
        if pattern in last and model_type not in skipped:
            warn(
                f"The configuration of {last!r} has no model_type; taking {model_type!r}, because the name "
                f"contains {pattern!r}. Write the model_type into its config.json to be sure.",
                PluginWarning,
            )
            return str(model_type)
    return None


def model_type_of_class(class_name: str, model_types: tuple[str, ...] = ()) -> str | None:
    """The model type to which the name of a class seems to belong, judged by its prefix; nothing is imported.

    ``model_types`` are considered beside the catalogue's: of ``"acme-lm"``, the classes ``AcmeLMModel``,
    ``AcmeLmForMaskedLM`` and so on are recognised.
    """
    prefixes = {prefix.lower(): model_type for prefix, model_type in _data()["class_prefixes"].items()}
    prefixes |= {name.replace("-", "").replace("_", "").lower(): name for name in model_types}
    for prefix in sorted(prefixes, key=len, reverse=True):
        if class_name.lower().startswith(prefix) and class_name[len(prefix) :].startswith(_CLASS_ENDINGS):
            return str(prefixes[prefix])
    return None
