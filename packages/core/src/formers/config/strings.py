"""Settings given as one string, as command lines do: ``n_embd=10,resid_pdrop=0.2,scale_attn_weights=false``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from formers.errors import ConfigValidationError, shorten

if TYPE_CHECKING:
    from formers.config.base import PreTrainedConfig

__all__ = ["parse_settings"]


def parse_settings(config: PreTrainedConfig, text: str) -> dict[str, Any]:
    """The settings in ``text``, each converted to the type that it has in ``config``.

    Numbers and strings are written as they are, booleans as ``true`` or ``false``; a field that may be None is
    converted to its declared type. Nothing is set.

    Raises:
        ConfigValidationError: a part is not ``key=value``, the configuration has no such key, or the value is
            not of its type.
    """
    settings: dict[str, Any] = {}
    owner = type(config).__name__
    for part in text.split(","):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ConfigValidationError(
                f"{owner}: {shorten(part)} in {shorten(text)} is not of the form key=value."
            )
        if name not in type(config)._known and name not in config.__dict__:
            raise ConfigValidationError(
                f"{owner}: there is no key {name!r} to update; only existing ones can be set."
            )
        settings[name] = _converted(config, name, value.strip())
    return settings


def _converted(config: PreTrainedConfig, name: str, text: str) -> Any:
    kind = _type_of(config, name)
    if kind == "bool":
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
    elif kind == "str":
        return text
    elif kind in ("int", "float"):
        try:
            return int(text) if kind == "int" else float(text)
        except ValueError:
            pass
    else:
        raise ConfigValidationError(
            f"{type(config).__name__}: {name} cannot be set from a string; only int, float, bool and str can. "
            f"Set it as an attribute: config.{name} = ..."
        )
    expected = "true or false" if kind == "bool" else f"a value of type {kind}"
    raise ConfigValidationError(
        f"{type(config).__name__}: {name}={shorten(text)} cannot be converted; {expected} is expected."
    )


def _type_of(config: PreTrainedConfig, name: str) -> str | None:
    """``bool``, ``int``, ``float`` or ``str``: from the present value, or from the declaration if that is None."""
    value = getattr(config, name, None)
    declared = type(config)._fields.get(type(config)._aliases.get(name, name))
    if declared is not None and declared.kind.scalar is not None:
        return declared.kind.scalar
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind.__name__
    return None
