"""Installed plugins as providers of model types: chosen, loaded once, their failures remembered."""

from __future__ import annotations

import threading

from formers.errors import PluginConflictError, PluginLoadError, PluginWarning, warn

from . import discovery, environment, messages
from .discovery import MODELS, Found
from .loading import Provider, load_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Installed"]


class Installed:
    """The architectures of an index of installed packages; a question about one type loads that one alone."""

    def __init__(self, index: Callable[[], discovery.Index] = discovery.index) -> None:
        self._index = index
        # Held for dictionary work only, never during an import: a plugin may ask or register while it loads.
        self._lock = threading.Lock()
        self._loaded: dict[tuple[str, str], Provider] = {}
        self._failed: dict[tuple[str, str], PluginLoadError] = {}
        self._examined = False

    def entries(self) -> tuple[Found, ...]:
        """Every entry point of a model type, those switched off included; nothing is imported."""
        return tuple(found for found in self._index().found if found.group == MODELS)

    def model_types(self) -> set[str]:
        """The model types that are not switched off."""
        return {found.name for found in self.entries() if environment.switched_off_by(found.dist) is None}

    def usable(self, model_type: str) -> list[Found]:
        """The entry points of a type that are not switched off, ordered by distribution and never by path."""
        claims = self._index().providers(MODELS, model_type)
        return [found for found in claims if environment.switched_off_by(found.dist) is None]

    def provider(self, model_type: str) -> Provider | None:
        """Load the plugin that serves a type; None if there is none.

        Raises:
            PluginConflictError: several distributions claim it, and ``FORMERS_PREFER`` does not say which.
            PluginLoadError: its plugin is broken, or was written for another plugin interface.
        """
        self._examine()
        return self._provider(model_type)

    def refresh(self) -> None:
        """Forget what was loaded, and every failure."""
        with self._lock:
            self._loaded.clear()
            self._failed.clear()
            self._examined = False

    def why_unknown(self, model_type: str, known: list[str]) -> str:
        """The message for a type without a usable provider."""
        claims = self._index().providers(MODELS, model_type)
        off = [(found, environment.switched_off_by(found.dist)) for found in claims]
        excluded = [(found, variable) for found, variable in off if variable is not None]
        if excluded:
            return messages.switched_off(model_type, excluded, self._unknown_allowed())
        return messages.unknown(model_type, known)

    def _provider(self, model_type: str) -> Provider | None:
        usable = self.usable(model_type)
        if not usable:
            return None
        found = usable[0] if len(usable) == 1 else _settle(model_type, usable)
        key = found.name, found.dist
        if (
            key in self._failed
        ):  # a new object each time: one exception raised by many threads mixes tracebacks
            failure = self._failed[key]
            raise PluginLoadError(*failure.args) from failure.__cause__
        if key not in self._loaded:
            try:
                provider = Provider(load_manifest(found), found)
            except PluginLoadError as error:
                with self._lock:
                    self._failed[key] = error
                raise
            with self._lock:
                self._loaded.setdefault(key, provider)
        return self._loaded[key]

    def _examine(self) -> None:
        """At the first question, report a misspelt allow list; in strict mode, load every plugin."""
        if self._examined:
            return
        missing = self._unknown_allowed()
        if environment.strict():
            if missing:
                raise PluginLoadError(messages.unknown_names(missing))
            for model_type in sorted(self.model_types()):
                self._provider(model_type)
        self._examined = True
        if missing:
            warn(messages.unknown_names(missing), PluginWarning)

    def _unknown_allowed(self) -> list[str]:
        return sorted((environment.allowed() or frozenset()) - self._index().dists())


def _settle(model_type: str, usable: list[Found]) -> Found:
    preferred = environment.preferred(model_type)
    for found in usable:
        if found.dist == preferred:
            return found
    raise PluginConflictError(messages.ambiguous(model_type, usable, preferred))
