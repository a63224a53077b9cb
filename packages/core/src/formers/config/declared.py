"""The machinery under ``PreTrainedConfig``: fields declared by annotation, checked whenever they are set.

Two styles of subclass work, and mix:

    class NewConfig(PreTrainedConfig):            class OldConfig(PreTrainedConfig):
        model_type = "new"                            model_type = "old"
        width: int = field(8, minimum=1)              def __init__(self, width=8, **kwargs):
                                                          super().__init__(**kwargs)
                                                          self.width = width

Values live in the instance's ``__dict__``, so reading one costs what any attribute costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, dataclass_transform

from formers.config import keys
from formers.config.collecting import declare, finishing, parameters
from formers.config.fields import REQUIRED, Field
from formers.config.labels import Labels
from formers.errors import ConfigValidationError, ConfigWarning, UnknownModelTypeError, shorten, warn

__all__ = ["Declared"]

_SETTABLE = ("name_or_path", "_name_or_path", "_attn_implementation", "_commit_hash")
_IMMUTABLE = (int, float, str, bool, tuple, type(None))


# With no field specifiers named, type checkers take ``field(8, minimum=1)`` for the default, as it is meant.
@dataclass_transform(kw_only_default=True)
class Declared:
    """An object whose class declares its fields; see ``PreTrainedConfig``, its only direct subclass."""

    attribute_map: ClassVar[dict[str, str]] = {}
    sub_configs: ClassVar[Mapping[str, type | str]] = {}
    model_type: ClassVar[str] = ""
    has_no_defaults_at_init: ClassVar[bool] = False

    _fields: ClassVar[dict[str, Field]] = {}
    _own: ClassVar[tuple[str, ...]] = ()  # declared below PreTrainedConfig, in that order
    _aliases: ClassVar[dict[str, str]] = dict(keys.BASE_ALIASES)
    _known: ClassVar[frozenset[str]] = frozenset()  # every name that is not an unknown key
    _template: ClassVar[dict[str, Any]] = {}
    _mutable: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = declare(cls)
        is_base = Declared in cls.__bases__
        cls._own = () if is_base else (*cls._own, *(name for name in own if name not in cls._own))
        cls._aliases = keys.BASE_ALIASES | cls.attribute_map
        known = {*cls._fields, *cls._aliases, *cls.sub_configs, *_SETTABLE}
        written = cls.__dict__.get("__init__")
        if written is not None and not is_base:
            known.update(parameters(written))
            cls.__init__ = finishing(written)  # type: ignore[method-assign]
        cls._known = cls._known | known
        values = {
            name: declared.default
            for name, declared in cls._fields.items()
            if declared.is_stored and declared.default is not REQUIRED
        }
        cls._template = values
        cls._mutable = tuple(name for name, value in values.items() if not isinstance(value, _IMMUTABLE))

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        cls = type(self)
        state = self.__dict__
        state.setdefault("_constructing", True)
        from_data = state.pop("_from_data", False)
        state.update(cls._template)
        for name in cls._mutable:
            state[name] = _fresh(state[name])
        if args:
            kwargs = _with_positional(cls, args, kwargs)
        if kwargs:
            self._receive(kwargs, from_data)
        if cls.__init__ is Declared.__init__:
            self._finish()

    def _receive(self, kwargs: dict[str, Any], from_data: bool) -> None:
        """Set what the constructor was given, from a file (``from_data``) or in code."""
        cls = type(self)
        state = self.__dict__
        given = canonical(cls, kwargs, from_data)
        if not from_data:
            keys.warn_of_near_miss(
                cls.__name__, (name for name in given if name not in cls._known), cls._known
            )
        _receive_labels(self, given)
        for name, value in given.items():
            keys.refuse_reserved(cls, name, cls._known)
            if name == "model_type":
                _receive_model_type(self, value, from_data)
            elif name in keys.GENERATION_PARAMETERS and name not in cls._known:
                if not from_data:
                    keys.refuse_generation_parameter(cls.__name__, name, value)
                state[name] = value
            elif name in cls.sub_configs:
                state[name] = None if value is None else sub_config(cls, name, value, from_data)
            else:
                setattr(self, name, value)

    def _finish(self) -> None:
        """The end of the outermost constructor."""
        cls = type(self)
        state = self.__dict__
        missing = [
            name
            for name, declared in cls._fields.items()
            if declared.default is REQUIRED and name not in state
        ]
        if cls.has_no_defaults_at_init:
            missing += [name for name in cls.sub_configs if state.get(name) is None]
        if missing:
            raise ConfigValidationError(f"{cls.__name__} needs a value for {', '.join(missing)}.")
        for name in cls.sub_configs:
            if state.get(name) is None:
                state[name] = sub_config(cls, name, {}, False)
        state.pop("_constructing", None)
        self.validate()

    def validate(self) -> None:
        """Check what concerns several fields; called after construction, ``update`` and before saving.

        Subclasses extend it. Raises ``ConfigValidationError``.
        """

    def __setattr__(self, name: str, value: Any) -> None:
        cls = type(self)
        name = cls._aliases.get(name, name)
        declared = cls._fields.get(name)
        if name in cls.sub_configs:
            value = None if value is None else sub_config(cls, name, value, False)
        elif declared is not None:
            if type(declared) is Field:
                self.__dict__[name] = declared.check(value, cls.__name__)
                return
        elif (
            name in keys.GENERATION_PARAMETERS
            and name not in cls._known
            and "_constructing" not in self.__dict__
        ):
            keys.refuse_generation_parameter(cls.__name__, name, value)
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        target = type(self)._aliases.get(name)
        if target is None or target == name:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self, target)

    @classmethod
    def _from_data(cls, values: Mapping[str, Any]) -> Self:
        """An instance from what a file holds: unknown keys are kept without a warning."""
        for name in values:
            if not isinstance(name, str):
                raise ConfigValidationError(f"{cls.__name__}: the key {shorten(name)} is not a string.")
            keys.refuse_reserved(cls, name, cls._known | keys.CALLERS_CHOICE)
        config = cls.__new__(cls)
        config.__dict__["_from_data"] = True
        config.__init__(  # type: ignore[misc]
            **{
                name: keys.decode_floats(name, value, cls.__name__)
                for name, value in values.items()
                if name not in keys.CALLERS_CHOICE
            }
        )
        return config


def canonical(cls: type[Declared], given: Mapping[str, Any], from_data: bool) -> dict[str, Any]:
    """``given`` with aliases replaced by the names that they stand for.

    Where both are given and differ, code is refused; in a file the alias counts, as in transformers, with a warning.
    """
    result = dict(given)
    for alias, target in cls._aliases.items():
        if alias not in result or alias == target:
            continue
        value = result.pop(alias)
        if target in result and result[target] != value:
            message = f"{cls.__name__}: {alias}={shorten(value)} and {target}={shorten(result[target])} are one setting"
            if not from_data:
                raise ConfigValidationError(f"{message}; give one of them.")
            warn(f"{message}; {alias} is used.", ConfigWarning)
        result[target] = value
    return result


def sub_config(cls: type[Declared], name: str, value: Any, from_data: bool) -> Any:
    """The nested configuration ``name`` from a dict or an instance.

    Raises ``ConfigValidationError``, whose message starts with the name.
    """
    if isinstance(value, Declared):
        return value
    if not isinstance(value, Mapping):
        raise ConfigValidationError(
            f"{cls.__name__}: {name}={shorten(value)} is not accepted; a configuration or a dict is expected."
        )
    nested = _class_of(cls.sub_configs[name])
    values = dict(value)
    try:
        if not issubclass(nested, Declared):  # AutoConfig: the dict says which class
            nested = _class_for(values.get("model_type"))
        return nested._from_data(values) if from_data else nested(**values)
    except ConfigValidationError as error:
        raise ConfigValidationError(f"{cls.__name__}: {name}: {error}") from error
    except UnknownModelTypeError as error:
        raise UnknownModelTypeError(f"{error}\nAsked for by: {name} of {cls.__name__}") from None


def _class_for(model_type: object) -> Any:
    if model_type is None:
        raise ConfigValidationError(
            "there is no model_type to say of which class it is; give a configuration, or a dict with one, such as "
            '{"model_type": "..."}.'
        )
    from formers.plugins import registry

    return registry.config_class_for(model_type)


def _class_of(reference: type | str) -> Any:
    """A class given as such or as ``"module:Name"``."""
    if isinstance(reference, type):
        return reference
    import importlib

    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def _fresh(value: Any) -> Any:
    """A mutable default of one's own. (``copy`` would be the heaviest import of this package.)"""
    if isinstance(value, dict):
        return {key: _fresh(item) for key, item in value.items()}
    return [_fresh(item) for item in value] if isinstance(value, list) else value


