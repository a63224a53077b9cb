"""Importing what a plugin names, so that a failure is that plugin's and nobody else's."""

from __future__ import annotations

import importlib

from formers.errors import PluginLoadError

from . import messages
from .manifest import API_VERSION, Architecture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from .discovery import Found

__all__ = ["Provider", "check_api", "load_manifest", "resolve_reference"]


def resolve_reference(reference: str) -> object:
    """Import ``"package.module:Name"`` and return what it names; without a colon, the module."""
    module_name, _, name = reference.partition(":")
    target: object = importlib.import_module(module_name)
    for part in filter(None, name.split(".")):
        target = getattr(target, part)
    return target


def load_from(found: Found, reference: str) -> object:
    """Resolve a reference of an installed plugin.

    Raises:
        PluginLoadError: whatever went wrong, ``SystemExit`` included, chained with its own traceback.
    """
    try:
        return resolve_reference(reference)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as cause:  # plugins call sys.exit; extension modules raise types beyond Exception
        raise PluginLoadError(messages.load_failed(found, reference, cause)) from cause


def check_api(architecture: Architecture, who: str, dist: str | None = None) -> None:
    """Refuse a manifest written for another major or a newer minor version of the plugin interface."""
    major, minor = architecture.api_version
    if major != API_VERSION[0] or minor > API_VERSION[1]:
        raise PluginLoadError(messages.api_mismatch(who, dist, (major, minor)))


def load_manifest(found: Found) -> Architecture:
    """Import the manifest behind an entry point and check that it is one, for this name and this core.

    Raises:
        PluginLoadError: it cannot be imported, is something else, or needs another plugin interface.
    """
    manifest = load_from(found, found.value)
    try:
        if not isinstance(manifest, Architecture):
            raise TypeError(f"it is of type {type(manifest).__name__}, not a formers.Architecture")
        if found.name not in manifest.model_types:
            raise ValueError(
                f"the manifest is for {manifest.model_type!r}; "
                f"the entry point is called {found.name!r}, which is not one of its aliases"
            )
    except (TypeError, ValueError) as cause:
        raise PluginLoadError(messages.load_failed(found, found.value, cause)) from cause
    check_api(manifest, f"Plugin {found.label}", found.dist)
    return manifest


class Provider:
    """An architecture and where it comes from: a distribution, or this process (``found`` is None)."""

    __slots__ = ("architecture", "found")

    def __init__(self, architecture: Architecture, found: Found | None = None) -> None:
        self.architecture = architecture
        self.found = found

    @property
    def label(self) -> str:
        """Who it is, as messages show it."""
        if self.found is None:
            return f"the architecture {self.architecture.model_type!r} registered in this process"
        return f"plugin {self.found.label}"

    def load(self, reference: str) -> object:
        """Import what a reference of the manifest names.

        Raises:
            PluginLoadError: it cannot be imported.
        """
        if self.found is not None:
            return load_from(self.found, reference)
        try:
            return resolve_reference(reference)
        except (ImportError, AttributeError) as cause:
            raise PluginLoadError(
                f"{self.label} names {reference!r}, which cannot be imported: {cause}. Correct the reference."
            ) from cause

    def load_class(self, reference: str) -> type:
        """Import a class; raises as ``load``, and for what is no class."""
        target = self.load(reference)
        if not isinstance(target, type):
            kind = type(target).__name__
            raise PluginLoadError(f"{reference!r} of {self.label} is of type {kind}, but a class is needed.")
        return target

    def packages(self) -> set[str]:
        """The top-level modules that its manifest refers to."""
        architecture = self.architecture
        fields = (architecture.config, architecture.tokenizer, architecture.slow_tokenizer)
        references = (
            *fields,
            *(reference for classes in architecture.auto.values() for reference in classes),
        )
        return {reference.partition(":")[0].partition(".")[0] for reference in references if reference}


class Attribution:
    """Context manager that adds a note naming the plugin to an exception raised inside the plugin's code.

    An exception that never passed through the plugin, such as one about a corrupt file, is left alone.
    """

    __slots__ = ("_provider",)

    def __init__(self, provider: Provider | None) -> None:
        self._provider = provider

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._provider is None or not isinstance(error, Exception):
            return
        place = _place_in(self._provider.packages(), traceback)
        if place is not None:
            note = f"Raised inside {self._provider.label} ({place})."
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)


def _place_in(packages: set[str], traceback: TracebackType | None) -> str | None:
    """Module and line of the innermost frame that belongs to one of the packages."""
    place = None
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in packages:
            place = f"{module}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
