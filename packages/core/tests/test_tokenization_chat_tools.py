"""``get_json_schema``: functions as tools."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional, Union

import pytest
import torch

from formers.errors import TextInputError
from formers.tokenization.chat.tools import get_json_schema


def schema(function: Callable[..., Any]) -> dict[str, Any]:
    found = get_json_schema(function)
    assert found["type"] == "function"
    inner: dict[str, Any] = found["function"]
    return inner


def described(docstring: str | None, signature: str = "x: int") -> dict[str, Any]:
    namespace: dict[str, Any] = {"Literal": Literal}
    exec(f"def tool({signature}): pass", namespace)  # a signature cannot be built otherwise
    namespace["tool"].__doc__ = docstring
    return schema(namespace["tool"])


def hinted(hint: Any) -> dict[str, Any]:
    def tool(x):  # type: ignore[no-untyped-def]
        """A tool.

        Args:
            x: the x
        """

    tool.__annotations__ = {"x": hint}
    inner: dict[str, Any] = schema(tool)["parameters"]["properties"]["x"]
    assert inner.pop("description") == "the x"
    return inner


class Letter(enum.Enum):
    A = "a"
    B = "b"


class Mixed(enum.Enum):
    A = "a"
    B = 2


class Composite(enum.Enum):
    A = (1, 2)


@dataclass
class Own:
    x: int


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        ("int", {"type": "integer"}),
        (Annotated[int, "degrees"], {"type": "integer"}),
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (list[list[str]], {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}),
        (tuple[int, str], {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}),
        (tuple[()], {"type": "array"}),
        (dict, {"type": "object"}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (dict[str, Any], {"type": "object", "additionalProperties": {}}),
        (Optional[int], {"type": "integer", "nullable": True}),  # noqa: UP045
        (int | None, {"type": "integer", "nullable": True}),
        (str | int, {"type": ["integer", "string"]}),
        (Union[str, int, None], {"type": ["integer", "string"], "nullable": True}),  # noqa: UP007
        (int | list[str], {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1, None], {"type": ["string", "integer", "null"], "enum": ["a", 1, None]}),
        (Optional[Literal["a"]], {"type": "string", "enum": ["a"], "nullable": True}),  # noqa: UP045
        (Letter, {"type": "string", "enum": ["a", "b"]}),
        (Mixed, {"type": ["string", "integer"], "enum": ["a", 2]}),
        (torch.Tensor, {"type": "audio"}),
    ],
)
def test_types(hint: Any, expected: dict[str, Any]) -> None:
    assert hinted(hint) == expected


@pytest.mark.parametrize(
    "hint",
    [Own, set[int], bytes, complex, object, Iterable[int], Callable, tuple[int], tuple[int, ...], Composite],
)
def test_a_type_without_a_counterpart_is_named(hint: Any) -> None:
    with pytest.raises(TextInputError, match=r"tool\(\), argument 'x': "):
        hinted(hint)


@pytest.mark.parametrize(
    ("docstring", "description"),
    [
        ("A tool.\n\nArgs:\n    x: the x", "the x"),
        ("A tool.\nArgs:\n  x: the x\n  y: another", "the x"),
        ("A tool.\n\nArgs:\n    x: the x\n        and on\n        and on", "the x and on and on"),
        ("A tool.\n\nArgs:\n    x: the x\n\n        after a gap", "the x after a gap"),
        ("A tool.\n\nArgs:\n    x:\n        below", "below"),
        ("A tool.\n\nArgs:\n    x: one: two\n        y: no argument", "one: two y: no argument"),
        ("A tool.\n\nArgs:\n    x (int, optional): the x", "the x"),
        ("A tool.\n\nArguments:\n    x: the x", "the x"),
        ("A tool.\n\nArgs:\n    x: the x\n\nReturns:\n    much\n\nRaises:\n    ValueError: x", "the x"),
    ],
)
def test_descriptions_come_from_the_docstring(docstring: str, description: str) -> None:
    found = described(docstring)
    assert found["description"] == "A tool."
    assert found["parameters"]["properties"]["x"] == {"type": "integer", "description": description}


def test_several_paragraphs_and_no_arguments() -> None:
    found = described("First line,\nsecond.\n\nMore.\n\nReturns:\n    nothing", "")
    assert found == {
        "name": "tool",
        "description": "First line,\nsecond.\n\nMore.",
        "parameters": {"type": "object", "properties": {}},
    }


def test_choices() -> None:
    found = described('A tool.\n\nArgs:\n    x: a drink (choices: ["tea",\n        "cocoa"])', "x: str")
    expected = {"type": "string", "enum": ["tea", "cocoa"], "description": "a drink"}
    assert found["parameters"]["properties"]["x"] == expected
    with pytest.raises(TextInputError, match=r"argument 'x': \"\(choices: \['tea'\]\)\" is not JSON"):
        described("A tool.\n\nArgs:\n    x: a drink (choices: ['tea'])", "x: str")


def test_what_is_required_and_what_is_returned() -> None:
    docstring = "A tool.\n\nArgs:\n    x: the x\n    y: the y\n    k: the k\n\nReturns:\n    a lot"
    found = described(docstring, "x: int, y: str = 'a', *, k: float) -> dict[str, int] | (None")
    assert found["parameters"]["required"] == ["x", "k"]
    assert found["return"] == {
        "type": "object", "additionalProperties": {"type": "integer"}, "nullable": True, "description": "a lot"
    }  # fmt: skip
    assert "return" not in described(docstring, "x: int, y: int, k: int")
    assert "return" not in described(docstring, "x: int, y: int, k: int) -> (set[int]")
    assert described("A tool.", ") -> (int")["return"] == {"type": "integer"}


class Tools:
    def bound(self, x: int) -> None:
        """Bound.

        Args:
            x: the x
        """

    @classmethod
    def of_class(cls, x: int) -> None:
        """Of the class.

        Args:
            x: the x
        """


def test_methods_and_wrapped_functions() -> None:
    assert list(schema(Tools().bound)["parameters"]["properties"]) == ["x"]
    assert list(schema(Tools.of_class)["parameters"]["properties"]) == ["x"]
    assert list(schema(Tools.bound)["parameters"]["properties"]) == ["x"]

    @functools.wraps(Tools.of_class)
    def wrapped(*args: Any) -> None: ...

    assert schema(wrapped)["name"] == "of_class"


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda x: x, "has no docstring"),
        (Tools, "expected a function or a method"),
        (functools.partial(Tools.of_class, 1), "expected a function or a method"),
        (len, "the argument 'obj' has no type hint"),
        (3, "expected a function"),
    ],
)
def test_what_is_no_tool(function: Any, problem: str) -> None:
    with pytest.raises(TextInputError, match=problem):
        get_json_schema(function)


@pytest.mark.parametrize(
    ("docstring", "signature", "problem"),
    [
        ("A tool.", "x: int", r"does not describe the argument 'x'. Add a line under 'Args:'"),
        ("A tool.\n\nArgs:\n    x:\n    y: b", "x: int", "does not describe the argument 'x'"),
        ("A tool.\n\nArgs:\n    x: a", "x", r"tool\(\): the argument 'x' has no type hint"),
        ("A tool.\n\nArgs:\n    x: a", "x: 'Unheard'", "a type hint cannot be resolved"),
        ("", "x: int", "has no docstring"),
    ],
)
def test_what_is_missing_is_named(docstring: str, signature: str, problem: str) -> None:
    with pytest.raises(TextInputError, match=problem):
        described(docstring, signature)
