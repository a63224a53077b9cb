"""Tokenizers from the vocabulary files of older folders, which have no ``tokenizer.json``.

A converter says which files it reads and for whom, and makes the pipeline; plugins bring further ones through the
hook ``formers_tokenizer_converters``. Files alone rarely say how text is to be split, so a converter is used only
where the folder names a class or a model type of its own, or, for a converter without any, names none at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from formers.errors import (
    ConfigValidationError,
    FormersError,
    PluginConflictError,
    PluginLoadError,
    PluginWarning,
    shorten,
    warn,
)
from formers.files.names import flat_name
from formers.plugins import environment, hooks
from formers.plugins.loading import resolve_reference
from formers.plugins.manifest import is_reference
from formers.tokenization.loading import GENERIC

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "OldFolder",
    "TokenizerConverter",
    "builtin",
    "choose",
    "explain",
    "known_converters",
]

HOOK = "formers_tokenizer_converters"


class OldFolder(NamedTuple):
    """What a folder without ``tokenizer.json`` holds, and what it says about its tokenizer."""

    files: Collection[str]
    tokenizer_class: str | None = None
    model_type: str | None = None

    @property
    def own_class(self) -> str | None:
        """The class that the folder names, without "Fast"; None for a generic one."""
        name = self.tokenizer_class
        return None if name is None or name in GENERIC else name.removesuffix("Fast")


@dataclass(frozen=True, slots=True)
class TokenizerConverter:
    """Makes a pipeline of the ``tokenizers`` library from vocabulary files. Needs no torch.

    Args:
        name: what messages call it.
        files: names of the files that it reads; all must be in the folder.
        convert: ``"package.module:function"``, imported when it is used. The function takes a dict from each of
            ``files`` to its path, and the tokenizer's settings: ``defaults``, over them what
            ``tokenizer_config.json`` says, over that what the caller passed. It returns a
            ``tokenizers.Tokenizer``. Options such as ``do_lower_case`` are applied to its stages afterwards.
        tokenizer_classes: the classes, as ``tokenizer_config.json`` names them, whose files these are; "Fast" at
            the end makes no difference.
        model_types: the model types whose files these are, where the folder names no class.
        defaults: settings for what the folder leaves open, such as ``{"unk_token": "[UNK]"}``.

    Raises:
        ConfigValidationError: a field has the wrong type or form; the message names it.
        UnsafePathError: one of ``files`` leads out of the folder.
    """

    name: str
    files: tuple[str, ...]
    convert: str
    tokenizer_classes: Set[str] = frozenset()
    model_types: Set[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            self._refuse("name", "a name")
        if not isinstance(self.defaults, Mapping):
            self._refuse("defaults", "a dict")
        for attribute in ("files", "tokenizer_classes", "model_types"):
            words = getattr(self, attribute)
            if not isinstance(words, Collection) or isinstance(words, str):
                self._refuse(attribute, "a collection of names")
            if not all(isinstance(word, str) and word for word in words):
                self._refuse(attribute, "a collection of names")
        if not self.files:
            self._refuse("files", "the names of one file or more")
        for name in self.files:
            flat_name(name, source=f"TokenizerConverter {self.name!r}: files")
        if not is_reference(self.convert):
            self._refuse("convert", "a reference 'package.module:function'")
        classes = frozenset(name.removesuffix("Fast") for name in self.tokenizer_classes)
        object.__setattr__(self, "files", tuple(self.files))
        object.__setattr__(self, "tokenizer_classes", classes)
        object.__setattr__(self, "model_types", frozenset(self.model_types))
        object.__setattr__(self, "defaults", MappingProxyType(dict(self.defaults)))

    def applies(self, folder: OldFolder) -> bool:
        """Whether this converter may read the folder."""
        return self._claim(folder) > 0

    def run(self, paths: Mapping[str, Path], settings: Mapping[str, Any]) -> Tokenizer:
        """The pipeline.

        Raises:
            PluginLoadError: the function cannot be imported, or gives something else.
            Exception: whatever the function raises, with a note that names the converter.
        """
        from tokenizers import Tokenizer

        try:
            function: Any = resolve_reference(self.convert)
        except (ImportError, AttributeError) as error:
            raise PluginLoadError(f"{self.label}: {self.convert} cannot be imported: {error}") from error
        try:
            made = function(paths, settings)
        except Exception as error:
            if not isinstance(error, FormersError):
                error.add_note(f"Raised by the {self.label}, for {', '.join(map(str, paths.values()))}.")
            raise
        if not isinstance(made, Tokenizer):
            raise PluginLoadError(
                f"{self.label}: {self.convert} gave {shorten(made)}; expected a Tokenizer of the tokenizers library"
            )
        return made

    @property
    def label(self) -> str:
        """Name and origin, as messages show them."""
        return f"tokenizer converter {self.name!r} ({self.convert.partition(':')[0]})"

    def _claim(self, folder: OldFolder) -> int:
        """How closely the folder asks for this converter: 3 by class, 2 by model type, 1 by nothing, 0 not at all."""
        if not set(self.files) <= set(folder.files):
            return 0
        if folder.own_class is not None:
            return 3 if folder.own_class in self.tokenizer_classes else 0
        if folder.model_type in self.model_types:
            return 2
        says_nothing = folder.model_type is None or folder.tokenizer_class is not None
        return 1 if says_nothing and not (self.tokenizer_classes or self.model_types) else 0

    def _refuse(self, attribute: str, expected: str) -> None:
        raise ConfigValidationError(
            f"TokenizerConverter: {attribute}={shorten(getattr(self, attribute))} is not {expected}."
        )


def builtin() -> list[TokenizerConverter]:
    """The core's own converters: formats of files that belong to no single architecture."""
    return [
        TokenizerConverter(
            "byte-level-bpe",
            files=("vocab.json", "merges.txt"),
            convert="formers.tokenization.bpe_files:convert",
        )
    ]


