"""``get_json_schema``: a Python function as the JSON schema that templates show to a model as a tool.

Types come from the annotations, descriptions from the docstring in Google's form (Google Python Style Guide,
section 3.8.3).
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal, Union

from formers.errors import TextInputError, shorten

__all__ = ["get_json_schema"]

_TYPES: dict[Any, str] = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    type(None): "null",
    list: "array",
    tuple: "array",
    dict: "object",
}
_SCALARS = (bool, int, float, str, type(None))
_FOREIGN = {("torch", "Tensor"): "audio", ("PIL.Image", "Image"): "image"}  # as models' tools are described
_HEADER = re.compile(r"^[ \t]*(Args|Arguments|Returns|Raises):[ \t]*$", re.MULTILINE)
_ENTRY = re.compile(r"^([ \t]*)\*{0,2}(\w+)[ \t]*(?:\([^)\n]*\))?:(.*)$")
_CHOICES = re.compile(r"\(choices:(.*)\)\s*$", re.IGNORECASE | re.DOTALL)
_REMEDY = "Write the schema by hand, and pass the mapping instead of the function"


def get_json_schema(func: Callable[..., Any]) -> dict[str, Any]:
    """The JSON schema of a function: ``{"type": "function", "function": {"name": ..., "parameters": ...}}``.

    Args:
        func: a function or method with a docstring; each argument but ``self`` has a type hint, and a description
            under ``Args:``, which may end with ``(choices: ["tea", "coffee"])``.

    Raises:
        TextInputError: something of this is missing, or a type has no counterpart in JSON.
    """
    name = getattr(func, "__name__", None)
    if not inspect.isroutine(func) or name is None:
        raise TextInputError(f"{shorten(func)}: expected a function or a method. {_REMEDY}")
    docstring = inspect.getdoc(func)
    if not docstring:
        raise TextInputError(
            f"{name}() has no docstring; one is expected, which describes it and its arguments"
        )
    description, arguments, returns = _described(docstring)
    hints = _hints(func, name)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for parameter in _parameters(func):
        properties[parameter.name] = _property(name, parameter.name, hints, arguments)
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        parameters["required"] = required
    function = {"name": name, "description": description, "parameters": parameters}
    result = _result(hints, returns)
    if result is not None:
        function["return"] = result
    return {"type": "function", "function": function}


def _parameters(func: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(func).parameters.values())
    if (
        parameters
        and parameters[0].name in ("self", "cls")
        and parameters[0].annotation is inspect.Parameter.empty
    ):
        del parameters[0]
    return parameters


def _hints(func: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(func)
    except NameError as error:
        raise TextInputError(
            f"{name}(): a type hint cannot be resolved ({error}); import what it names"
        ) from error


def _property(
    function: str, name: str, hints: dict[str, Any], descriptions: dict[str, str]
) -> dict[str, Any]:
    if name not in hints:
        raise TextInputError(
            f"{function}(): the argument {name!r} has no type hint. Add one, such as {name}: str"
        )
    try:
        schema = _schema(hints[name])
    except TextInputError as error:
        raise TextInputError(f"{function}(), argument {name!r}: {error}") from error
    if name not in descriptions:
        raise TextInputError(
            f"{function}(): the docstring does not describe the argument {name!r}. Add a line under 'Args:', such as "
            f"'    {name}: what it is'"
        )
    description = descriptions[name]
    choices = _CHOICES.search(description)
    if choices is not None:
        description = description[: choices.start()].strip()
        try:
            schema["enum"] = json.loads(choices[1])
        except json.JSONDecodeError as error:
            raise TextInputError(
                f'{function}(), argument {name!r}: {choices[0]!r} is not JSON ({error}); expected (choices: ["a", "b"])'
            ) from error
    schema["description"] = description
    return schema


def _result(hints: dict[str, Any], description: str | None) -> dict[str, Any] | None:
    """The schema of what is returned. Few templates look at it, so that one that cannot be made is left out."""
    if "return" not in hints:
        return None
    try:
        schema = _schema(hints["return"])
    except TextInputError:
        return None
    if description is not None:
        schema["description"] = description
    return schema


def _described(docstring: str) -> tuple[str, dict[str, str], str | None]:
    """Of a docstring: what the function does, argument to description, and what is returned."""
    headers = list(_HEADER.finditer(docstring))
    ends = [header.start() for header in headers[1:]] + [len(docstring)]
    sections = {
        header[1].replace("Arguments", "Args"): docstring[header.end() : end].strip("\n")
        for header, end in zip(headers, ends, strict=False)
    }
    description = docstring[: headers[0].start()] if headers else docstring
    returns = sections.get("Returns", "").strip() or None
    return description.strip(), _entries(sections.get("Args", "")), returns


def _entries(section: str) -> dict[str, str]:
    """The arguments of a section: an entry goes on until a line that is not indented deeper has a name and a colon."""
    lines: dict[str, list[str]] = {}
    own = None
    for line in section.splitlines():
        entry = _ENTRY.match(line)
        if entry is not None and (own is None or len(entry[1]) <= own):
            own = len(entry[1]) if own is None else own
            current = lines.setdefault(entry[2], [])
            current.append(entry[3].strip())
        elif lines and line.strip():
            current.append(line.strip())
    return {name: " ".join(filter(None, parts)) for name, parts in lines.items() if any(parts)}


def _schema(hint: Any) -> dict[str, Any]:
    if hint is Any:
        return {}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is None and hint in _TYPES:
        return {"type": _TYPES[hint]}
    if origin is Literal:
        return _enumeration(arguments, hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enumeration(tuple(member.value for member in hint), hint)
    if origin is Union or origin is types.UnionType:
        return _union(arguments)
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0])} if arguments else {"type": "array"}
    if origin is tuple:
        return _tuple(arguments, hint)
    if origin is dict:
        return (
            {"type": "object", "additionalProperties": _schema(arguments[1])}
            if arguments
            else {"type": "object"}
        )
    for (module, name), kind in _FOREIGN.items():
        if module in sys.modules and hint is getattr(sys.modules[module], name, None):
            return {"type": kind}
    raise TextInputError(
        f"the type {shorten(hint)} has no counterpart in JSON; expected int, float, str, bool, None, Any, an Enum, a "
        f"Literal, or list, tuple, dict and Union of those. {_REMEDY}"
    )


def _union(members: tuple[Any, ...]) -> dict[str, Any]:
    schemas = [_schema(member) for member in members if member is not type(None)]
    if len(schemas) == 1:
        schema = schemas[0]
    elif all(isinstance(part.get("type"), str) and len(part) == 1 for part in schemas):
        schema = {"type": sorted(part["type"] for part in schemas)}
    else:
        schema = {"anyOf": schemas}
    if type(None) in members:
        schema["nullable"] = True
    return schema


def _tuple(members: tuple[Any, ...], hint: Any) -> dict[str, Any]:
    if not members:
        return {"type": "array"}
    if len(members) == 1 or ... in members:
        raise TextInputError(
            f"{shorten(hint)}: use list[...] for a list of any length, or the bare type for one item"
        )
    return {"type": "array", "prefixItems": [_schema(member) for member in members]}


def _enumeration(values: tuple[Any, ...], hint: Any) -> dict[str, Any]:
    odd = next((value for value in values if type(value) not in _SCALARS), None)
    if odd is not None:
        raise TextInputError(
            f"{shorten(hint)} has the value {shorten(odd)}; expected strings, numbers, booleans and None"
        )
    kinds = list(dict.fromkeys(_TYPES[type(value)] for value in values))
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": list(values)}
