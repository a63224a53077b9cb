"""The machinery under ``GenerationConfig``: declared fields, checked when they are set, each with its origin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, dataclass_transform

from formers.config import keys
from formers.config.fields import Field
from formers.errors import ConfigValidationError

__all__ = ["METADATA", "Provenance", "Settings"]

Provenance = Literal["code", "file", "model"]
"""Who set a value: the program, a generation_config.json, or the model's configuration."""

METADATA = ("_from_model_config", "transformers_version")
_STATE = "_origins"


# With no field specifiers named, type checkers take ``field(None, minimum=1)`` for the default, as it is meant.
@dataclass_transform(kw_only_default=True)
class Settings:
    """An object whose class declares its fields; see ``GenerationConfig``.

    Values live in the instance's ``__dict__``; names that are not fields are kept beside them.
    """

    _fields: ClassVar[dict[str, Field]] = {}
    _origins: ClassVar[dict[str, Provenance]] = {}  # of an instance: each name that was ever set, and by whom

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        annotations: Mapping[str, Any] = cls.__annotations__
        own = {name: cls.__dict__[name] for name in annotations if isinstance(cls.__dict__.get(name), Field)}
        for name, declared in own.items():
            declared.bound(name, annotations[name], cls.__name__)
        cls._fields = cls._fields | own

    def __init__(self, /, **kwargs: Any) -> None:
        self._receive(kwargs, "code")

    def _receive(self, values: Mapping[str, Any], by: Provenance) -> None:
        """Set every field, the given ones and the others, and check them together."""
        state = self.__dict__
        state.update({name: declared.default for name, declared in self._fields.items()})
        state[_STATE] = {}
        self._check_and_set(values, by)
        self.validate()

    @classmethod
    def _from_data(cls, values: Mapping[str, Any], by: Provenance) -> Self:
        """An instance from what a file or a model's configuration holds: unknown keys are kept without a warning."""
        settings = cls.__new__(cls)
        settings._receive(values, by)
        return settings

    def _check_and_set(self, values: Mapping[str, Any], by: Provenance) -> None:
        """Set all of ``values`` or, if one raises ``ConfigValidationError``, none."""
        cls = type(self)
        accepted = {}
        for name, value in values.items():
            if not isinstance(name, str):
                raise ConfigValidationError(f"{cls.__name__}: the key {name!r} is not a string.")
            keys.refuse_reserved(cls, name, cls._fields)
            declared = cls._fields.get(name)
            accepted[name] = value if declared is None else declared.check(value, cls.__name__)
        if by == "code":
            new = [name for name in accepted if name not in self.__dict__]
            keys.warn_of_near_miss(cls.__name__, new, cls._fields)
        self.__dict__.update(accepted)
        self.__dict__[_STATE].update(dict.fromkeys(accepted, by))

    def __setattr__(self, name: str, value: Any) -> None:
        self._check_and_set({name: value}, "code")

    def validate(self) -> None:
        """Check what concerns several fields; called after construction. Raises ``ConfigValidationError``."""

    def _set_by(self, name: str) -> Provenance | None:
        """Who set this value last; None if nobody did."""
        return self._origins.get(name)

    def _values(self) -> dict[str, Any]:
        """Every field and every further key, as they are."""
        return {name: value for name, value in self.__dict__.items() if name != _STATE}

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self._comparable() == other._comparable()

    def _comparable(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self._values().items()
            if name not in METADATA and not (value is None and name in self._fields)
        }

    __hash__ = None  # type: ignore[assignment]
