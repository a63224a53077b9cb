"""The one registry: which class serves a model type.

Registrations of this process come first, then installed plugins. A question about one type imports the
manifest of that type alone. The functions of this module ask the process's registry; the class is for tests.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager

from formers.errors import (
    ConfigValidationError,
    PluginConflictError,
    PluginLoadError,
    UnknownModelTypeError,
    UnsupportedHeadError,
    shorten,
)

from . import discovery, messages
from .catalogue import name_pattern
from .installed import Installed
from .loading import Attribution, Provider, check_api, resolve_reference
from .manifest import Architecture
from .session import Session, check_classes, checked_config_class

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .discovery import Found

__all__ = [
    "Registry",
    "architecture_for",
    "architecture_of_config",
    "attribution",
    "auto_class_for",
    "config_class_for",
    "heads_for",
    "installed",
    "known_model_types",
    "name_pattern",
    "provider_for",
    "refresh",
    "register",
    "register_class",
    "register_config",
    "register_roles",
    "registered_classes",
    "resolve_reference",
    "session",
    "temporary_registrations",
]


class Registry:
    """Registrations of a process over its installed plugins; safe to use from several threads."""

    def __init__(self, index: Callable[[], discovery.Index] = discovery.index) -> None:
        self._installed = Installed(index)
        self._session = Session()
        self._lock = threading.RLock()

    # -- questions -----------------------------------------------------------------------------------------

    def installed(self) -> tuple[Found, ...]:
        """The model types of installed plugins, those switched off included; nothing is imported."""
        return self._installed.entries()

    def known_model_types(self) -> list[str]:
        """The model types that can be asked for, sorted; nothing is imported."""
        session = self._session
        return sorted(self._installed.model_types() | session.architectures.keys() | session.configs.keys())

    def architecture_for(self, model_type: str) -> Architecture:
        """The manifest of a model type.

        Raises:
            UnknownModelTypeError: no plugin provides it, or the one that does is switched off.
            PluginConflictError: several distributions claim it, and ``FORMERS_PREFER`` does not say which.
            PluginLoadError: its plugin is broken, or was written for another plugin interface.
        """
        return self.provider_for(model_type).architecture

    def provider_for(self, model_type: object) -> Provider:
        """The manifest of a model type and where it comes from; raises as ``architecture_for``."""
        provider = self._find(model_type)
        if provider is not None:
            return provider
        known = self.known_model_types()
        if not isinstance(model_type, str) or not model_type:
            raise UnknownModelTypeError(messages.not_a_model_type(model_type, known))
        raise UnknownModelTypeError(self._installed.why_unknown(model_type, known))

    def config_class_for(self, model_type: object) -> type:
        """The configuration class of a model type, whatever a file gave for it.

        Raises as ``architecture_for``, and ``UnsupportedHeadError`` for a type that has tokenizers only.
        """
        if isinstance(model_type, str) and model_type in self._session.configs:
            return self._session.configs[model_type]
        provider = self.provider_for(model_type)
        architecture = provider.architecture
        if architecture.config is None:
            raise UnsupportedHeadError(messages.tokenizer_only(model_type, provider.label))
        config_class = provider.load_class(architecture.config)
        own = getattr(config_class, "model_type", None)
        if own not in architecture.model_types:
            raise PluginLoadError(
                f"{architecture.config!r} of {provider.label} has model_type={shorten(own)}, "
                f"but its manifest is for {architecture.model_type!r}."
            )
        return config_class

    def architecture_of_config(self, config: object) -> Architecture | None:
        """The manifest behind a configuration object; None for a type registered by class alone."""
        provider = self._find(getattr(config, "model_type", None))
        if provider is None and not self._session.knows(type(config)):
            provider = self.provider_for(getattr(config, "model_type", None))
        return None if provider is None else provider.architecture

    def auto_class_for(self, auto_name: str, config: object) -> type:
        """The class that an Auto class gives for a configuration object.

        Looked up by the configuration's own class, then by its bases, then by its ``model_type``. Where
        several classes are listed, the one that ``config.architectures`` names is taken, else the first.

        Raises:
            UnsupportedHeadError: the type has no class for it; the message names those that it has.
            UnknownModelTypeError, PluginConflictError, PluginLoadError: as ``architecture_for``.
        """
        wanted = getattr(config, "architectures", None) or ()
        for config_class in type(config).__mro__:
            classes = self._session.classes_for(auto_name, config_class)
            if classes:
                return next((one for name in wanted for one in classes if one.__name__ == name), classes[0])
            provider = self._provider_of_class(config_class)
            if provider is not None and provider.architecture.references(auto_name):
                return _load_head(provider, auto_name, wanted)
        model_type = getattr(config, "model_type", None)
        provider = self._find(model_type)
        if provider is None and not self._session.knows(type(config)):
            provider = self.provider_for(model_type)
        if provider is None or not provider.architecture.references(auto_name):
            raise UnsupportedHeadError(
                messages.unsupported_head(
                    auto_name, model_type, type(config).__name__, self.heads_for(config)
                )
            )
        return _load_head(provider, auto_name, wanted)

    def heads_for(self, config: object) -> list[str]:
        """The names of the Auto classes of models and processors that serve a configuration object."""
        heads: dict[str, None] = {}
        for config_class in type(config).__mro__:
            heads |= {
                role: None for role, classes in self._session.classes.items() if config_class in classes
            }
        provider = self._find(getattr(config, "model_type", None))
        if provider is not None:
            heads |= dict.fromkeys(provider.architecture.auto_names)
        names = dict.fromkeys(
            role.partition(":")[0] for role in heads
        )  # "AutoImageProcessor:fast" is one too
        return [name for name in names if name != "AutoConfig"]

    def registered_classes(self, auto_name: str) -> list[type]:
        """The classes registered in this process for an Auto class."""
        with self._lock:
            return [one for classes in self._session.classes.get(auto_name, {}).values() for one in classes]

    def attribution(self, model_type: str) -> Attribution:
        """A context manager that names the plugin in a note on exceptions raised inside the plugin's code."""
        try:
            return Attribution(self._find(model_type))
        except (PluginLoadError, PluginConflictError):
            return Attribution(None)  # a class of this process serves a type whose plugin is unusable

    # -- registrations -------------------------------------------------------------------------------------

    def register(self, architecture: Architecture, *, exist_ok: bool = False) -> None:
        """Make an architecture known in this process, before any installed one of its types.

        Raises:
            PluginConflictError: a type is registered or installed already, and ``exist_ok`` is False.
            PluginLoadError: the manifest needs another plugin interface.
        """
        if not isinstance(architecture, Architecture):
            raise ConfigValidationError(f"register({shorten(architecture)}) needs a formers.Architecture.")
        provider = Provider(architecture)
        check_api(architecture, f"The architecture {architecture.model_type!r}")
        with self._lock:
            for model_type in architecture.model_types:
                self._refuse_if_taken(model_type, exist_ok)
            for model_type in architecture.model_types:
                self._session.architectures[model_type] = provider
                self._session.configs.pop(model_type, None)

    def register_config(self, model_type: str, config_class: type, exist_ok: bool = False) -> None:
        """Make a configuration class known in this process.

        Raises:
            PluginConflictError: the type is registered or installed already, and ``exist_ok`` is False.
            ConfigValidationError: ``config_class`` is not a class, or its ``model_type`` is another.
        """
        checked_config_class(config_class, "config", model_type)
        with self._lock:
            self._refuse_if_taken(model_type, exist_ok)
            self._session.configs[model_type] = config_class

    def register_class(
        self, auto_name: str, config_class: type, classes: type | tuple[type, ...], exist_ok: bool = False
    ) -> None:
        """Let an Auto class give ``classes`` (the first by default) for a configuration class.

        Raises:
            PluginConflictError: it has a class for that configuration already, and ``exist_ok`` is False.
            ConfigValidationError: an argument is not a class, or a class has another ``config_class``.
        """
        self.register_roles({auto_name: classes}, config_class, exist_ok)

    def register_roles(
        self, roles: Mapping[str, type | tuple[type, ...]], config_class: type, exist_ok: bool = False
    ) -> None:
        """``register_class`` for several roles at once: all of them, or, if one is refused, none."""
        model_type = checked_config_class(config_class, "config_class")
        by_role = {role: one if isinstance(one, tuple) else (one,) for role, one in roles.items()}
        for role, classes in by_role.items():
            check_classes(role, config_class, classes)
        with self._lock:
            for role in by_role:
                if not exist_ok and self._has_class(role, config_class):
                    raise PluginConflictError(
                        f"{role} already has a class for {config_class.__name__} (model type {model_type!r}). "
                        "Pass exist_ok=True to replace it in this process."
                    )
            for role, classes in by_role.items():
                self._session.classes.setdefault(role, {})[config_class] = classes

    def session(self) -> Session:
        """A copy of what is registered now."""
        with self._lock:
            return self._session.copy()

    @contextmanager
    def temporary_registrations(self) -> Iterator[None]:
        """Forget at the end what is registered inside; for tests and notebooks."""
        before = self.session()
        try:
            yield
        finally:
            with self._lock:
                self._session = before

    def refresh(self) -> None:
        """Look again for installed plugins at the next question; registrations stay."""
        self._installed.refresh()
        discovery.refresh()

    # -- finding -------------------------------------------------------------------------------------------

    def _find(self, model_type: object) -> Provider | None:
        """The provider of a type; None if there is none that may be used."""
        if not isinstance(model_type, str) or not model_type:
            return None
        return self._session.architectures.get(model_type) or self._installed.provider(model_type)

    def _provider_of_class(self, config_class: type) -> Provider | None:
        """The architecture whose configuration class this is, and not merely one of the same model type."""
        model_type = config_class.__dict__.get("model_type")
        if not isinstance(model_type, str) or self._session.configs.get(model_type) is config_class:
            return None
        provider = self._find(model_type)
        if provider is None or provider.architecture.config is None:
            return None
        return provider if provider.load_class(provider.architecture.config) is config_class else None

    def _has_class(self, auto_name: str, config_class: type) -> bool:
        if self._session.classes_for(auto_name, config_class):
            return True
        provider = self._provider_of_class(config_class)
        return provider is not None and bool(provider.architecture.references(auto_name))

    def _refuse_if_taken(self, model_type: str, exist_ok: bool) -> None:
        if exist_ok:
            return
        if self._session.holds(model_type):
            raise PluginConflictError(messages.taken(model_type, "a registration in this process"))
        usable = self._installed.usable(model_type)
        if usable:
            by = " and ".join(found.label for found in usable)
            raise PluginConflictError(messages.taken(model_type, f"the installed package {by}"))


def _load_head(provider: Provider, auto_name: str, wanted: Sequence[str]) -> type:
    references = provider.architecture.references(auto_name)
    by_name = {reference.rpartition(":")[2]: reference for reference in references}
    return provider.load_class(next((by_name[name] for name in wanted if name in by_name), references[0]))


_registry = Registry()

installed = _registry.installed
known_model_types = _registry.known_model_types
architecture_for = _registry.architecture_for
provider_for = _registry.provider_for
config_class_for = _registry.config_class_for
architecture_of_config = _registry.architecture_of_config
auto_class_for = _registry.auto_class_for
heads_for = _registry.heads_for
registered_classes = _registry.registered_classes
attribution = _registry.attribution
register = _registry.register
register_config = _registry.register_config
register_class = _registry.register_class
register_roles = _registry.register_roles
session = _registry.session
temporary_registrations = _registry.temporary_registrations
refresh = _registry.refresh
