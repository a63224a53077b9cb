"""``num_labels``, ``id2label`` and ``label2id``: three views of one thing, so they cannot contradict each other.

Names are made up (``LABEL_0``, ...) unless given. A large number of made-up names is never spelled out, neither in
memory nor in the file, where ``num_labels`` stands for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from formers.config.fields import Field
from formers.config.kinds import MISMATCH, kind_of
from formers.errors import ConfigValidationError, shorten

__all__ = ["MAX_LABELS", "Labels", "id2label_field", "label2id_field", "labels_in", "num_labels_field"]

MAX_LABELS = 10_000_000
_SPELLED_OUT = 10_000  # made-up names beyond this number stay implicit
_DEFAULT = 2
_STATE = "_labels"


class Labels:
    """The classes of a configuration: how many, and their names if there are any."""

    __slots__ = ("count", "ids", "names")

    def __init__(
        self, count: int = _DEFAULT, names: dict[int, str] | None = None, ids: dict[str, int] | None = None
    ) -> None:
        self.count = count
        self.names = names  # None: made up
        self.ids = ids  # None: the inverse of the names

    @classmethod
    def of(cls, count: Any = None, names: Any = None, ids: Any = None, *, owner: str) -> Labels:
        """Labels from the three keys of a configuration, each None if absent.

        A ``num_labels`` that differs from the number of names wins, as in transformers 5; see ``disagree``.
        Raises ``ConfigValidationError`` for values that are not maps and numbers of this kind.
        """
        spelled = None if names is None else _names(names, owner)
        inverse = None if ids is None else _ids(ids, owner)
        if count is not None:
            count = _count(count, owner)
        if spelled is None and inverse is not None and (count is None or count == len(inverse)):
            spelled = {number: label for label, number in inverse.items()}
        if spelled is None:
            return cls(_DEFAULT if count is None else count)
        if count is not None and count != len(spelled):
            return cls(count)
        return cls(len(spelled), spelled, inverse)

    @staticmethod
    def disagree(count: Any, names: Any) -> bool:
        """Whether a number and a map of names were given that do not fit together."""
        return type(count) is int and isinstance(names, Mapping) and len(names) != count

    def id2label(self) -> Mapping[int, str]:
        """Class index to name. A dict that may be edited, unless the names are made up and many."""
        if self.names is None:
            if self.count > _SPELLED_OUT:
                return _MadeUpNames(self.count)
            self.names = {number: f"LABEL_{number}" for number in range(self.count)}
        return self.names

    def label2id(self) -> Mapping[str, int]:
        """Name to class index."""
        if self.ids is not None:
            return self.ids
        if self.names is None and self.count > _SPELLED_OUT:
            return _MadeUpIds(self.count)
        return {label: number for number, label in self.id2label().items()}

    def entries(self) -> dict[str, Any]:
        """The keys that a configuration file holds for these labels."""
        if self.names is None and self.count > _SPELLED_OUT:
            return {"num_labels": self.count}
        return {"id2label": dict(self.id2label()), "label2id": dict(self.label2id())}


class _MadeUpNames(Mapping[int, str]):
    def __init__(self, count: int) -> None:
        self._count = count

    def __getitem__(self, key: int) -> str:
        if type(key) is int and 0 <= key < self._count:
            return f"LABEL_{key}"
        raise KeyError(key)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._count))


class _MadeUpIds(Mapping[str, int]):
    def __init__(self, count: int) -> None:
        self._count = count

    def __getitem__(self, key: str) -> int:
        digits = key.removeprefix("LABEL_")
        if digits.isascii() and digits.isdigit() and len(digits) < 10 and int(digits) < self._count:
            number = int(digits)
            if key == f"LABEL_{number}":
                return number
        raise KeyError(key)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return (f"LABEL_{number}" for number in range(self._count))


class _LabelField(Field):
    """A view of the labels, shared by the three fields."""

    is_stored = False
    __slots__ = ()

    def __set__(self, instance: Any, value: Any) -> None:
        raise NotImplementedError


class _NumLabels(_LabelField):
    __slots__ = ()

    def __get__(self, instance: Any, owner: type) -> Any:
        return _DEFAULT if instance is None else labels_in(instance).count

    def __set__(self, instance: Any, value: Any) -> None:
        count = _count(value, type(instance).__name__)
        if count != labels_in(instance).count:
            instance.__dict__[_STATE] = Labels(count)


class _Id2Label(_LabelField):
    __slots__ = ()

    def __get__(self, instance: Any, owner: type) -> Any:
        return None if instance is None else labels_in(instance).id2label()

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[_STATE] = Labels.of(names=value, owner=type(instance).__name__)


class _Label2Id(_LabelField):
    __slots__ = ()

    def __get__(self, instance: Any, owner: type) -> Any:
        return None if instance is None else labels_in(instance).label2id()

    def __set__(self, instance: Any, value: Any) -> None:
        owner = type(instance).__name__
        labels = labels_in(instance)
        if value is None or labels.names is None:
            instance.__dict__[_STATE] = Labels.of(ids=value, names=labels.names, owner=owner)
        else:
            instance.__dict__[_STATE] = Labels(labels.count, labels.names, _ids(value, owner))


def num_labels_field() -> Any:
    """The field ``num_labels``: setting another number makes up new names."""
    return _NumLabels(_DEFAULT)


def id2label_field() -> Any:
    """The field ``id2label``: setting it sets the number and, inversely, ``label2id``."""
    return _Id2Label(None)


def label2id_field() -> Any:
    """The field ``label2id``: kept as given beside given names, otherwise it gives the names."""
    return _Label2Id(None)


def labels_in(instance: Any) -> Labels:
    """The labels of a configuration; the default ones if none were given."""
    labels = instance.__dict__.get(_STATE)
    if labels is None:
        labels = instance.__dict__[_STATE] = Labels()
    return labels  # type: ignore[no-any-return]


def _count(value: Any, owner: str) -> int:
    count = kind_of("int").convert(value)
    if count is MISMATCH or not 0 <= count <= MAX_LABELS:
        raise ConfigValidationError(
            f"{owner}: num_labels={shorten(value)} is not accepted; an int of at least 0 and at most "
            f"{MAX_LABELS:,} is expected. Correct it in the file or the call."
        )
    return int(count)


def _index(value: Any) -> int:
    """A class index, which is a string of digits in JSON."""
    text = str(value)
    if len(text) > 18:
        raise ValueError(f"{text[:18]}... is no class index")
    return int(text)


def _names(value: Any, owner: str) -> dict[int, str]:
    try:
        names = {_index(key): label for key, label in value.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigValidationError(
            f"{owner}: id2label={shorten(value)} is not accepted; a map from class index to name is expected, "
            'such as {0: "negative", 1: "positive"}.'
        ) from error
    _check_number(len(names), "id2label", owner)
    return names


def _ids(value: Any, owner: str) -> dict[str, int]:
    try:
        ids = {str(label): _index(number) for label, number in value.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigValidationError(
            f"{owner}: label2id={shorten(value)} is not accepted; a map from name to class index is expected, "
            'such as {"negative": 0, "positive": 1}.'
        ) from error
    _check_number(len(ids), "label2id", owner)
    return ids


def _check_number(number: int, name: str, owner: str) -> None:
    if number > MAX_LABELS:
        raise ConfigValidationError(
            f"{owner}: {name} has {number:,} entries; at most {MAX_LABELS:,} are accepted."
        )
