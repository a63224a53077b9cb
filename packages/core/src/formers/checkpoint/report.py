"""What happened while a checkpoint was loaded, tensor by tensor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LoadReport", "Mismatch", "Origin", "listed"]

_LISTED = 20
_TRANSFORMERS_KEYS = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")


def listed(names: Sequence[str]) -> str:
    """At most twenty of the names, as a list, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{list(names[:_LISTED])}{more}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a tensor of the model comes from: a file, or "state_dict", and its name there."""

    file: str
    key: str


Mismatch = tuple[str, tuple[int, ...], tuple[int, ...]]
"""Name of a tensor in the model, stored shape, shape in the model; transformers reports the same triple."""


@dataclass(slots=True)
class LoadReport(Mapping[str, Any]):
    """The receipt of a load. Names are those of the model's ``state_dict``.

    As a mapping it has the keys that ``output_loading_info=True`` gives in transformers.

    Attributes:
        model_class: name of the class that was loaded.
        source: the file or folder that the weights come from.
        missing_keys: declared optional, absent from the checkpoint.
        unexpected_keys: stored, but without a place in the model; dropped with a warning.
        mismatched_keys: dropped on request because of another shape.
        error_msgs: always empty; what would stand here is raised.
        ignored: stored, without a place, and declared to be of no interest.
        origins: for each loaded name, its file and its name there.
        tied: alias -> canonical name of weights that are one tensor now.
        untied: alias -> canonical name of declared ties whose members were stored with different values and
            have therefore been loaded one by one.
        dtype_changes: name -> (stored type, type in the model).
        initialised: names that the checkpoint did not fill, in order; whoever called ``load_into`` gives them
            their first values.
    """

    model_class: str
    source: str
    missing_keys: list[str] = field(default_factory=list)
    unexpected_keys: list[str] = field(default_factory=list)
    mismatched_keys: list[Mismatch] = field(default_factory=list)
    error_msgs: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    origins: dict[str, Origin] = field(default_factory=dict)
    tied: dict[str, str] = field(default_factory=dict)
    untied: dict[str, str] = field(default_factory=dict)
    dtype_changes: dict[str, tuple[str, str]] = field(default_factory=dict)
    initialised: list[str] = field(default_factory=list)

    def __getitem__(self, key: str) -> Any:
        if key not in _TRANSFORMERS_KEYS:
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(_TRANSFORMERS_KEYS)

    def __len__(self) -> int:
        return len(_TRANSFORMERS_KEYS)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain lists, dictionaries and strings."""
        return {
            "model_class": self.model_class,
            "source": self.source,
            "missing_keys": list(self.missing_keys),
            "unexpected_keys": list(self.unexpected_keys),
            "mismatched_keys": [[name, list(have), list(want)] for name, have, want in self.mismatched_keys],
            "error_msgs": list(self.error_msgs),
            "ignored": list(self.ignored),
            "origins": {name: {"file": one.file, "key": one.key} for name, one in self.origins.items()},
            "tied": dict(self.tied),
            "untied": dict(self.untied),
            "dtype_changes": {name: list(change) for name, change in self.dtype_changes.items()},
            "initialised": list(self.initialised),
        }

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def __str__(self) -> str:
        lines = [f"{self.model_class} from {self.source}: {len(self.origins)} tensors loaded"]
        for title, names in (
            ("missing", self.missing_keys),
            ("initialised", self.initialised),
            ("unexpected, dropped", self.unexpected_keys),
            ("of another shape, dropped", [name for name, _, _ in self.mismatched_keys]),
            ("tied", [f"{alias} = {canonical}" for alias, canonical in self.tied.items()]),
            ("not tied, stored values differ", [f"{a} != {c}" for a, c in self.untied.items()]),
        ):
            if names:
                lines.append(f"  {len(names)} {title}: {listed(names)}")
        if self.dtype_changes:
            changes = sorted({f"{old} to {new}" for old, new in self.dtype_changes.values()})
            lines.append(f"  {len(self.dtype_changes)} converted: {', '.join(changes)}")
        return "\n".join(lines)
