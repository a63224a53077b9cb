"""Which stored tensor belongs at which place of a model; decided by names, shapes and types alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from formers.errors import CorruptFileError, shorten

from .report import Mismatch
from .rules import KeyRules, base_prefix_mapping
from .source import TensorSource

__all__ = ["Match", "Slot", "match", "matches_any", "slots"]


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of the model that a checkpoint fills: a parameter or a persistent buffer."""

    module: nn.Module
    attribute: str
    tensor: Tensor
    is_buffer: bool

    def is_same_place(self, other: Slot) -> bool:
        """Whether both are one place, reached by two names."""
        return self.module is other.module and self.attribute == other.attribute


@dataclass(slots=True)
class Match:
    """The plan of a load. Names are the model's, except that the values of ``stored`` are published names."""

    slots: dict[str, Slot]
    stored: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    wrong_shape: list[Mismatch] = field(default_factory=list)
    wrong_kind: list[tuple[str, torch.dtype, torch.dtype]] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of weights of the model; names that are tied count once."""
        return len(self.slots) - len(self.aliases)


def slots(model: nn.Module) -> dict[str, Slot]:
    """Every place of the model, under each of its names, in the order of ``state_dict``."""
    found: dict[str, Slot] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        for attribute, parameter in module._parameters.items():
            if parameter is not None:
                found[prefix + attribute] = Slot(module, attribute, parameter, is_buffer=False)
        for attribute, buffer in module._buffers.items():
            if buffer is not None and attribute not in module._non_persistent_buffers_set:
                found[prefix + attribute] = Slot(module, attribute, buffer, is_buffer=True)
    return found


def match(
    model: nn.Module,
    source: TensorSource,
    *,
    rules: KeyRules,
    base_prefix: str = "",
    ignored: Sequence[str] = (),
    tied: Mapping[str, str] | None = None,
) -> Match:
    """Bring the names of ``source`` to the places of ``model``. Reads no tensor and allocates nothing.

    Raises ``CorruptFileError`` if two stored tensors claim one place.
    """
    places = slots(model)
    plan = Match(places, aliases=_all_aliases(places, tied or {}))
    for published, name in _model_names(source, places, rules, base_prefix).items():
        if name not in places:
            if matches_any(ignored, name):
                plan.ignored.append(published)
            else:
                plan.unexpected[published] = name
            continue
        info, slot = source.info(published), places[name].tensor
        if info.shape != tuple(slot.shape):
            plan.wrong_shape.append((name, info.shape, tuple(slot.shape)))
        elif _kind(info.dtype) != _kind(slot.dtype):
            plan.wrong_kind.append((name, info.dtype, slot.dtype))
        else:
            plan.stored[name] = published
    rejected = {name for name, *_ in (*plan.wrong_shape, *plan.wrong_kind)}
    filled = plan.stored.keys() | rejected
    plan.missing = [
        name for name in places if name not in filled and not _filled_by_tie(name, filled, plan.aliases)
    ]
    return plan


def matches_any(patterns: Iterable[str], name: str) -> bool:
    """Whether one of the regular expressions is found in the name."""
    return any(re.search(pattern, name) for pattern in patterns)


def _model_names(
    source: TensorSource, places: Mapping[str, Slot], rules: KeyRules, base_prefix: str
) -> dict[str, str]:
    names = rules.internal_names(source.keys())
    moved = base_prefix_mapping(names.values(), places.keys(), base_prefix)
    result: dict[str, str] = {}
    taken: dict[str, str] = {}
    for published, name in names.items():
        final = moved.get(name, name)
        if taken.setdefault(final, published) != published:
            raise CorruptFileError(
                f"{source.label}: the stored tensors {shorten(taken[final])} and {shorten(published)} both mean "
                f"{shorten(final)}; remove one of them from the checkpoint"
            )
        result[published] = final
    return result


def _all_aliases(places: Mapping[str, Slot], tied: Mapping[str, str]) -> dict[str, str]:
    """The declared ties, and the names that are one place because the model holds a module twice."""
    aliases = {alias: name for alias, name in tied.items() if alias in places and name in places}
    first: dict[int, str] = {}
    for name, slot in places.items():
        earlier = first.setdefault(id(slot.tensor), name)
        if _root(earlier, aliases) != _root(name, aliases):
            aliases[_root(name, aliases)] = _root(earlier, aliases)
    return {alias: _root(alias, aliases) for alias in aliases}


def _root(name: str, aliases: Mapping[str, str]) -> str:
    seen = {name}
    while name in aliases:
        name = aliases[name]
        if name in seen:
            raise ValueError(f"tied_weights go in a circle at {shorten(name)}; name one canonical weight")
        seen.add(name)
    return name


def _filled_by_tie(name: str, filled: Iterable[str], aliases: Mapping[str, str]) -> bool:
    canonical = aliases.get(name, name)
    group = {canonical, *(alias for alias, target in aliases.items() if target == canonical)}
    return not group.isdisjoint(filled)


def _kind(dtype: torch.dtype) -> str:
    if dtype.is_floating_point:
        return "float"
    if dtype.is_complex:
        return "complex"
    return "bool" if dtype == torch.bool else "integer"
