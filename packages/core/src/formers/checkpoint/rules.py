"""How published tensor names map to the names inside a model, in both directions.

What is on disk keeps its published name for ever; the module tree may change. A model class declares rules:

    key_rules = (
        Rename(published="encoder.layer.{i}", internal="layers.{i}"),
        Rename(published="layers.{i}.attention.self", internal="layers.{i}.self_attention"),
        Legacy(old="LayerNorm.gamma", new="LayerNorm.weight"),
    )

A pattern is a run of dotted components. ``{i}`` stands for any one component and keeps it; everything else is
literal. A rule replaces the first such run in a name, wherever it begins, so it does not matter whether a name
carries the prefix of the base model. When loading, each rule sees the result of the one before it;
when saving, they are undone from the last to the first. Legacy rules come before all others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from formers.errors import CorruptFileError, FormersError, shorten

__all__ = ["KeyRules", "Legacy", "Rename", "base_prefix_mapping"]


@dataclass(frozen=True, slots=True)
class Rename:
    """A reversible rule: ``published`` when stored, ``internal`` in the model."""

    published: str
    internal: str

    def __post_init__(self) -> None:
        _check_patterns(self.published, self.internal)
        if sorted(_placeholders(self.published)) != sorted(_placeholders(self.internal)):
            raise ValueError(
                f"{self}: both sides need the same {{placeholders}}, or the rule cannot be reversed"
            )


@dataclass(frozen=True, slots=True)
class Legacy:
    """A rule for reading only: ``old`` names of earlier publications are read as ``new``."""

    old: str
    new: str

    def __post_init__(self) -> None:
        _check_patterns(self.old, self.new)
        if not set(_placeholders(self.new)) <= set(_placeholders(self.old)):
            raise ValueError(f"{self}: 'new' uses a {{placeholder}} that 'old' does not have")


class KeyRules:
    """The rules of one model class."""

    def __init__(self, rules: Sequence[Rename | Legacy] = ()) -> None:
        self._legacy = [(_split(r.old), _split(r.new)) for r in rules if isinstance(r, Legacy)]
        self._renames = [(_split(r.published), _split(r.internal)) for r in rules if isinstance(r, Rename)]
        if len(self._legacy) + len(self._renames) != len(rules):
            raise TypeError(f"key rules are Rename or Legacy objects, not {shorten(rules)}")

    def to_internal(self, key: str) -> str:
        """The model's name of a stored tensor."""
        if not self._legacy and not self._renames:
            return key
        parts = _split(key)
        for pattern, result in (*self._legacy, *self._renames):
            parts = _replace(parts, pattern, result)
        return ".".join(parts)

    def to_published(self, key: str) -> str:
        """The name under which a tensor of the model is stored."""
        parts = _split(key)
        for result, pattern in reversed(self._renames):
            parts = _replace(parts, pattern, result)
        return ".".join(parts)

    def published_names(self, keys: Iterable[str]) -> dict[str, str]:
        """Internal -> published name, after checking that reading gives every name back.

        Raises ``FormersError`` naming the key for which the rules are not reversible.
        """
        names = {key: self.to_published(key) for key in keys}
        for key, name in names.items():
            back = self.to_internal(name)
            if back != key:
                raise FormersError(
                    f"key_rules are not reversible: {shorten(key)} would be stored as {shorten(name)}, which reads "
                    f"as {shorten(back)}. Correct `key_rules` of the model class"
                )
        return names

    def internal_names(self, keys: Iterable[str]) -> dict[str, str]:
        """Stored -> internal name.

        Raises ``CorruptFileError`` if two stored tensors would get one name.
        """
        names: dict[str, str] = {}
        taken: dict[str, str] = {}
        for key in keys:
            name = self.to_internal(key)
            if taken.setdefault(name, key) != key:
                raise CorruptFileError(
                    f"the stored tensors {shorten(taken[name])} and {shorten(key)} both mean {shorten(name)}; "
                    "remove one of them from the checkpoint"
                )
            names[key] = name
        return names


def base_prefix_mapping(
    stored: Collection[str], expected: Collection[str], base_prefix: str
) -> dict[str, str]:
    """Stored -> expected names where only one of the two carries the prefix of the base model.

    A head model keeps its base model under ``base_prefix``. A checkpoint of a head model loads into the base
    model by removing that prefix, one of a base model into a head model by adding it. Names that the prefix
    does not bring to a place of the model stay as they are.
    """
    if not base_prefix:
        return {}
    prefix = f"{base_prefix}."
    stored_has = any(name.startswith(prefix) for name in stored)
    expected_has = any(name.startswith(prefix) for name in expected)
    if stored_has and not expected_has:
        return {name: name.removeprefix(prefix) for name in stored if name.startswith(prefix)}
    if expected_has and not stored_has:
        places = set(expected)
        return {name: prefix + name for name in stored if name not in places and prefix + name in places}
    return {}


def _check_patterns(*patterns: str) -> None:
    for pattern in patterns:
        if not pattern or "" in pattern.split("."):
            raise ValueError(f"{shorten(pattern)}: a key pattern is a run of names joined by dots")
        names = _placeholders(pattern)
        if len(set(names)) != len(names):
            raise ValueError(f"{shorten(pattern)}: a placeholder appears twice")


def _placeholders(pattern: str) -> list[str]:
    return [part for part in pattern.split(".") if _is_placeholder(part)]


def _is_placeholder(part: str) -> bool:
    return part.startswith("{") and part.endswith("}")


def _split(key: str) -> tuple[str, ...]:
    return tuple(key.split("."))


def _replace(parts: tuple[str, ...], pattern: tuple[str, ...], result: tuple[str, ...]) -> tuple[str, ...]:
    """``parts`` with the first run that matches ``pattern`` replaced by ``result``."""
    for start in range(len(parts) - len(pattern) + 1):
        run = parts[start : start + len(pattern)]
        if all(_is_placeholder(want) or want == have for want, have in zip(pattern, run, strict=True)):
            values = dict(zip(pattern, run, strict=True))
            filled = tuple(values[part] if _is_placeholder(part) else part for part in result)
            return parts[:start] + filled + parts[start + len(pattern) :]
    return parts
