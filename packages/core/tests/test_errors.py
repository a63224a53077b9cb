"""What every error and warning of the library has in common."""

from __future__ import annotations

import inspect
import pickle
import warnings

import pytest

from formers import errors
from formers.config import PreTrainedConfig, field

KINDS = [value for name in errors.__all__ if isinstance(value := getattr(errors, name), type)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_message_is_shown_as_it_is_and_survives_pickling(kind: type[Exception]) -> None:
    error = kind("model.safetensors: 'a' is wrong")
    assert str(error) == "model.safetensors: 'a' is wrong"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_type_belongs_to_the_library_and_to_an_ordinary_exception(kind: type[Exception]) -> None:
    assert issubclass(kind, errors.FormersError | errors.FormersWarning)


def test_values_are_shown_shortened() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert errors.shorten("x" * 1000) == "'" + "x" * 196 + "..."
    assert errors.shorten(Hostile()) == "<Hostile, repr failed with RuntimeError>"


def test_a_warning_points_to_the_line_of_the_caller() -> None:
    class OwnConfig(PreTrainedConfig):
        model_type = "own"
        hidden_size: int = field(8, minimum=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
        OwnConfig(hiden_size=3)
    assert [(warning.filename, warning.lineno) for warning in caught] == [(__file__, line)]
