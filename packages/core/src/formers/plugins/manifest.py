"""The manifest by which a plugin describes one architecture, in strings only."""

from __future__ import annotations

from types import MappingProxyType

from formers.errors import ConfigValidationError, shorten

TYPE_CHECKING = False  # the value of typing.TYPE_CHECKING, without the cost of importing typing
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Never, NoReturn

__all__ = ["API_VERSION", "Architecture", "is_reference"]

API_VERSION = (1, 0)
"""Version of the plugin interface. A manifest with the same major and no greater minor is accepted."""

# Roles that have a field of their own, and so do not belong into ``auto``.
_FIELD_OF_ROLE = {
    "AutoConfig": "config",
    "AutoTokenizer": "tokenizer",
    "AutoTokenizer:slow": "slow_tokenizer",
}


class Architecture:
    """What one architecture consists of; frozen, validated, and free of imports.

    Every class is named as ``"package.module:Name"`` and imported when it is first asked for.

    Args:
        model_type: the literal ``model_type`` of ``config.json``.
        api: version of the plugin interface that the plugin was written for, ``"MAJOR.MINOR"``.
        config: the configuration class; None for a type that has tokenizers and nothing else.
        tokenizer: the tokenizer class over the ``tokenizers`` library.
        slow_tokenizer: the tokenizer class written in Python, if there is one.
        auto: from the name of an Auto class to the model class, or to a tuple of them: the first is the
            default, the others are taken when ``architectures`` in the configuration names them. The image
            processor over torchvision has the key ``"AutoImageProcessor:fast"``.
        attention: from the name of an attention implementation to the object that implements it.
        tiny: a function that gives a small configuration and inputs for the conformance kit.
        capabilities: what the conformance kit may expect beyond the minimum.
        aliases: further model types that this manifest serves; each needs its own entry-point line.

    Raises:
        ConfigValidationError: a field has the wrong type or form, or is missing; the message names it.
        TypeError: there is no such field. Where ``api`` is newer than ``API_VERSION`` it is left out instead, so
            that the registry can refuse the manifest with both versions.
    """

    __slots__ = (
        "aliases",
        "api",
        "attention",
        "auto",
        "capabilities",
        "config",
        "model_type",
        "slow_tokenizer",
        "tiny",
        "tokenizer",
    )

    model_type: str
    api: str
    config: str | None
    tokenizer: str | None
    slow_tokenizer: str | None
    auto: Mapping[str, tuple[str, ...]]
    attention: Mapping[str, str]
    tiny: str | None
    capabilities: frozenset[str]
    aliases: tuple[str, ...]

    def __init__(
        self,
        model_type: str,
        *,
        api: str = "1.0",
        config: str | None = None,
        tokenizer: str | None = None,
        slow_tokenizer: str | None = None,
        auto: Mapping[str, str | tuple[str, ...]] = MappingProxyType({}),
        attention: Mapping[str, str] = MappingProxyType({}),
        tiny: str | None = None,
        capabilities: Iterable[str] = frozenset(),
        aliases: Iterable[str] = (),
        **newer: Never,
    ) -> None:
        fields: dict[str, object] = {
            "model_type": _type_name("model_type", model_type),
            "api": _version(api),
            "config": _optional_reference("config", config),
            "tokenizer": _optional_reference("tokenizer", tokenizer),
            "slow_tokenizer": _optional_reference("slow_tokenizer", slow_tokenizer),
            "auto": _auto(auto),
            "attention": _attention(attention),
            "tiny": _optional_reference("tiny", tiny),
            "capabilities": frozenset(_words("capabilities", capabilities)),
            "aliases": tuple(_type_name("aliases", name) for name in _words("aliases", aliases)),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        if self.api_version > API_VERSION:
            return
        if newer:
            raise TypeError(f"Architecture of API {self.api} has no field {', '.join(map(repr, newer))}.")
        if config is None and (self.auto or not (tokenizer or slow_tokenizer)):
            _refuse(
                "config", config, "a reference 'package.module:Name'; only a type of mere tokenizers has none"
            )

    @property
    def model_types(self) -> tuple[str, ...]:
        """The model type and its aliases."""
        return (self.model_type, *self.aliases)

    @property
    def api_version(self) -> tuple[int, int]:
        """``api`` as two numbers."""
        major, minor = self.api.split(".")
        return int(major), int(minor)

    @property
    def auto_names(self) -> tuple[str, ...]:
        """The Auto classes that this architecture has a class for, those with a field of their own first."""
        own = [role.partition(":")[0] for role, field in _FIELD_OF_ROLE.items() if getattr(self, field)]
        return (*dict.fromkeys(own), *self.auto)

    def references(self, role: str) -> tuple[str, ...]:
        """The classes for an Auto class, as references; empty if there is none.

        A role is the name of an Auto class, or ``"AutoTokenizer:slow"``.
        """
        field = _FIELD_OF_ROLE.get(role)
        if field is None:
            return self.auto.get(role, ())
        reference = getattr(self, field)
        return (reference,) if reference else ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Architecture is frozen: cannot set {name!r} of {self.model_type!r}.")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Architecture is frozen: cannot delete {name!r} of {self.model_type!r}.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((self.model_type, self.config))

    def __repr__(self) -> str:
        return f"Architecture({self.model_type!r}, config={self.config!r}, api={self.api!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._fields(),)

    def _fields(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: dict(value) if isinstance(value, MappingProxyType) else value
            for name, value in values.items()
        }


def _rebuild(fields: dict[str, Any]) -> Architecture:
    return Architecture(**fields)


def _refuse(field: str, value: object, expected: str) -> NoReturn:
    raise ConfigValidationError(f"Architecture: {field}={shorten(value)} is not {expected}.")


def _type_name(field: str, value: object) -> str:
    if not isinstance(value, str) or not value or not all(char.isalnum() or char in "._-" for char in value):
        _refuse(field, value, "a model type: letters, digits, '.', '_' and '-', as in config.json")
    return value


def _version(value: object) -> str:
    parts = value.split(".") if isinstance(value, str) else []
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        _refuse("api", value, "a version 'MAJOR.MINOR' such as '1.0'")
    return ".".join(parts)


def is_reference(value: object) -> bool:
    """Whether a value has the form ``"package.module:Name"``."""
    if not isinstance(value, str):
        return False
    module, colon, name = value.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *name.split(".")))


