"""Files: folders, single files, what older versions wrote, what is damaged."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formers.config import PreTrainedConfig, field
from formers.errors import (
    ConfigValidationError,
    ConfigWarning,
    CorruptFileError,
    LoadError,
    ResourceLimitError,
)


class PlainConfig(PreTrainedConfig):
    model_type = "plain"
    attribute_map: ClassVar[dict[str, str]] = {"hidden_size": "width"}
    width: int = field(8, minimum=1, maximum=10_000)
    eps: float = field(1e-5, above=0.0)


class ComposedConfig(PreTrainedConfig):
    model_type = "composed"
    sub_configs: ClassVar[dict[str, type | str]] = {"text_config": PlainConfig}
    text_config: PlainConfig | dict[str, Any] | None = None


# What transformers 3.5 wrote for a small encoder with a classification head, its own keys included.
VERSION_3 = {
    "_num_labels": 3,
    "architectures": ["PlainForSequenceClassification"],
    "attention_probs_dropout_prob": 0.1,
    "bad_words_ids": None,
    "do_sample": False,
    "eps": 1e-12,
    "finetuning_task": "mnli",
    "gradient_checkpointing": False,
    "id2label": {"0": "entailment", "1": "neutral", "2": "contradiction"},
    "is_decoder": False,
    "label2id": {"contradiction": 2, "entailment": 0, "neutral": 1},
    "length_penalty": 1.0,
    "max_length": 20,
    "model_type": "plain",
    "num_beams": 1,
    "output_past": True,
    "pad_token_id": 0,
    "pruned_heads": {"1": [0, 2]},
    "temperature": 1.0,
    "top_k": 50,
    "torchscript": False,
    "use_bfloat16": False,
    "width": 32,
    "xla_device": True,
}
VERSION_4 = {
    "_name_or_path": "owner/plain",
    "architectures": ["PlainForMaskedLM"],
    "classifier_dropout": None,
    "eps": 1e-12,
    "gradient_checkpointing": False,
    "hidden_size": 32,
    "model_type": "plain",
    "position_embedding_type": "absolute",
    "problem_type": "regression",
    "torch_dtype": "float16",
    "transformers_version": "4.53.3",
    "use_cache": True,
}
VERSION_5 = {
    "architectures": ["PlainForMaskedLM"],
    "dtype": "bfloat16",
    "model_type": "plain",
    "ceiling": {"__float__": "Infinity"},
    "limits": [0.0, {"__float__": "-Infinity"}],
    "transformers_version": "5.23.0",
    "width": 32,
}


def save(folder: Path, values: Any, name: str = "config.json") -> Path:
    path = folder / name
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def test_version_3(tmp_path: Path) -> None:
    save(tmp_path, VERSION_3)
    config = PlainConfig.from_pretrained(tmp_path)
    assert (config.width, config.eps, config.num_labels, config.id2label[1]) == (32, 1e-12, 3, "neutral")
    assert config.pruned_heads == {1: [0, 2]}
    assert config.generation_parameters()["top_k"] == 50
    assert (config.xla_device, config._num_labels) == (True, 3)


def test_version_4(tmp_path: Path) -> None:
    save(tmp_path, VERSION_4)
    config = PlainConfig.from_pretrained(str(tmp_path))
    assert (config.width, str(config.dtype).removeprefix("torch."), config.problem_type) == (
        32,
        "float16",
        "regression",
    )
    assert (config.position_embedding_type, config.transformers_version) == ("absolute", "4.53.3")
    assert config.name_or_path == str(tmp_path)
    written = json.loads(config.to_json_string())
    assert written["dtype"] == "float16"
    assert written["transformers_version"] == "4.53.3"
    assert written.keys().isdisjoint({"torch_dtype", "hidden_size", "_name_or_path"})


def test_version_5(tmp_path: Path) -> None:
    save(tmp_path, VERSION_5)
    config = PlainConfig.from_pretrained(tmp_path)
    assert (config.ceiling, config.limits) == (math.inf, [0.0, -math.inf])
    assert json.loads(config.to_json_string()).items() >= VERSION_5.items()


@pytest.mark.parametrize("values", [VERSION_3, VERSION_4, VERSION_5])
def test_nothing_of_an_old_file_is_lost(values: dict[str, Any], tmp_path: Path) -> None:
    save(tmp_path, values)
    config = PlainConfig.from_pretrained(tmp_path)
    config.save_pretrained(tmp_path / "again")
    again = PlainConfig.from_pretrained(tmp_path / "again")
    assert again == config
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    renamed = {"torch_dtype": "dtype", "hidden_size": "width"}
    for key, value in values.items():
        if key not in (
            "_name_or_path",
            "torchscript",
        ):  # the path of another machine; a default of the base class
            assert written[renamed.get(key, key)] == value


def test_a_file_by_its_own_name(tmp_path: Path) -> None:
    path = save(tmp_path, {"width": 16}, "mine.json")
    save(tmp_path, {"width": 3})
    for name in (path, str(path)):
        config = PlainConfig.from_pretrained(name)
        assert (config.width, config.name_or_path) == (16, str(path))
    assert PlainConfig.from_json_file(path).width == 16


def test_overrides_and_what_is_left(tmp_path: Path) -> None:
    save(tmp_path, {"width": 16, "story": 1})
    config, unused = PlainConfig.from_pretrained(
        tmp_path, output_attentions=True, foo=False, hidden_size=4, story=2, return_unused_kwargs=True
    )
    assert (config.output_attentions, config.width, config.story) == (True, 4, 2)
    assert unused == {"foo": False}
    _, unused = PlainConfig.from_pretrained(tmp_path, trust_remote_code=True, return_unused_kwargs=True)
    assert unused == {}
    assert not hasattr(PlainConfig.from_pretrained(tmp_path, foo=False), "foo")
    with pytest.raises(ConfigValidationError, match="PlainConfig: width=0"):
        PlainConfig.from_pretrained(tmp_path, width=0)


def test_a_misspelt_option_is_warned_about(tmp_path: Path) -> None:
    save(tmp_path, {})
    with pytest.warns(ConfigWarning, match="'reviison'; did you mean 'revision'"):
        PlainConfig.from_pretrained(tmp_path, reviison="main")


def test_get_config_dict(tmp_path: Path) -> None:
    save(tmp_path, {"width": 16, "attn_implementation": "x"})
    values, rest = PlainConfig.get_config_dict(tmp_path, cache_dir=None, token=None, width=3, foo=1)
    assert values == {"width": 16, "attn_implementation": "x"}
    assert rest == {"width": 3, "foo": 1}


@pytest.mark.parametrize(
    "stored",
    [
        {"attn_implementation": "eager"},
        {"_attn_implementation": "eager"},
        {"attn_implementation": "eager", "_attn_implementation": "sdpa"},
        {"attn_implementation": "eager", "_attn_implementation": None, "_attn_implementation_autoset": True},
        {"_attn_implementation_internal": "flash_attention_2", "_attn_implementation_autoset": False},
        {"attn_implementation": {"": "eager"}, "_experts_implementation": "eager"},
    ],
    ids=str,
)
def test_a_file_never_chooses_the_attention(tmp_path: Path, stored: dict[str, Any]) -> None:
    """In silence, since every checkpoint that transformers wrote with such a key would warn."""
    save(tmp_path, {"model_type": "plain", "width": 16} | stored)
    for name in ("attn_implementation", "_attn_implementation"):
        config = PlainConfig.from_pretrained(tmp_path)
        assert config._attn_implementation is None
        assert not any("implementation" in key for key in config.to_dict())
        assert PlainConfig.from_pretrained(tmp_path, **{name: "chosen"})._attn_implementation == "chosen"
        assert PlainConfig.from_dict(stored, **{name: "chosen"})._attn_implementation == "chosen"


def test_subfolders_and_old_options(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    save(tmp_path / "sub", {"width": 16})
    with pytest.warns(FutureWarning, match="resume_download"):
        config = PlainConfig.from_pretrained(tmp_path, subfolder="sub", resume_download=True)
    assert config.width == 16
    assert config._commit_hash is None


def test_another_type_is_warned_about(tmp_path: Path) -> None:
    save(tmp_path, {"model_type": "other", "width": 16})
    with pytest.warns(
        ConfigWarning, match=r"config\.json describes a model of type 'other', and PlainConfig"
    ):
        assert PlainConfig.from_pretrained(tmp_path).model_type == "plain"
    assert PreTrainedConfig.from_pretrained(tmp_path).model_type == "other"


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", CorruptFileError, "empty"),
        ('{"width": 8', CorruptFileError, "line 1, column 12"),
        ('{"width": 8, "width": 9}', ConfigValidationError, "'width' is given twice"),
        ('{"a":' * 900 + "1" + "}" * 900, ResourceLimitError, "levels"),
        ("[" * 100_000, ResourceLimitError, "levels"),
        ('{"width": ' + "1" * 5000 + "}", ResourceLimitError, "digits"),
        ("[1, 2]", ConfigValidationError, "object with keys"),
        ('"text"', ConfigValidationError, "object with keys"),
        ("null", ConfigValidationError, "object with keys"),
        ('{"width": -32}', ConfigValidationError, "width=-32"),
        ('{"hidden_size": 0}', ConfigValidationError, "width=0"),
        ('{"width": 1000000000000}', ConfigValidationError, "at most 10000"),
        ('{"width": "32"}', ConfigValidationError, "without quotes"),
        ('{"width": true}', ConfigValidationError, "width=True"),
        ('{"width": null}', ConfigValidationError, "width=None"),
        ('{"eps": NaN}', ConfigValidationError, "eps=nan"),
        ('{"eps": Infinity}', ConfigValidationError, "eps=inf"),
        ('{"eps": 1e999}', ConfigValidationError, "eps=inf"),
        ('{"eps": {"__float__": "NaN"}}', ConfigValidationError, "eps=nan"),
        ('{"unknown": [1, {"deep": NaN}]}', ConfigValidationError, "unknown.deep=nan"),
        ('{"num_labels": 100000000}', ConfigValidationError, "num_labels=100000000"),
        ('{"to_dict": 1}', ConfigValidationError, "'to_dict' is a reserved name"),
        ('{"__class__": "x"}', ConfigValidationError, "reserved"),
        ('{"self": 1}', ConfigValidationError, "reserved"),
        ('{"dtype": "load"}', ConfigValidationError, "dtype='load'"),
        ('{"torch_dtype": 3}', ConfigValidationError, "dtype=3"),
        ('{"problem_type": "guess"}', ConfigValidationError, "problem_type='guess'"),
        ('{"model_type": 3}', ConfigValidationError, "model_type=3"),
        ('{"model_type": ["plain"]}', ConfigValidationError, "model_type="),
        ('{"id2label": [1]}', ConfigValidationError, "id2label"),
        ('{"pruned_heads": [1]}', ConfigValidationError, "pruned_heads"),
    ],
)
def test_damaged_files_are_named_with_what_is_wrong(
    text: str, error: type[Exception], words: str, tmp_path: Path
) -> None:
    path = save(tmp_path, text)
    with pytest.raises(error, match=words) as caught:
        PlainConfig.from_pretrained(tmp_path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 700 + len(str(path))


def test_bytes_that_are_not_utf8_and_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(CorruptFileError, match="not UTF-8"):
        PlainConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"width": 16}')
    assert PlainConfig.from_pretrained(tmp_path).width == 16


def test_an_absent_file_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("a")
    with pytest.raises(LoadError, match=r"no config\.json in .*; found: vocab\.txt") as caught:
        PlainConfig.from_pretrained(tmp_path)
    assert isinstance(caught.value, OSError)
    with pytest.raises(LoadError, match="does not exist"):
        PlainConfig.from_pretrained(tmp_path / "absent")


def test_errors_in_a_nested_configuration_name_file_and_way(tmp_path: Path) -> None:
    path = save(tmp_path, {"text_config": {"width": -1, "trust_remote_code": True}})
    with pytest.raises(
        ConfigValidationError, match="ComposedConfig: text_config: PlainConfig: width=-1"
    ) as caught:
        ComposedConfig.from_pretrained(tmp_path)
    assert str(caught.value).startswith(os.fspath(path))


def test_from_dict_does_not_touch_its_argument() -> None:
    values = {"width": 16, "torch_dtype": "float16", "story": {"a": [1]}, "id2label": {"0": "x"}}
    before = json.dumps(values)
    config = PlainConfig.from_dict(values)
    config.story["a"].append(2)
    config.id2label[0] = "y"
    assert json.dumps(values) == before
    with pytest.raises(ConfigValidationError, match="a dict is expected"):
        PlainConfig.from_dict("somewhere")  # type: ignore[call-overload]
    with pytest.raises(ConfigValidationError, match="is not a string"):
        PlainConfig.from_dict({3: 4})  # type: ignore[dict-item]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(sorted(dir(PlainConfig) + list(VERSION_3) + list(VERSION_4))) | st.text(max_size=6)


@pytest.mark.filterwarnings("ignore::formers.errors.ConfigWarning")
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_object_is_a_configuration_or_a_validation_error(values: dict[str, Any]) -> None:
    try:
        config = PlainConfig.from_dict(values)
    except ConfigValidationError:
        return
    again = PlainConfig.from_dict(json.loads(config.to_json_string()))
    assert again == config
    assert callable(config.to_dict)
    assert config._attn_implementation is None
