"""Dicts and files of configurations, and that reading them gives an equal one."""

from __future__ import annotations

import copy
import json
import math
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formers.config import PreTrainedConfig, field
from formers.errors import ConfigValidationError


class EveryConfig(PreTrainedConfig):
    model_type = "every"
    attribute_map: ClassVar[dict[str, str]] = {"hidden_size": "width"}
    width: int = field(8, minimum=1, maximum=2**31 - 1)
    rate: float = field(0.1, minimum=0.0, maximum=1.0)
    flag: bool = True
    act: str = "gelu"
    ends: int | list[int] | None = field(None, minimum=0)
    is_encoder_decoder: bool = True


class HolderConfig(PreTrainedConfig):
    model_type = "holder"
    sub_configs: ClassVar[dict[str, type | str]] = {"text_config": EveryConfig}
    text_config: EveryConfig | dict[str, Any] | None = None
    scale: float = 1.0


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}_x", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "width": st.integers(1, 2**31 - 1),
        "rate": st.floats(0, 1),
        "flag": st.booleans(),
        "act": st.text(),
        "ends": st.none() | st.integers(0, 2**62) | st.lists(st.integers(0, 9)),
        "is_encoder_decoder": st.booleans(),
        "output_hidden_states": st.booleans(),
        "return_dict": st.booleans(),
        "tie_word_embeddings": st.booleans(),
        "dtype": st.sampled_from([None, "float16", "bfloat16", {"": "float32", "text": "float16"}]),
        "num_labels": st.integers(0, 5),
        "problem_type": st.sampled_from([None, "regression"]),
        "architectures": st.none() | st.lists(st.text()),
        "pruned_heads": st.dictionaries(st.integers(0, 5), st.lists(st.integers(0, 9), unique=True)),
        "transformers_version": st.none() | st.text(min_size=1),
    },
)


@given(SETTINGS, st.dictionaries(NAMES, JSON, max_size=3))
def test_every_form_reads_back_to_an_equal_configuration(
    settings: dict[str, Any], extra: dict[str, Any]
) -> None:
    config = EveryConfig.from_dict(settings | extra)
    forms = [
        config.to_dict(),
        config.to_diff_dict(),
        json.loads(config.to_json_string()),
        json.loads(config.to_json_string(use_diff=False)),
    ]
    for form in forms:
        again = EveryConfig.from_dict(form)
        assert again == config
        assert again.to_json_string() == config.to_json_string()
        assert again.transformers_version == config.transformers_version


@given(SETTINGS)
def test_nested_configurations_read_back(settings: dict[str, Any]) -> None:
    config = HolderConfig(text_config=dict(settings), scale=2.0)
    assert HolderConfig.from_dict(json.loads(config.to_json_string())) == config
    assert "transformers_version" not in json.loads(config.to_json_string())["text_config"]


def test_to_dict_is_complete_and_a_copy() -> None:
    config = EveryConfig(story={"a": [1]}, num_labels=3)
    values = config.to_dict()
    assert values.keys() >= {
        "width",
        "dtype",
        "return_dict",
        "id2label",
        "label2id",
        "story",
        "architectures",
    }
    assert (values["model_type"], values["_name_or_path"], values["id2label"][2]) == ("every", "", "LABEL_2")
    values["story"]["a"].append(2)
    assert config.story == {"a": [1]}
    assert HolderConfig().to_dict()["text_config"]["model_type"] == "every"


def test_the_difference_keeps_what_the_class_declares() -> None:
    assert EveryConfig().to_diff_dict() == {
        "model_type": "every",
        "width": 8,
        "rate": 0.1,
        "flag": True,
        "act": "gelu",
        "ends": None,
        "is_encoder_decoder": True,
    }
    assert EveryConfig(is_encoder_decoder=False).to_diff_dict()["is_encoder_decoder"] is False
    assert PreTrainedConfig().to_diff_dict() == {}
    assert PreTrainedConfig(a=1).to_json_string() == '{\n  "a": 1\n}\n'


def test_dtypes_are_names_in_files() -> None:
    torch = pytest.importorskip("torch")
    config = EveryConfig(dtype=torch.float16, torch_dtype=torch.float16, story={"dtype": torch.float32})
    assert config.dtype is config.torch_dtype is torch.float16
    assert (config.to_dict()["dtype"], config.to_dict()["story"]) == ("float16", {"dtype": "float32"})
    config.torch_dtype = "bfloat16"
    assert config.dtype is torch.bfloat16
    assert EveryConfig.from_dict({"torch_dtype": "torch.float64"}).dtype is torch.float64
    with pytest.raises(ConfigValidationError, match="one setting"):
        EveryConfig(dtype="float16", torch_dtype="float32")


