"""What a template sees: plain values of JSON, copied from what the caller passes, so that it can touch nothing else.

An object that JSON has no word for becomes ``'<its type>'``; none of its methods is ever within a template's reach.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from formers.errors import TextInputError, shorten
from formers.tokenization.chat.budget import Size

__all__ = ["Copier", "as_documents", "as_tools", "conversations"]

_DEPTH = 100
_EXACT = frozenset({str, int, float, bool, type(None)})


class Copier:
    """Copies values, and adds up how large they are."""

    __slots__ = ("_characters", "_parts")

    def __init__(self) -> None:
        self._characters = 0
        self._parts = 0

    @property
    def size(self) -> Size:
        """Characters and parts of all that has been copied."""
        return Size(self._characters, self._parts)

    def copy(self, value: Any, place: str, depth: int = 0) -> Any:
        """A value as plain JSON: strings, numbers, lists, tuples and dicts of exactly these types.

        Args:
            value: anything; data classes and objects with ``model_dump`` become dicts.
            place: where the value comes from, for an error.
            depth: how many lists and mappings it lies in.

        Raises:
            TextInputError: it is nested more than 100 deep, as a list that contains itself is.
        """
        self._parts += 1
        kind = type(value)
        if kind in _EXACT:
            self._characters += len(value) if kind is str else 1
            return value
        if depth > _DEPTH:
            raise TextInputError(f"{place}: nested more than {_DEPTH} deep, or within itself")
        if kind is dict or isinstance(value, Mapping):
            return {self._key(key, place): self.copy(item, place, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            items = [self.copy(item, place, depth + 1) for item in value]
            return items if isinstance(value, list) else tuple(items)
        return self._other(value, place, depth)

    def _key(self, key: Any, place: str) -> Any:
        if type(key) is str:
            self._parts += 1
            self._characters += len(key)
            return key
        return (
            self.copy(key, place, _DEPTH)
            if not isinstance(key, Mapping | list)
            else f"<{type(key).__name__}>"
        )

    def _other(self, value: Any, place: str, depth: int) -> Any:
        if isinstance(value, str):
            return self.copy(str.__str__(value), place)
        if isinstance(value, int):
            return self.copy(int.__int__(value), place)
        if isinstance(value, float):
            return self.copy(float.__float__(value), place)
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.generic):
            return self.copy(value.item(), place, depth + 1)
        if isinstance(value, type):
            return f"<{type(value).__name__}>"
        fields = getattr(type(value), "__dataclass_fields__", None)
        if fields is not None:
            return self.copy({name: getattr(value, name) for name in fields}, place, depth + 1)
        dump = getattr(type(value), "model_dump", None)
        if callable(dump):
            return self.copy(dump(value), place, depth + 1)
        return f"<{type(value).__name__}>"


def conversations(conversation: Any) -> tuple[list[list[Mapping[str, Any]]], bool]:
    """The conversations, and whether there are several or just the one.

    Raises ``TextInputError`` for anything else than messages, with the place of the first that is none.
    """
    if isinstance(conversation, (str, bytes, Mapping)) or not isinstance(conversation, Iterable):
        raise TextInputError(
            f"conversation of type {type(conversation).__name__}, {shorten(conversation)}: expected a list of "
            "messages, each a mapping such as {'role': 'user', 'content': '...'}, or a list of such lists"
        )
    items = list(conversation)
    if not items:
        raise TextInputError("the conversation is empty; expected at least one message")
    if not isinstance(items[0], (list, tuple)):
        return [_messages(items, "conversation")], False
    for index, chat in enumerate(items):
        if not isinstance(chat, (list, tuple)):
            raise TextInputError(
                f"conversation[{index}] is a {type(chat).__name__}, {shorten(chat)}; expected a list of messages, as "
                "conversation[0] is one"
            )
    return [_messages(chat, f"conversation[{index}]") for index, chat in enumerate(items)], True


def _messages(items: Sequence[Any], place: str) -> list[Mapping[str, Any]]:
    for index, message in enumerate(items):
        if not isinstance(message, Mapping):
            raise TextInputError(
                f"{place}[{index}] is a {type(message).__name__}, {shorten(message)}; expected a message: a mapping "
                "such as {'role': 'user', 'content': '...'}"
            )
    return list(items)


def as_tools(tools: Any, schema_of: Callable[[Callable[..., Any]], dict[str, Any]]) -> list[Any] | None:
    """The tools as JSON schemas; functions are turned into them by ``schema_of``."""
    if tools is None:
        return None
    schemas: list[Any] = []
    for index, tool in enumerate(_listed("tools", tools, "JSON schemas or functions")):
        if isinstance(tool, Mapping):
            schemas.append(tool)
        elif callable(tool) and not isinstance(tool, type):
            try:
                schemas.append(schema_of(tool))
            except TextInputError as error:
                raise TextInputError(f"tools[{index}]: {error}") from error
        else:
            raise TextInputError(
                f"tools[{index}] is a {type(tool).__name__}, {shorten(tool)}; expected a JSON schema, or a function "
                "with type hints and a docstring"
            )
    return schemas


def as_documents(documents: Any) -> list[Any] | None:
    """The documents, each a mapping."""
    if documents is None:
        return None
    listed = _listed("documents", documents, "mappings such as {'title': '...', 'text': '...'}")
    for index, document in enumerate(listed):
        if not isinstance(document, Mapping):
            raise TextInputError(
                f"documents[{index}] is a {type(document).__name__}, {shorten(document)}; expected a mapping such as "
                "{'title': '...', 'text': '...'}"
            )
    return listed


def _listed(argument: str, value: Any, kind: str) -> list[Any]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise TextInputError(
            f"{argument} of type {type(value).__name__}, {shorten(value)}: expected a list of {kind}"
        )
    return list(value)
