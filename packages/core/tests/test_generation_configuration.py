"""``GenerationConfig``: what it accepts, refuses, keeps, reads and writes."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formers import GenerationConfig, GenerationWarning
from formers.config import PreTrainedConfig
from formers.errors import ConfigValidationError, ConfigWarning, CorruptFileError, LoadError
from formers.files.folder import Folder
from formers.generation import files
from formers.generation.defaults import DEFAULTS, GROUPS, NEEDS, NONE_IS_OFF, UNSUPPORTED
from formers.generation.settings import METADATA


def written(folder: Path, values: Any, name: str = "generation_config.json") -> Path:
    (folder / name).write_text(values if isinstance(values, str) else json.dumps(values))
    return folder


def test_nothing_is_set_at_first() -> None:
    config = GenerationConfig()
    assert set(config.to_dict().values()) == {None}
    assert config.to_diff_dict() == {}
    assert config == GenerationConfig()
    assert repr(GenerationConfig(top_k=3, _from_model_config=True)) == 'GenerationConfig {\n  "top_k": 3\n}\n'


def test_every_field_has_its_place() -> None:
    fields = [name for name in GenerationConfig._fields if name not in METADATA]
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(fields)
    for table in (DEFAULTS, NEEDS, NONE_IS_OFF, UNSUPPORTED):
        assert set(table) <= set(fields)
    for name, value in DEFAULTS.items():
        assert GenerationConfig._fields[name].check(value, "") == value
    assert [name for name in fields if name not in (GenerationConfig.__doc__ or "")] == []


BAD: list[dict[str, Any]] = [
    {"max_new_tokens": 0},
    {"max_new_tokens": -1},
    {"max_new_tokens": 2.5},
    {"max_new_tokens": True},
    {"max_new_tokens": "3"},
    {"max_length": 0},
    {"min_length": -1},
    {"num_beams": 0},
    {"num_beams": 2.0},
    {"num_return_sequences": 0},
    {"temperature": -1.0},
    {"temperature": float("nan")},
    {"temperature": float("inf")},
    {"temperature": "hot"},
    {"top_k": 2.5},
    {"top_k": -2},
    {"top_p": 1.5},
    {"top_p": -0.1},
    {"min_p": 2},
    {"typical_p": 1.1},
    {"repetition_penalty": 0.0},
    {"repetition_penalty": -1.0},
    {"no_repeat_ngram_size": -1},
    {"do_sample": 1},
    {"early_stopping": "maybe"},
    {"early_stopping": 1},
    {"eos_token_id": "2"},
    {"eos_token_id": [1, 2.0]},
    {"bad_words_ids": [1, 2]},
    {"bad_words_ids": [[-1]]},
    {"suppress_tokens": 3},
    {"forced_bos_token_id": -1},
    {"cache_implementation": "foo"},
    {"stop_strings": [1]},
    {"max_time": -1},
    {"num_assistant_tokens_schedule": "x"},
]


@pytest.mark.parametrize("wrong", BAD, ids=str)
def test_a_wrong_value_is_refused_wherever_it_is_set(wrong: dict[str, Any], tmp_path: Path) -> None:
    ((name, value),) = wrong.items()
    for attempt in (
        lambda: GenerationConfig(**wrong),
        lambda: setattr(GenerationConfig(), name, value),
        lambda: GenerationConfig().update(**wrong),
        lambda: GenerationConfig.from_dict(wrong),
    ):
        with pytest.raises(ConfigValidationError, match=f"GenerationConfig: {name}=.*expected: "):
            attempt()
    with pytest.raises(ConfigValidationError, match=f"generation_config.json: GenerationConfig: {name}="):
        GenerationConfig.from_pretrained(written(tmp_path, wrong))


def test_numbers_have_the_declared_type() -> None:
    config = GenerationConfig(temperature=2, exponential_decay_length_penalty=[3, 2], top_k=5)
    assert repr(config.temperature) == "2.0"
    assert repr(config.exponential_decay_length_penalty) == "(3, 2.0)"


def test_tensors_are_accepted_for_ids() -> None:
    torch = pytest.importorskip("torch")
    config = GenerationConfig(eos_token_id=torch.tensor([2, 3]), pad_token_id=torch.tensor(1))
    assert (config.eos_token_id, config.pad_token_id) == ([2, 3], 1)
    assert GenerationConfig(bad_words_ids=torch.tensor([[1, 2]])).bad_words_ids == [[1, 2]]
    assert GenerationConfig(suppress_tokens=torch.tensor([4])).suppress_tokens == [4]


def test_a_slip_in_code_is_warned_about_and_in_a_file_it_is_not(tmp_path: Path) -> None:
    with pytest.warns(ConfigWarning, match="no 'temprature'; did you mean 'temperature'"):
        config = GenerationConfig(temprature=0.3)
    with pytest.warns(ConfigWarning, match="did you mean 'num_beams'"):
        config.num_beam = 3
    read = GenerationConfig.from_pretrained(written(tmp_path, {"temprature": 0.3, "mine": [1]}))
    assert read.to_diff_dict() == {"temprature": 0.3, "mine": [1]}
    read.mine = 4  # a name that is there already


@pytest.mark.parametrize("name", ["update", "to_dict", "_fields", "_origins", "__class__", "_kind"])
def test_reserved_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigValidationError, match="reserved"):
        GenerationConfig(**{name: 1})
    with pytest.raises(ConfigValidationError, match="reserved"):
        GenerationConfig.from_pretrained(written(tmp_path, {name: 1}))


@pytest.mark.parametrize(
    "contradiction",
    [
        {"num_beams": 2, "num_return_sequences": 4},
        {"num_return_sequences": 3},
        {"num_beams": 2, "do_sample": True, "num_return_sequences": 4},
    ],
)
def test_contradictions_are_refused(contradiction: dict[str, int]) -> None:
    with pytest.raises(ConfigValidationError, match=r"num_return_sequences=.*Set "):
        GenerationConfig(**contradiction)
    config = GenerationConfig()
    for name, value in contradiction.items():
        setattr(config, name, value)  # one at a time, in any order
    with pytest.raises(ConfigValidationError, match="num_return_sequences="):
        config.validate()


def test_settings_without_effect_are_refused_by_strict_validation_only() -> None:
    config = GenerationConfig(temperature=0.9, do_sample=False, top_p=1.0, length_penalty=2.0)
    config.validate()
    with pytest.raises(ConfigValidationError) as error:
        config.validate(strict=True)
    assert str(error.value) == (
        "GenerationConfig: temperature=0.9 has no effect without do_sample=True; length_penalty=2.0 has no "
        "effect without num_beams above 1."
    )


def test_an_update_happens_whole_or_not_at_all() -> None:
    config = GenerationConfig(top_k=3)
    assert config.update(top_k=5, foo=3, top_p=None) == {"foo": 3}
    assert config.update(defaults_only=True, top_k=9, top_p=0.2) == {"top_k": 9}
    assert config.update(allow_custom_entries=True, mine=9) == {}
    before = config.to_dict()
    for wrong in ({"top_k": 1, "max_new_tokens": -3}, {"top_k": 1, "num_return_sequences": 3}):
        with pytest.raises(ConfigValidationError):
            config.update(**wrong)
        assert config.to_dict() == before
    assert (config.top_k, config.top_p, config.mine) == (5, 0.2, 9)


def test_copies_are_equal_and_apart() -> None:
    config = GenerationConfig(eos_token_id=[1, 2], mine={"a": [1]})
    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other == config
        other.eos_token_id.append(3)
        assert config.eos_token_id == [1, 2]
    assert config != GenerationConfig(eos_token_id=[1, 2])
    assert config != {"eos_token_id": [1, 2]}
    exported = config.to_dict()
    exported["mine"]["a"].append(2)
    assert config.mine == {"a": [1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{bad", "not JSON"),
        ("", "empty"),
        ("[1]", "JSON object is expected"),
        ('{"top_k": 1, "top_k": 2}', "given twice"),
    ],
)
def test_a_corrupt_file_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError, match=message):
        GenerationConfig.from_pretrained(written(tmp_path, text))


def test_an_absent_file_is_an_error_only_where_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"no generation_config\.json"):
        GenerationConfig.from_pretrained(tmp_path)
    assert files.in_folder(GenerationConfig, Folder.open(tmp_path)) is None
    written(tmp_path, {"top_k": 4})
    assert files.in_folder(GenerationConfig, Folder.open(tmp_path)) == GenerationConfig(top_k=4)


def test_files_by_other_names(tmp_path: Path) -> None:
    written(tmp_path, {"top_k": 3, "model_type": "any"}, "config.json")
    config = GenerationConfig.from_pretrained(tmp_path, "config.json")
    assert config.to_diff_dict() == {"top_k": 3, "model_type": "any"}
    assert GenerationConfig.from_pretrained(tmp_path / "config.json") == config
    config.save_pretrained(tmp_path, "other.json")
    assert GenerationConfig.from_pretrained(tmp_path, "other.json") == config


def test_overrides_and_unused_arguments(tmp_path: Path) -> None:
    written(tmp_path, {"top_k": 3, "mine": 1})
    config, unused = GenerationConfig.from_pretrained(
        tmp_path, top_k=9, mine=2, return_unused_kwargs=True, trust_remote_code=False
    )
    assert (config.to_diff_dict(), unused) == ({"top_k": 9, "mine": 2}, {})
    config, unused = GenerationConfig.from_dict({"top_k": 3}, top_p=0.5, return_unused_kwargs=True)
    assert (config.to_diff_dict(), unused) == ({"top_k": 3, "top_p": 0.5}, {})


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.9, "do_sample": False},
        {"temperature": 0.0, "top_k": -1, "top_p": 0.0, "pad_token_id": -1},
        {"max_length": 9, "max_new_tokens": 9, "min_length": 20},
        {"output_scores": True, "return_dict_in_generate": False},
        {"num_beam_groups": 3, "num_beams": 4},
        {"exponential_decay_length_penalty": (3, 1.5), "mine": float("inf"), "eos_token_id": [1, 2]},
        {"watermarking_config": {"bias": 2.0}, "cache_config": {"a": 1}, "penalty_alpha": 0.5},
    ],
    ids=str,
)
def test_whatever_was_set_or_read_can_be_saved(settings: dict[str, Any], tmp_path: Path) -> None:
    config = GenerationConfig(**settings)
    config.save_pretrained(tmp_path)
    read = GenerationConfig.from_pretrained(tmp_path)
    assert read == config
    text = (tmp_path / "generation_config.json").read_text()
    read.save_pretrained(tmp_path)
    assert (tmp_path / "generation_config.json").read_text() == text


def test_what_json_cannot_hold_is_left_out_with_a_warning(tmp_path: Path) -> None:
    config = GenerationConfig(top_k=3, constraints=[object()])
    with pytest.warns(GenerationWarning, match="constraints=.*left out"):
        config.save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path) == GenerationConfig(top_k=3)


def test_a_bias_for_sequences_survives_json(tmp_path: Path) -> None:
    GenerationConfig(sequence_bias={(1, 2): 3.0, (4,): -1.0}).save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path).sequence_bias == [[[1, 2], 3.0], [[4], -1.0]]
    written(tmp_path, {"sequence_bias": {"(1, 2)": 3.0, "(4,)": -1.0}})  # as transformers writes it
    assert GenerationConfig.from_pretrained(tmp_path).sequence_bias == {(1, 2): 3.0, (4,): -1.0}


def test_options_of_the_text() -> None:
    config = GenerationConfig(top_k=3, top_p=0.5, transformers_version="4.1")
    assert json.loads(config.to_json_string(ignore_metadata=True)) == {"top_k": 3, "top_p": 0.5}
    assert json.loads(config.to_json_string(keys_to_pop=["top_p"])) == {
        "top_k": 3,
        "transformers_version": "4.1",
    }
    assert json.loads(config.to_json_string(use_diff=False)) == config.to_dict()


def test_saving_needs_a_folder_and_known_arguments(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        GenerationConfig().save_pretrained(tmp_path / "file")
    with pytest.raises(TypeError, match="push_to_hub is not set"):
        GenerationConfig().save_pretrained(tmp_path, repo_id="x")
    GenerationConfig(top_k=2).to_json_file(tmp_path / "new" / "mine.json")
    assert json.loads((tmp_path / "new" / "mine.json").read_text()) == {"top_k": 2}


class ToyConfig(PreTrainedConfig):
    model_type = "toy"
    vocab_size: int = 30
    use_cache: bool = True
    eos_token_id: int | list[int] | None = 2
    bos_token_id: int | None = 1


def test_a_model_configuration_gives_special_tokens_and_old_parameters() -> None:
    config = GenerationConfig.from_model_config(ToyConfig())
    assert config.to_diff_dict() == {
        "_from_model_config": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "output_attentions": False,
        "output_hidden_states": False,
        "use_cache": True,
    }
    old = ToyConfig.from_dict({"max_length": 30, "num_beams": 4, "eos_token_id": [2, 3], "vocab_size": 40})
    config = GenerationConfig.from_model_config(old)
    assert (config.max_length, config.num_beams, config.eos_token_id) == (30, 4, [2, 3])
    assert GenerationConfig.from_model_config(ToyConfig(output_attentions=True)).return_dict_in_generate


def test_a_composite_configuration_goes_before_its_decoder() -> None:
    class Pair(PreTrainedConfig):
        model_type = "pair"
        sub_configs = {"decoder": ToyConfig}  # noqa: RUF012

    config = GenerationConfig.from_model_config(Pair(decoder={"bos_token_id": 7}, eos_token_id=9))
    assert (config.bos_token_id, config.eos_token_id) == (7, 9)
    parts = {"eos_token_id": 4, "decoder": {"eos_token_id": 6, "bos_token_id": 3}}
    config = GenerationConfig.from_model_config(parts)
    assert (config.bos_token_id, config.eos_token_id) == (3, 4)


def test_a_wrong_parameter_of_a_model_configuration_says_where_it_is() -> None:
    with pytest.raises(ConfigValidationError, match=r"in the configuration of the model: .*num_beams='4'"):
        GenerationConfig.from_model_config(ToyConfig.from_dict({"num_beams": "4"}))


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "max_new_tokens": st.integers(1, 99),
        "do_sample": st.booleans(),
        "temperature": st.floats(0, 10),
        "top_k": st.integers(0, 99),
        "eos_token_id": st.integers(0, 9) | st.lists(st.integers(0, 9)),
        "bad_words_ids": st.lists(st.lists(st.integers(0, 9))),
        "early_stopping": st.booleans() | st.just("never"),
        "stop_strings": st.text() | st.lists(st.text()),
        "mine": st.none() | st.booleans() | st.text() | st.lists(st.integers()),
        "transformers_version": st.sampled_from(["4.53.3", "5.23.0"]),
    },
)


@given(SETTINGS)
def test_reading_what_was_written_is_the_same(settings: dict[str, Any]) -> None:
    config = GenerationConfig(**settings)
    for text in (config.to_json_string(), config.to_json_string(use_diff=False)):
        again = GenerationConfig.from_dict(json.loads(text))
        assert again == config
        assert again.to_json_string() == config.to_json_string()


def test_modes() -> None:
    assert GenerationConfig().get_generation_mode() == "greedy_search"
    assert GenerationConfig().get_generation_mode(assistant_model=object()) == "assisted_generation"
    assert GenerationConfig(num_beams=3, do_sample=True).get_generation_mode() == "beam_sample"


def test_no_heavy_import(tmp_path: Path) -> None:
    written(tmp_path, {"top_k": 4})
    program = (
        "import sys; from formers import GenerationConfig; from formers.generation.plan import resolve\n"
        "print(resolve({}, model=GenerationConfig.from_pretrained(sys.argv[1])).explain())\n"
        "print({'torch', 'numpy', 'huggingface_hub', 'pluggy', 'inspect', 'dataclasses'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_correct_use_warns_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = GenerationConfig(max_new_tokens=3, do_sample=True, temperature=0.5)
        config.save_pretrained(tmp_path)
        GenerationConfig.from_pretrained(tmp_path).validate(strict=True)
