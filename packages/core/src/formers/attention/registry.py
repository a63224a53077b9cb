"""Which attention implementations there are: the core's, those of plugins, and those of one architecture."""

from __future__ import annotations

from typing import Any

import torch

from formers.errors import (
    PluginConflictError,
    PluginLoadError,
    PluginWarning,
    UnknownModelTypeError,
    shorten,
    warn,
)
from formers.plugins import environment, hooks, registry

from .contract import AttentionImplementation

__all__ = ["implementations_for"]

HOOK = "formers_attention_implementations"

_seen: dict[str, tuple[AttentionImplementation, ...]] = {}


def implementations_for(model_type: str) -> tuple[AttentionImplementation, ...]:
    """All implementations that a model of that type may use, by name.

    An architecture's own implementation hides a general one of the same name. Plugins are asked at each call, so
    that one installed or registered meanwhile is seen.

    Raises:
        PluginConflictError: two general implementations have one name.
        PluginLoadError: an implementation that the architecture's manifest names cannot be loaded.
    """
    if torch.compiler.is_compiling() and model_type in _seen:
        return _seen[model_type]  # plugins cannot be asked while a graph is traced
    found: dict[str, AttentionImplementation] = {}
    for given in hooks.call(HOOK):
        for candidate in given:
            implementation = _checked(candidate)
            if implementation is None:
                continue
            other = found.setdefault(implementation.name, implementation)
            if other is not implementation:
                raise PluginConflictError(
                    f"Two attention implementations are called {other.name!r}: {_origin(other)} and "
                    f"{_origin(implementation)}. Switch one off with FORMERS_DISABLE_PLUGINS."
                )
    found.update(_own_implementations(model_type))
    _seen[model_type] = tuple(found.values())
    return _seen[model_type]


def _own_implementations(model_type: str) -> dict[str, AttentionImplementation]:
    try:
        provider = registry.provider_for(model_type)
    except UnknownModelTypeError:
        return {}  # a class used without a plugin around it, as in a notebook
    own = {}
    for name, reference in provider.architecture.attention.items():
        loaded: Any = provider.load(reference)
        implementation = loaded() if isinstance(loaded, type) else loaded
        if not isinstance(implementation, AttentionImplementation) or implementation.name != name:
            raise PluginLoadError(
                f"The manifest of {model_type!r} calls {reference} the attention implementation {name!r}, but it is "
                f"{shorten(implementation)}; expected an AttentionImplementation of that name."
            )
        own[name] = implementation
    return own


def _checked(candidate: object) -> AttentionImplementation | None:
    """The implementation that a plugin gave, or None, with a warning, if it is none."""
    if isinstance(candidate, AttentionImplementation):
        return candidate
    message = (
        f"A plugin's {HOOK} gave {shorten(candidate)} ({_origin(candidate)}), which is left out; expected an object "
        "with name, priority, supports, prepare and __call__ (see formers.AttentionImplementation)."
    )
    if environment.strict():
        raise PluginLoadError(message)
    warn(message, PluginWarning)
    return None


def _origin(implementation: object) -> str:
    kind = type(implementation)
    return f"{kind.__module__}.{kind.__qualname__}"
