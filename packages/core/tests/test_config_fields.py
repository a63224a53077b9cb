"""Types and ranges of single fields."""

from __future__ import annotations

import math
from typing import Any, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formers.config import PreTrainedConfig, field
from formers.config.kinds import MISMATCH, kind_of
from formers.errors import ConfigValidationError


class SizedConfig(PreTrainedConfig):
    model_type = "sized"
    width: int = field(8, minimum=1, maximum=1000)
    eps: float = field(1e-5, above=0.0)
    rate: float | None = field(None, minimum=0.0, maximum=1.0)
    causal: bool = False
    act: str = field("gelu", choices=("gelu", "relu"))
    ends: int | list[int] | None = field(None, minimum=0)
    shape: tuple[int, int] = (1, 2)
    free: Any = None


class Index:
    def __index__(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        ("int", 3, 3),
        ("int", Index(), 7),
        ("int", True, MISMATCH),
        ("int", 3.0, MISMATCH),
        ("int", "3", MISMATCH),
        ("int", None, MISMATCH),
        ("int | None", None, None),
        (Optional[int], None, None),  # noqa: UP045
        (Union[int, str, None], "x", "x"),  # noqa: UP007
        ("typing.Optional[typing.List[int]]", [1], [1]),
        ("Optional[int | str]", "x", "x"),
        ("float", 3, 3.0),
        ("float", math.inf, MISMATCH),
        ("float", math.nan, MISMATCH),
        ("float", 10**400, MISMATCH),
        ("float", False, MISMATCH),
        ("bool", 1, MISMATCH),
        ("bool", True, True),
        ("str", b"x", MISMATCH),
        ("list[int]", (1, 2), [1, 2]),
        ("list[int]", [1, "2"], MISMATCH),
        ("list", [1, "2"], [1, "2"]),
        ("tuple[int, ...]", [1, 2], (1, 2)),
        ("tuple[int, str]", [1, "a"], (1, "a")),
        ("dict[str, int]", {"a": 1}, {"a": 1}),
        ("dict[str, int]", [], MISMATCH),
        ("str | Callable[[int], int]", abs, abs),
        ("str | Callable[[int], int]", 3, MISMATCH),
        ("SomeClass | None", 3, 3),
        ("Any", 3, 3),
        (int, True, MISMATCH),
        (list[int], [1], [1]),
    ],
)
def test_kinds(annotation: object, value: object, expected: object) -> None:
    converted = kind_of(annotation).convert(value)
    assert converted == expected
    assert type(converted) is type(expected)


@given(
    st.from_regex(r"[\w\[\]|, .()]{0,30}"), st.none() | st.integers() | st.text() | st.lists(st.integers())
)
def test_any_annotation_is_read(annotation: str, value: object) -> None:
    kind_of(annotation).convert(value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("width", 0, "int, at least 1, at most 1000"),
        ("width", -32, "at least 1"),
        ("width", 10**9, "at most 1000"),
        pytest.param("width", 10**5000, "at most 1000", id="more digits than python prints"),
        ("width", "32", "Write it without quotes"),
        ("width", True, "Write a number"),
        ("width", 3.5, "expected: int"),
        ("width", None, "expected: int"),
        ("eps", 0.0, "greater than 0.0"),
        ("eps", math.nan, "finite"),
        ("rate", 1.5, "at most 1.0"),
        ("causal", 1, "expected: bool"),
        ("act", "gelo", "one of 'gelu', 'relu'"),
        ("ends", -1, "at least 0"),
        ("ends", [1, -1], "at least 0"),
        ("ends", [1, "2"], r"expected: int \| list\[int\] \| None"),
        ("ends", 2**63, "expected: int"),
        ("shape", [1, None], "expected: tuple"),
        ("output_attentions", "yes", "expected: bool"),
        ("architectures", "One", r"expected: list\[str\]"),
        ("problem_type", "guess", "one of 'regression'"),
        ("chunk_size_feed_forward", -1, "at least 0"),
    ],
)
def test_bad_values_are_refused_everywhere(name: str, value: Any, expected: str) -> None:
    config = SizedConfig()
    before = getattr(config, name)
    for attempt in (
        lambda: SizedConfig(**{name: value}),
        lambda: SizedConfig.from_dict({name: value}),
        lambda: SizedConfig.from_dict({}, **{name: value}),
        lambda: setattr(config, name, value),
        lambda: config.update({name: value}),
    ):
        with pytest.raises(ConfigValidationError, match=expected) as caught:
            attempt()
        message = str(caught.value)
        assert message.startswith(f"SizedConfig: {name}=")
        assert len(message) < 500
    assert getattr(config, name) == before


@pytest.mark.parametrize("error", [ValueError, TypeError])
def test_the_error_is_what_users_catch(error: type[Exception]) -> None:
    with pytest.raises(error, match="width"):
        SizedConfig(width=-1)


def test_good_values_take_their_declared_form() -> None:
    config = SizedConfig(eps=1, ends=(1, 2), shape=[3, 4], rate=1)
    assert type(config.eps) is float
    assert config.ends == [1, 2]
    assert config.shape == (3, 4)
    assert type(config.rate) is float


def test_a_bad_default_is_the_authors_error() -> None:
    with pytest.raises(ConfigValidationError, match="width=0"):

        class BadConfig(PreTrainedConfig):
            width: int = field(0, minimum=1)


def test_a_required_field() -> None:
    class NeedyConfig(PreTrainedConfig):
        width: int
        depth: int = field(minimum=1)

    with pytest.raises(ConfigValidationError, match=r"NeedyConfig needs a value for width, depth\."):
        NeedyConfig()
    assert NeedyConfig(width=1, depth=2).depth == 2
    assert NeedyConfig.from_dict(NeedyConfig(width=1, depth=2).to_diff_dict()).width == 1


def test_mutable_defaults_are_not_shared() -> None:
    class ListConfig(PreTrainedConfig):
        layers: list[int] = [1]  # noqa: RUF012

    first, second = ListConfig(), ListConfig()
    first.layers.append(2)
    first.pruned_heads[0] = [1]
    assert second.layers == [1]
    assert ListConfig().layers == [1]
    assert second.pruned_heads == {}


def test_a_subclass_changes_a_default_or_a_field() -> None:
    class WiderConfig(SizedConfig):
        width = 500
        act: str = "anything"
        is_encoder_decoder = True

        @property
        def causal(self) -> bool:  # type: ignore[override]
            return True

    config = WiderConfig()
    assert (config.width, config.act, config.is_encoder_decoder, config.causal) == (
        500,
        "anything",
        True,
        True,
    )
    assert SizedConfig().width == 8
    with pytest.raises(ConfigValidationError, match="at most 1000"):
        WiderConfig(width=5000)
    with pytest.raises(ConfigValidationError, match="width=0"):

        class NarrowConfig(SizedConfig):
            width = 0


def test_defaults_are_readable_on_the_class() -> None:
    assert SizedConfig.width == 8
    assert not hasattr(SizedConfig, "depth")
