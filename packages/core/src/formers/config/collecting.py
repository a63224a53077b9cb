"""What the body of a configuration class declares, collected when the class is made."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from formers.config.fields import REQUIRED, Field

if TYPE_CHECKING:
    from formers.config.declared import Declared

__all__ = ["declare", "finishing", "parameters"]


def declare(cls: type[Declared]) -> list[str]:
    """Collect the fields that the body of ``cls`` declares into ``cls._fields``; their names."""
    inherited = cls._fields
    fields = dict(inherited)
    annotations: dict[str, Any] = cls.__annotations__
    names = [name for name, annotation in annotations.items() if not _is_class_variable(name, annotation)]
    names += [
        name
        for name, value in cls.__dict__.items()
        if name not in annotations
        and (isinstance(value, Field) or (name in inherited and not hasattr(value, "__get__")))
    ]
    for name in names:
        value = cls.__dict__.get(name, REQUIRED)
        if isinstance(value, property):
            continue
        if not isinstance(value, Field):
            before = inherited.get(name)
            value = (
                before.with_default(value) if before is not None and name not in annotations else Field(value)
            )
        fields[name] = value.bound(name, annotations.get(name), cls.__name__)
        setattr(cls, name, value)
    computed = {name for name, value in cls.__dict__.items() if isinstance(value, property)}
    cls._fields = {
        name: value
        for name, value in fields.items()
        if name not in computed and name not in cls.attribute_map
    }
    return [name for name in names if name in cls._fields]


def _is_class_variable(name: str, annotation: Any) -> bool:
    text = annotation if isinstance(annotation, str) else repr(annotation)
    return name in ("model_type", "attribute_map", "sub_configs") or text.removeprefix("typing.").startswith(
        "ClassVar"
    )


def finishing(written: Callable[..., None]) -> Callable[..., None]:
    """A hand-written constructor that finishes the object if it is the outermost one."""

    @functools.wraps(written)
    def constructor(self: Declared, /, *args: Any, **kwargs: Any) -> None:
        outermost = type(self).__init__ is constructor
        if outermost:
            self.__dict__["_constructing"] = True
        written(self, *args, **kwargs)
        if outermost:
            self._finish()

    return constructor


def parameters(written: Callable[..., None]) -> tuple[str, ...]:
    """The names of the parameters of a hand-written constructor, also below a decorator."""
    while hasattr(written, "__wrapped__"):
        written = written.__wrapped__
    code = getattr(written, "__code__", None)
    return () if code is None else code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
