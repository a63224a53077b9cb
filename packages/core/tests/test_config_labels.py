"""The three views of the labels of a classifier."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formers.config import PreTrainedConfig
from formers.config.labels import MAX_LABELS
from formers.errors import ConfigValidationError, ConfigWarning


class HeadConfig(PreTrainedConfig):
    model_type = "head"
    width: int = 8


MADE_UP = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
GIVEN = {0: "no", 1: "maybe", 2: "yes"}


def test_the_default() -> None:
    config = HeadConfig()
    assert config.num_labels == 2
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1}
    assert HeadConfig(num_labels=None, id2label=None, label2id=None) == config


@pytest.mark.parametrize(
    ("given", "id2label"),
    [
        ({"num_labels": 3}, MADE_UP),
        ({"num_labels": 0}, {}),
        ({"id2label": GIVEN}, GIVEN),
        ({"id2label": {"0": "no", "1": "maybe", "2": "yes"}}, GIVEN),
        ({"label2id": {"no": 0, "maybe": 1, "yes": "2"}}, GIVEN),
        ({"num_labels": 3, "id2label": GIVEN}, GIVEN),
        ({"num_labels": 3, "label2id": {"no": 0, "maybe": 1, "yes": 2}}, GIVEN),
    ],
)
def test_one_view_gives_the_others(given: dict[str, Any], id2label: dict[int, str]) -> None:
    for config in (HeadConfig(**given), HeadConfig.from_dict(given)):
        assert config.num_labels == len(id2label)
        assert config.id2label == id2label
        assert config.label2id == {label: index for index, label in id2label.items()}


def test_a_number_that_does_not_fit_wins_with_a_warning() -> None:
    with pytest.warns(ConfigWarning, match="num_labels=3 does not fit the 2 names"):
        config = HeadConfig(num_labels=3, id2label={0: "a", 1: "b"})
    assert config.id2label == MADE_UP


def test_setting() -> None:
    config = HeadConfig(id2label=GIVEN)
    config.num_labels = 3
    assert config.id2label == GIVEN
    config.num_labels = 4
    assert config.label2id == {f"LABEL_{index}": index for index in range(4)}
    config.id2label = GIVEN
    assert (config.num_labels, config.label2id) == (3, {"no": 0, "maybe": 1, "yes": 2})
    config.label2id = {"no": 0, "maybe": 1, "yes": 2, "sure": 2}
    assert (config.num_labels, config.id2label[2], config.label2id["sure"]) == (3, "yes", 2)
    config.id2label[2] = "si"
    assert config.to_dict()["id2label"][2] == "si"
    config = HeadConfig()
    config.label2id = {"a": 0, "b": 1, "c": 2}
    assert config.id2label == {0: "a", 1: "b", 2: "c"}


def test_maps_as_they_were_written_survive() -> None:
    """Transformers writes made-up ids beside given names; both come back as they were."""
    file = {"id2label": {"0": "a", "1": "b"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
    config = HeadConfig.from_dict(file)
    assert json.loads(config.to_json_string()).items() >= file.items()
    assert HeadConfig.from_dict(config.to_diff_dict()) == config


def test_overrides_replace_what_a_file_says() -> None:
    file = {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}
    assert HeadConfig.from_dict(file, num_labels=3).id2label == MADE_UP
    assert HeadConfig.from_dict(file, num_labels=2).id2label == {0: "a", 1: "b"}
    assert HeadConfig.from_dict(file, id2label=GIVEN).label2id == {"no": 0, "maybe": 1, "yes": 2}
    assert HeadConfig.from_dict(file, label2id={"x": 0}).id2label == {0: "x"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_labels", -1),
        ("num_labels", 10**8),
        ("num_labels", True),
        ("num_labels", "3"),
        ("num_labels", 2.0),
        ("id2label", ["a", "b"]),
        ("id2label", {"a": "b"}),
        ("id2label", {"9" * 5000: "b"}),
        ("label2id", {"a": None}),
        ("label2id", 3),
    ],
)
def test_bad_labels(name: str, value: Any) -> None:
    config = HeadConfig()
    for attempt in (
        lambda: HeadConfig(**{name: value}),
        lambda: HeadConfig.from_dict({name: value}),
        lambda: setattr(config, name, value),
    ):
        with pytest.raises(ConfigValidationError, match=f"HeadConfig: {name}="):
            attempt()


def test_many_made_up_labels_cost_nothing() -> None:
    start = time.perf_counter()
    config = HeadConfig(num_labels=MAX_LABELS)
    assert config.id2label[MAX_LABELS - 1] == f"LABEL_{MAX_LABELS - 1}"
    assert config.label2id["LABEL_77"] == 77
    assert len(config.label2id) == len(config.id2label) == MAX_LABELS
    assert next(iter(config.label2id)) == "LABEL_0"
    assert next(iter(config.id2label)) == 0
    for absent in ("LABEL_077", f"LABEL_{MAX_LABELS}", "LABEL_-1", "LABEL_", "other", "LABEL_" + "9" * 5000):
        assert absent not in config.label2id
    assert MAX_LABELS not in config.id2label
    again = HeadConfig.from_dict(json.loads(config.to_json_string()))
    assert again == config
    assert again.num_labels == MAX_LABELS
    assert len(config.to_json_string()) < 1000
    assert time.perf_counter() - start < 1


@given(st.dictionaries(st.text(), st.integers(0, 50), max_size=8), st.integers(0, 12))
def test_labels_round_trip(label2id: dict[str, int], count: int) -> None:
    for config in (HeadConfig(label2id=label2id), HeadConfig(num_labels=count)):
        again = HeadConfig.from_dict(json.loads(config.to_json_string()))
        assert again == config
        assert (again.num_labels, again.id2label, again.label2id) == (
            config.num_labels,
            config.id2label,
            config.label2id,
        )
