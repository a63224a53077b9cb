"""The data type of the weights, kept as a name so that a configuration needs no torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from formers.config.fields import Field
from formers.errors import ConfigValidationError, shorten

__all__ = ["dict_dtype_to_str", "dtype_field", "dtype_name"]

_NAMES = frozenset(
    {
        "float32",
        "float",
        "float64",
        "double",
        "float16",
        "half",
        "bfloat16",
        "complex64",
        "complex128",
        "float8_e4m3fn",
        "float8_e5m2",
        "float8_e4m3fnuz",
        "float8_e5m2fnuz",
        "float8_e8m0fnu",
        "float4_e2m1fn_x2",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
    }
)


def dtype_name(value: Any, owner: str) -> Any:
    """The bare name of a dtype given as name or ``torch.dtype``; a map of such for the parts of a model; None.

    Raises ``ConfigValidationError`` for anything else.
    """
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {str(part): dtype_name(dtype, owner) for part, dtype in value.items()}
    text = str(value).removeprefix("torch.") if isinstance(value, str) or _is_torch_dtype(value) else ""
    if text == "auto" or text in _NAMES or _torch_dtype(text) is not None:
        return text
    raise ConfigValidationError(
        f"{owner}: dtype={shorten(value)} is not accepted; a torch.dtype or its name is expected, "
        "such as 'float32', 'float16' or 'bfloat16'."
    )


def dict_dtype_to_str(values: dict[str, Any]) -> None:
    """Replace, in place and in nested dicts, a ``torch.dtype`` under the key ``dtype`` by its bare name."""
    name = str(values.get("dtype"))
    if name.startswith("torch.") and not isinstance(
        values["dtype"], str
    ):  # torch itself is not imported for it
        values["dtype"] = name.removeprefix("torch.")
    for value in values.values():
        if isinstance(value, dict):
            dict_dtype_to_str(value)


class _Dtype(Field):
    """Stored as a name, read as a ``torch.dtype`` once the program has imported torch."""

    __slots__ = ()

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return None
        name = instance.__dict__.get("dtype")
        return (_torch_dtype(name) or name) if isinstance(name, str) else name

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__["dtype"] = dtype_name(value, type(instance).__name__)


def dtype_field() -> Any:
    """The field ``dtype``: accepts a name or a ``torch.dtype``."""
    return _Dtype(None)


def _torch_dtype(name: str) -> Any:
    torch = sys.modules.get("torch")
    dtype = getattr(torch, name, None)
    return dtype if _is_torch_dtype(dtype) else None


def _is_torch_dtype(value: object) -> bool:
    torch = sys.modules.get("torch")
    kind = getattr(torch, "dtype", None)
    return kind is not None and isinstance(value, kind)