def known_converters() -> list[TokenizerConverter]:
    """The converters of the core and of installed plugins. What is none is left out, with a warning."""
    found: list[TokenizerConverter] = []
    for candidate in (one for given in hooks.call(HOOK) for one in given):
        if isinstance(candidate, TokenizerConverter):
            found.append(candidate)
            continue
        message = f"A plugin's {HOOK} gave {shorten(candidate)}; expected a formers.TokenizerConverter."
        if environment.strict():
            raise PluginLoadError(message)
        warn(f"{message} It is left out.", PluginWarning)
    return found


def choose(folder: OldFolder) -> TokenizerConverter | None:
    """The converter that the folder asks for most closely; None if there is none.

    Raises:
        PluginConflictError: it asks for several alike.
    """
    claims = {converter: converter._claim(folder) for converter in known_converters()}
    best = max(claims.values(), default=0)
    chosen = [converter for converter, claim in claims.items() if claim == best > 0]
    if len(chosen) > 1:
        labels = " and ".join(sorted(converter.label for converter in chosen))
        raise PluginConflictError(
            f"Two converters read {', '.join(chosen[0].files)} of {folder.own_class or folder.model_type or 'any'} "
            f"tokenizers: {labels}. Switch the plugin of one off with FORMERS_DISABLE_PLUGINS."
        )
    return chosen[0] if chosen else None


def explain(folder: OldFolder) -> str:
    """Why no converter reads the folder: what it asks for, and whose files the converters of such files are for."""
    asked = folder.own_class or (folder.model_type and f"the model type {folder.model_type!r}")
    lines = (
        [f"The folder asks for {asked}, which no installed package reads from old files."] if asked else []
    )
    for converter in known_converters():
        if set(converter.files) <= set(folder.files):
            of = sorted(converter.tokenizer_classes) or sorted(converter.model_types)
            owners = f"of {_some(of)}" if of else "of folders that name no class or model type"
            lines.append(f"The {converter.label} reads {', '.join(converter.files)}, but only {owners}.")
    return "\n".join(lines)


def _some(names: list[str], limit: int = 5) -> str:
    more = len(names) - limit
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:limit])} and {more} more"
