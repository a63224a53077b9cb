"""Rows of numbers as tensors. torch and numpy are imported when tensors of theirs are asked for."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from formers.errors import MissingExtraError, TextInputError, shorten
from formers.tokenization.strategies import TensorType, choose

__all__ = ["as_lists", "converter", "import_torch", "is_tensor"]


def converter(kind: str) -> Callable[[str, Any], Any]:
    """The function ``(field name, value) -> tensor`` of a library, "pt" or "np".

    It takes numbers, nested lists and arrays; whole numbers and empty lists become int64. Rows of different
    lengths are an error for "pt", and an array of arrays for "np".

    Raises:
        MissingExtraError: torch or numpy is not installed.
        TextInputError: the kind is neither; from the function, a field whose rows differ in length, or hold
            something else than numbers.
    """
    if choose(TensorType, "return_tensors", kind) is TensorType.PYTORCH:
        return _torch_converter(import_torch("return_tensors='pt'"))
    try:
        import numpy
    except ModuleNotFoundError as error:
        raise _missing("return_tensors='np'", "numpy", error) from error
    return _numpy_converter(numpy)


def _torch_converter(torch: Any) -> Callable[[str, Any], Any]:
    def convert(name: str, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value
        numbers = _int64(value)
        if numbers is not None:
            tensor = torch.frombuffer(numbers, dtype=torch.int64)
            return tensor.view(len(value), -1) if type(value[0]) is list else tensor
        try:
            if isinstance(value, (list, tuple)) and len(value) > 0 and is_tensor(value[0]):
                return torch.stack([torch.as_tensor(row) for row in value])
            if isinstance(value, (list, tuple)) and _is_ragged(value):
                raise ValueError("torch would drop the tokens of all rows if the first is empty")
            tensor = torch.as_tensor(value)
        except (ValueError, TypeError, RuntimeError) as error:
            raise _unfit(name, value, error) from error
        return tensor.to(torch.int64) if tensor.numel() == 0 else tensor

    return convert


def _numpy_converter(numpy: Any) -> Callable[[str, Any], Any]:
    def convert(name: str, value: Any) -> Any:
        numbers = _int64(value)
        if numbers is not None:
            flat = numpy.frombuffer(numbers, dtype=numpy.int64)
            return flat.reshape(len(value), -1) if type(value[0]) is list else flat
        try:
            if isinstance(value, (list, tuple)) and _is_ragged(value):
                rows = numpy.empty(len(value), dtype=object)
                rows[:] = [numpy.asarray(row) for row in value]
                return rows
            array = numpy.asarray(value)
        except (ValueError, TypeError) as error:
            raise _unfit(name, value, error) from error
        return array.astype(numpy.int64) if array.size == 0 else array

    return convert


def _int64(value: Any) -> array[int] | None:
    """The numbers of a list, or of rows of one length, in one buffer; None for anything else.

    torch and numpy read a buffer in a fraction of the time that they need for lists.
    """
    if type(value) is not list or not value:
        return None
    first = value[0]
    try:
        if type(first) is int:
            return array("q", value)
        if type(first) is not list or not first or type(first[0]) is not int:
            return None
        numbers, width = array("q"), len(first)
        for row in value:
            if len(row) != width:
                return None
            numbers.fromlist(row)
    except (TypeError, OverflowError):  # something else than whole numbers, or too large ones
        return None
    return numbers


def is_tensor(value: object) -> bool:
    """Whether ``value`` is an array of torch or numpy; imports neither."""
    if isinstance(value, (int, list)):
        return False
    for module, kind in (("torch", "Tensor"), ("numpy", "ndarray")):
        found = sys.modules.get(module)
        if found is not None and isinstance(value, getattr(found, kind, ())):
            return True
    return False


def as_lists(value: Any) -> Any:
    """``value`` with arrays and numbers of torch or numpy turned into lists and numbers of Python."""
    if isinstance(value, (int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return value if set(map(type, value)) == {int} else [as_lists(item) for item in value]
    convert = getattr(value, "tolist", None)
    return value if convert is None else convert()


def _is_ragged(rows: Sequence[Any]) -> bool:
    lengths = {len(row) if isinstance(row, (list, tuple)) else None for row in rows}
    return len(lengths) > 1 and None not in lengths


def import_torch(what: str) -> Any:
    """The module ``torch``, or a ``MissingExtraError`` that says what needs it."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise _missing(what, "torch", error) from error
    return torch


def _missing(what: str, extra: str, error: ModuleNotFoundError) -> MissingExtraError:
    if error.name != extra:
        raise error
    return MissingExtraError(
        f"{what} needs {extra}, which is not installed. Install it: pip install 'formers[{extra}]'"
    )


def _unfit(name: str, value: Any, error: Exception) -> TextInputError:
    if isinstance(value, (list, tuple)) and _is_ragged(value):
        lengths = sorted({len(row) for row in value})
        return TextInputError(
            f"{name}: rows of {lengths[0]} to {lengths[-1]} items do not make one tensor. "
            "Pass padding=True, and truncation=True for a limit, so that all rows have one length"
        )
    odd = _first_odd(value)
    return TextInputError(f"{name}: {shorten(odd)} cannot be part of a tensor ({error}); expected numbers")


def _first_odd(value: Any) -> Any:
    flat = chain.from_iterable(row if isinstance(row, (list, tuple)) else (row,) for row in value)
    return next((item for item in flat if not isinstance(item, (int, float))), value)
