"""Files beside configuration and weights, which belong to an ability that a class was given by a mixin.

A mixin that keeps a file in a model's folder is a :class:`Companion`: its file is read after the weights, and is
written in the same commit. The base class itself knows no such ability.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

from formers.files.folder import Folder

__all__ = ["Companion", "companion_names", "companion_texts", "read_companions"]


@runtime_checkable
class Companion(Protocol):
    """What a mixin offers that keeps files in a model's folder."""

    companion_files: ClassVar[tuple[str, ...]]
    """Their names; each may be missing."""

    def read_companions(self, folder: Folder) -> None:
        """Take in what the folder holds of them."""
        ...

    def companion_texts(self) -> Mapping[str, str]:
        """Name to content, of what is to be written; raises before anything is."""
        ...


def companion_names(model_class: type) -> tuple[str, ...]:
    """The files that a class reads beside configuration and weights."""
    names: tuple[str, ...] = getattr(model_class, "companion_files", ())
    return names


def read_companions(model: object, folder: Folder) -> None:
    """Let a model that has companions read them."""
    if isinstance(model, Companion):
        model.read_companions(folder)


def companion_texts(model: object) -> Mapping[str, str]:
    """The files that a model writes beside configuration and weights."""
    return model.companion_texts() if isinstance(model, Companion) else {}
