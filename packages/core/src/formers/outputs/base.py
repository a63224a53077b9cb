"""The base of what models return. No torch is imported here."""

from __future__ import annotations

import sys
import threading
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from formers.errors import shorten

if TYPE_CHECKING:
    from formers.losses import LossTerm

__all__ = ["ModelOutput"]

# Classes defined before torch was imported; the first instance made after that registers them all.
_unregistered: list[type[ModelOutput]] = []
_registering = threading.Lock()


class ModelOutput:
    """Base of every model output: a dataclass whose fields are all optional.

    Fields are read as attributes, by name (``out["logits"]``) or by place among those that are not None
    (``out[0]``, ``out[:2]``); ``dict(out)`` and ``**out`` hold the fields that are not None, in the order of
    declaration. A subclass is decorated with ``@dataclass`` and gives every field but the first the default
    None; it may be built from a mapping, or from pairs of name and value, as its only argument.

    ``loss_terms`` is no field: it holds the sums and counts that ``loss`` was made of, where there is one.
    """

    loss_terms: Mapping[str, LossTerm] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _unregistered.append(cls)
        _register_pytrees()

    def __post_init__(self) -> None:
        if _unregistered:
            _register_pytrees()
        names = iter(self._field_names())
        first = getattr(self, next(names), None)
        if isinstance(first, _SPREADABLE) and all(getattr(self, name) is None for name in names):
            self._spread(first)

    @classmethod
    def _field_names(cls) -> Mapping[str, Any]:
        try:
            return cls.__dataclass_fields__  # type: ignore[attr-defined, no-any-return]
        except AttributeError:
            raise TypeError(f"{cls.__name__} is not a dataclass; decorate it with @dataclass.") from None

    def _spread(self, given: Any) -> None:
        """Set the fields from a mapping or pairs in the first field's place; leave anything else there."""
        pairs = list(given.items()) if isinstance(given, Mapping) else list(given)
        named = [
            isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
        ]
        if not any(named) and not isinstance(given, Mapping):
            return
        if not all(named):
            raise ValueError(f"{type(self).__name__} expects pairs of name and value, got {shorten(pairs)}.")
        names = self._field_names()
        setattr(self, next(iter(names)), None)
        for name, value in pairs:
            self[name] = value

    def to_tuple(self) -> tuple[Any, ...]:
        """The values of the fields that are not None."""
        return tuple(value for name in self._field_names() if (value := getattr(self, name)) is not None)

    def keys(self) -> KeysView[str]:
        """The names of the fields that are not None."""
        return self._as_dict().keys()

    def values(self) -> ValuesView[Any]:
        """The values of the fields that are not None."""
        return self._as_dict().values()

    def items(self) -> ItemsView[str, Any]:
        """Names and values of the fields that are not None."""
        return self._as_dict().items()

    def get(self, key: str, default: Any = None) -> Any:
        """The field of that name, or ``default`` where it is None or there is none."""
        return self._as_dict().get(key, default)

    def _as_dict(self) -> dict[str, Any]:
        return {name: value for name in self._field_names() if (value := getattr(self, name)) is not None}

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        value = getattr(self, key) if key in self._field_names() else None
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self._field_names():
            near = get_close_matches(key, self._field_names(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(self._field_names())}."
            raise KeyError(f"{type(self).__name__} has no field {key!r}{hint}")
        setattr(self, key, value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._as_dict())

    def __len__(self) -> int:
        return len(self.to_tuple())

    def __contains__(self, key: object) -> bool:
        return key in self._as_dict()

    def __delitem__(self, key: str) -> NoReturn:
        raise TypeError(
            f"A {type(self).__name__} always has its fields; set {key!r} to None instead of deleting it."
        )

    def pop(self, *args: Any) -> NoReturn:
        """Refused: an output always has its fields."""
        raise TypeError(f"A {type(self).__name__} cannot pop a field; read it, or set it to None.")

    def setdefault(self, *args: Any) -> NoReturn:
        """Refused: an output always has its fields."""
        raise TypeError(f"A {type(self).__name__} has no setdefault; assign the field.")

    def update(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: assign the fields."""
        raise TypeError(f"A {type(self).__name__} has no update; assign the fields.")


_SPREADABLE = (Mapping, list, tuple, Iterator)


def _register_pytrees() -> None:
    """Let torch look inside outputs (DistributedDataParallel and torch.export do), once it is there."""
    if "torch" not in sys.modules:
        return
    from torch.utils import _pytree

    with _registering:
        while _unregistered:
            cls = _unregistered.pop()
            _pytree.register_pytree_node(
                cls,
                _flatten,
                partial(_unflatten, cls),
                serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
            )


def _flatten(output: ModelOutput) -> tuple[list[Any], list[str]]:
    return list(output.values()), list(output.keys())


def _unflatten(cls: type[ModelOutput], values: Iterable[Any], names: list[str]) -> ModelOutput:
    return cls(**dict(zip(names, values, strict=True)))


# Code written for transformers asks for a Mapping; to inherit from it would bring its equality along.
Mapping.register(ModelOutput)