def _reference(field: str, value: object) -> str:
    if isinstance(value, str) and is_reference(value):
        return value
    _refuse(field, value, "a reference 'package.module:Name'")


def _optional_reference(field: str, value: object) -> str | None:
    return None if value is None else _reference(field, value)


def _words(field: str, value: Any) -> list[str]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        _refuse(field, value, "a collection of strings")
    words = list(value)
    for word in words:
        if not isinstance(word, str) or not word:
            _refuse(field, word, "a name (in a collection of strings)")
    return words


def _mapping(field: str, value: object) -> Mapping[Any, Any]:
    if not isinstance(value, dict | MappingProxyType):
        _refuse(field, value, "a dict")
    return value


def _auto(value: object) -> Mapping[str, tuple[str, ...]]:
    checked: dict[str, tuple[str, ...]] = {}
    for name, classes in _mapping("auto", value).items():
        if not isinstance(name, str) or not name.startswith("Auto"):
            _refuse("auto", name, "the name of an Auto class, such as 'AutoModel'")
        if name in _FIELD_OF_ROLE:
            _refuse("auto", name, f"a key here; give it as the field {_FIELD_OF_ROLE[name]!r}")
        references = classes if isinstance(classes, tuple) else (classes,)
        if not references:
            _refuse(f"auto[{name!r}]", classes, "one reference 'package.module:Name' or a tuple of them")
        checked[name] = tuple(_reference(f"auto[{name!r}]", reference) for reference in references)
    return MappingProxyType(checked)


def _attention(value: object) -> Mapping[str, str]:
    checked: dict[str, str] = {}
    for name, reference in _mapping("attention", value).items():
        if not isinstance(name, str) or not name:
            _refuse("attention", name, "the name of an attention implementation")
        checked[name] = _reference(f"attention[{name!r}]", reference)
    return MappingProxyType(checked)