def _with_positional(cls: type[Declared], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    if len(args) > len(cls._own):
        raise TypeError(
            f"{cls.__name__} takes {len(cls._own)} positional arguments, but {len(args)} were given"
        )
    named = dict(zip(cls._own, args, strict=False))
    twice = sorted(named.keys() & kwargs.keys())
    if twice:
        raise TypeError(f"{cls.__name__} got two values for {', '.join(twice)}")
    return named | kwargs


def _receive_labels(config: Declared, given: dict[str, Any]) -> None:
    """Take the keys about labels out of ``given``."""
    views = {name: given.pop(name, None) for name in ("num_labels", "id2label", "label2id")}
    if all(value is None for value in views.values()):
        return
    count, names, ids = views.values()
    owner = type(config).__name__
    config.__dict__["_labels"] = Labels.of(count, names, ids, owner=owner)
    if Labels.disagree(count, names):
        warn(
            f"{owner}: num_labels={count} does not fit the {len(names)} names in id2label; "
            f"{count} labels with made-up names are used.",
            ConfigWarning,
        )


def _receive_model_type(config: Declared, value: Any, from_data: bool) -> None:
    """The class decides what it is; only the base class takes what a file says."""
    cls = type(config)
    if not isinstance(value, str):
        raise ConfigValidationError(
            f"{cls.__name__}: model_type={shorten(value)} is not accepted; a string is expected."
        )
    if not cls.model_type:
        config.__dict__["model_type"] = value
    elif value != cls.model_type and not from_data:
        warn(
            f"{cls.__name__} stays of type {cls.model_type!r}; model_type={shorten(value)} has no effect.",
            ConfigWarning,
        )
