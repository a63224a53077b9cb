"""Calling the hooks: the core's own implementation first, then those of installed plugins.

A plugin that cannot be imported, or implements a hook that does not exist, is left out with a warning that
names it and its off switch; ``FORMERS_STRICT_PLUGINS=1`` makes it an error.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from formers.errors import PluginLoadError, PluginWarning, warn

from . import discovery, environment, messages, registry
from .loading import load_from, resolve_reference

if TYPE_CHECKING:
    import pluggy

    from .discovery import Found

__all__ = ["BUILTIN", "Hooks", "add_plugin", "call", "hooks_of", "refresh_plugins"]

BUILTIN = {
    "formers_checkpoint_formats": "formers.checkpoint.formats:builtin",
    "formers_attention_implementations": "formers.attention.builtin:implementations",
    "formers_tokenizer_converters": "formers.tokenization.converters:builtin",
    "formers_generation_strategies": "formers.generation.strategies.choice:builtin",
}
"""The core's own implementations, imported when their hook is first called."""


class Hooks:
    """The hook implementations of one process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._manager: pluggy.PluginManager | None = None

    def call(self, name: str, **arguments: Any) -> list[Any]:
        """The results of a hook, one per implementation: the core's, then the plugins' by distribution."""
        with self._lock:
            manager = self._manager
            if manager is None:
                manager = self._manager = self._build()
            builtin = f"{name} of formers"
            if name in BUILTIN and not manager.has_plugin(builtin):
                _register_builtin(manager, name, builtin)
        results: list[Any] = getattr(manager.hook, name)(**arguments)
        return results

    def refresh(self) -> None:
        """Forget the loaded plugins."""
        with self._lock:
            self._manager = None

    def _build(self) -> pluggy.PluginManager:
        manager = _new_manager()
        enabled = [
            found
            for found in discovery.index().found
            if found.group == discovery.HOOKS and environment.switched_off_by(found.dist) is None
        ]
        for found in sorted(
            enabled, key=lambda one: (one.dist, one.name), reverse=True
        ):  # pluggy calls the last first
            try:
                add_plugin(manager, found)
            except PluginLoadError as error:
                if environment.strict():
                    raise
                warn(str(error), PluginWarning)
        return manager


def add_plugin(manager: pluggy.PluginManager, found: Found) -> None:
    """Import the module behind an entry point and register its hooks.

    Raises:
        PluginLoadError: it cannot be imported, has a hook that does not exist, wants an argument that the
            hook lacks, or lacks the marker. Nothing of it stays registered.
    """
    from pluggy import PluginValidationError

    module = load_from(found, found.value)
    try:
        manager.register(module, name=found.dist)
        manager.check_pending()
        _refuse_unmarked(manager, module)
    except (PluginValidationError, ValueError) as cause:
        if manager.is_registered(module):
            manager.unregister(module)
        raise PluginLoadError(messages.load_failed(found, found.value, cause)) from cause


def hooks_of(found: Found) -> list[str]:
    """The hooks that a plugin implements; raises as ``add_plugin``."""
    manager = _new_manager()
    add_plugin(manager, found)
    callers = manager.get_hookcallers(manager.get_plugin(found.dist)) or []
    return sorted(caller.name for caller in callers)


def _new_manager() -> pluggy.PluginManager:
    import pluggy  # 20 ms that a program without hook calls does not pay

    from . import hookspecs

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _refuse_unmarked(manager: pluggy.PluginManager, module: object) -> None:
    for name, member in vars(module).items():
        if (
            callable(member)
            and hasattr(manager.hook, name)
            and not hasattr(member, f"{manager.project_name}_impl")
        ):
            raise ValueError(f"{name} looks like a hook but is not marked with @formers.hookimpl")


def _register_builtin(manager: pluggy.PluginManager, name: str, plugin_name: str) -> None:
    from .hookspecs import hookimpl

    function: Any = resolve_reference(BUILTIN[name])
    manager.register(SimpleNamespace(**{name: hookimpl(function)}), name=plugin_name)


_hooks = Hooks()
call = _hooks.call


def refresh_plugins() -> None:
    """Look again for installed plugins, architectures and hooks, at the next question.

    For a notebook that has installed a package. What was registered in the process stays.
    """
    _hooks.refresh()
    registry.refresh()