def test_dtypes_are_names_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert EveryConfig(dtype="float16").dtype == "float16"


def test_dict_dtype_to_str_changes_only_dtypes() -> None:
    torch = pytest.importorskip("torch")
    values = {"dtype": torch.float32, "a": {"dtype": torch.int8, "b": torch.int8}, "c": {"dtype": None}}
    others = {"dtype": False, "a": {"dtype": "torch.x"}, "b": {"dtype": 7, "c": {"dtype": []}}}
    before = copy.deepcopy(others)
    EveryConfig().dict_dtype_to_str(others)
    assert others == before
    EveryConfig().dict_dtype_to_str(values)
    assert values == {"dtype": "float32", "a": {"dtype": "int8", "b": torch.int8}, "c": {"dtype": None}}


def test_infinity_is_written_as_json() -> None:
    config = EveryConfig(limits=[0.0, math.inf])
    text = config.to_json_string()
    assert json.loads(text, parse_constant=pytest.fail)["limits"] == [0.0, {"__float__": "Infinity"}]
    assert EveryConfig.from_dict(json.loads(text)).limits == [0.0, math.inf]


@pytest.mark.parametrize("value", [object(), {1: "a", "b": 2}, {"deep": [abs]}, b"x"])
def test_what_json_cannot_hold_is_named(value: Any, tmp_path: Path) -> None:
    config = EveryConfig(story=value)
    for attempt in (config.to_json_string, lambda: config.save_pretrained(tmp_path / "new")):
        with pytest.raises(ConfigValidationError, match="EveryConfig: story="):
            attempt()
    assert not (tmp_path / "new").exists()


def test_saving(tmp_path: Path) -> None:
    config = EveryConfig(width=16)
    config.name_or_path = "here"
    folder = tmp_path / "a" / "b"
    config.save_pretrained(folder)
    assert os.listdir(folder) == ["config.json"]
    assert (folder / "config.json").read_text() == config.to_json_string()
    (folder / "other.txt").write_text("kept")
    config.width = 32
    config.save_pretrained(str(folder))
    assert sorted(os.listdir(folder)) == ["config.json", "other.txt"]
    again = EveryConfig.from_pretrained(folder)
    assert again == config
    assert again.name_or_path == str(folder)


def test_saving_replaces_a_link_and_does_not_write_through_it(tmp_path: Path) -> None:
    (tmp_path / "blob").write_text("{}")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "config.json").symlink_to(tmp_path / "blob")
    EveryConfig().save_pretrained(tmp_path / "snapshot")
    assert (tmp_path / "blob").read_text() == "{}"


def test_a_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("x")
    with pytest.raises(NotADirectoryError):
        EveryConfig().save_pretrained(target)
    assert target.read_text() == "x"


def test_nothing_invalid_is_saved(tmp_path: Path) -> None:
    class EvenConfig(EveryConfig):
        def validate(self) -> None:
            if self.width % 2:
                raise ConfigValidationError(f"EvenConfig: width={self.width} is odd.")

    config = EvenConfig()
    config.width = 3
    with pytest.raises(ConfigValidationError, match="odd"):
        config.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_file_of_ones_own_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    EveryConfig(width=16).to_json_file(path)
    assert EveryConfig.from_json_file(path).width == 16
    EveryConfig().to_json_file(str(path), use_diff=False)
    assert json.loads(path.read_text())["return_dict"] is True


def test_arguments_for_pushing_need_pushing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="repo_id, but push_to_hub is not set"):
        EveryConfig().save_pretrained(tmp_path, repo_id="x")


def test_pushing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pushed: dict[str, Any] = {}

    def push_folder(writer: Any, repo_id: str, **options: Any) -> str:
        writer(tmp_path / "pushed")
        pushed.update(options, repo_id=repo_id)
        return "https://hub/commit"

    monkeypatch.setattr("formers.files.push.push_folder", push_folder)
    assert EveryConfig().push_to_hub("org/name") == "https://hub/commit"
    assert (pushed["repo_id"], pushed["commit_message"]) == ("org/name", "Upload config")
    assert os.listdir(tmp_path / "pushed") == ["config.json"]
    EveryConfig().save_pretrained(tmp_path / "mine", push_to_hub=True, private=True)
    assert (pushed["repo_id"], pushed["private"]) == ("mine", True)
