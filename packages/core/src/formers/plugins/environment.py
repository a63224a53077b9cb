"""The environment variables that switch plugins on and off; read whenever they are needed.

* ``FORMERS_PLUGINS``: comma-separated distributions that may be used; set but empty, none.
* ``FORMERS_DISABLE_PLUGINS``: distributions that are never imported, or ``*`` for all.
* ``FORMERS_PREFER``: ``type=distribution,...``, who provides a model type that several claim.
* ``FORMERS_STRICT_PLUGINS``: 1 makes any plugin that cannot be loaded an error at the first question.
"""

from __future__ import annotations

import os

from formers.errors import PluginConflictError, shorten

from .discovery import canonical

__all__ = [
    "ALLOW",
    "DENY",
    "PREFER",
    "STRICT",
    "allowed",
    "disabled",
    "preferred",
    "strict",
    "switched_off_by",
]

ALLOW = "FORMERS_PLUGINS"
DENY = "FORMERS_DISABLE_PLUGINS"
PREFER = "FORMERS_PREFER"
STRICT = "FORMERS_STRICT_PLUGINS"


def allowed() -> frozenset[str] | None:
    """Distributions of the allow list; None if there is no such list."""
    value = os.environ.get(ALLOW)
    return None if value is None else _names(value)


def disabled() -> frozenset[str]:
    """Distributions that are switched off; may hold ``*``."""
    return _names(os.environ.get(DENY, ""))


def switched_off_by(dist: str) -> str | None:
    """The variable that switches a distribution off, if one does."""
    off = disabled()
    if dist in off or "*" in off:
        return DENY
    on = allowed()
    return ALLOW if on is not None and dist not in on else None


def preferred(model_type: str) -> str | None:
    """The distribution that ``FORMERS_PREFER`` gives for a model type.

    Raises:
        PluginConflictError: the variable is not of the form ``type=distribution,...``.
    """
    for pair in filter(None, map(str.strip, os.environ.get(PREFER, "").split(","))):
        name, equals, dist = pair.partition("=")
        if not equals or not name.strip() or not dist.strip():
            raise PluginConflictError(
                f"{PREFER}={shorten(os.environ[PREFER])}: {shorten(pair)} is not type=distribution."
            )
        if name.strip() == model_type:
            return canonical(dist.strip())
    return None


def strict() -> bool:
    """Whether any broken plugin is an error at once."""
    return os.environ.get(STRICT, "").strip().lower() not in ("", "0", "false", "no", "off")


def _names(value: str) -> frozenset[str]:
    return frozenset(
        name if name == "*" else canonical(name) for name in map(str.strip, value.split(",")) if name
    )
