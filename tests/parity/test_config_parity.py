"""Configurations beside transformers': what each writes, the other reads to the same settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from formers.errors import ConfigValidationError
from formers_bert import BertConfig

both = pytest.mark.parametrize(
    "version",
    [pytest.param("5.23", marks=pytest.mark.parity), pytest.param("4.53", marks=pytest.mark.parity_old)],
)

SETTINGS: list[dict[str, Any]] = [
    {},
    {"hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 0},
    {"num_labels": 3},
    {"num_labels": 1, "problem_type": "regression"},
    {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}},
    {"is_decoder": True, "add_cross_attention": True, "use_cache": False, "tie_word_embeddings": False},
    {"output_attentions": True, "output_hidden_states": True, "return_dict": False},
    {"architectures": ["BertModel"], "classifier_dropout": 0.3, "pad_token_id": None, "eos_token_id": [1, 2]},
    {"story": {"a": [1, None, 0.5]}, "gradient_checkpointing": False, "chunk_size_feed_forward": 4},
    {
        "layer_norm_eps": 1e-5,
        "bos_token_id": 5,
        "hidden_act": "relu",
        "position_embedding_type": "relative_key",
    },
]


def comparable(config: Any) -> dict[str, Any]:
    """The settings of either library, labels with integer keys."""
    values = {name: getattr(config, name) for name in BertConfig().to_dict() if hasattr(config, name)}
    values["extra"] = getattr(config, "story", None)
    for name in ("_name_or_path", "torchscript", "pruned_heads"):
        values.pop(name, None)
    return values


@both
@pytest.mark.parametrize("settings", SETTINGS)
def test_transformers_reads_what_we_write(
    settings: dict[str, Any], version: str, oracle: Any, tmp_path: Path
) -> None:
    config = BertConfig(**settings)
    config.save_pretrained(tmp_path)
    theirs = oracle.BertConfig.from_pretrained(tmp_path)
    expected = comparable(config)
    assert comparable(theirs) == {name: expected[name] for name in comparable(theirs)}
    assert oracle.AutoConfig.from_pretrained(tmp_path).model_type == "bert"


@both
@pytest.mark.parametrize("use_diff", [True, False])
@pytest.mark.parametrize("settings", SETTINGS)
def test_we_read_what_transformers_writes(
    settings: dict[str, Any], use_diff: bool, version: str, oracle: Any, tmp_path: Path
) -> None:
    theirs = oracle.BertConfig(**settings)
    theirs.to_json_file(tmp_path / "config.json", use_diff=use_diff)
    config = BertConfig.from_pretrained(tmp_path)
    expected = comparable(theirs)
    assert {name: value for name, value in comparable(config).items() if name in expected} == expected
    config.save_pretrained(tmp_path / "again")
    again = oracle.BertConfig.from_pretrained(tmp_path / "again")
    assert {name: value for name, value in comparable(again).items() if name in expected} == expected


@pytest.mark.parity
@pytest.mark.parametrize("settings", SETTINGS)
def test_the_files_are_the_same(settings: dict[str, Any], oracle: Any) -> None:
    """Apart from ``position_embedding_type``, which version 5 dropped."""
    ours = BertConfig(**settings).to_json_string()
    theirs = oracle.BertConfig(**settings).to_json_string()
    apart = ('  "transformers_version"', '  "position_embedding_type"')
    assert [line for line in ours.splitlines() if not line.startswith(apart)] == [
        line for line in theirs.splitlines() if not line.startswith(apart)
    ]


@pytest.mark.parity
def test_the_keys_of_to_dict_are_theirs(oracle: Any) -> None:
    theirs = oracle.BertConfig().to_dict()
    ours = BertConfig().to_dict()
    assert {name: ours[name] for name in theirs.keys() & ours.keys()} == {
        name: theirs[name] for name in theirs.keys() & ours.keys()
    }
    assert theirs.keys() - ours.keys() == {"transformers_version"}
    assert ours.keys() - theirs.keys() == {"position_embedding_type", "pruned_heads", "torchscript"}


@pytest.mark.parity
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", None])
def test_dtypes_in_both_directions(name: str | None, oracle: Any, tmp_path: Path) -> None:
    BertConfig(dtype=name).save_pretrained(tmp_path / "ours")
    theirs = oracle.BertConfig.from_pretrained(tmp_path / "ours")
    assert theirs.dtype == BertConfig(dtype=name).dtype
    theirs.save_pretrained(tmp_path / "theirs")
    assert BertConfig.from_pretrained(tmp_path / "theirs").dtype == theirs.dtype


@pytest.mark.parity_old
@pytest.mark.parametrize("name", ["float16", "bfloat16", None])
def test_the_old_name_of_the_dtype(name: str | None, oracle: Any, tmp_path: Path) -> None:
    oracle.BertConfig(torch_dtype=name).save_pretrained(tmp_path)
    config = BertConfig.from_pretrained(tmp_path)
    assert config.dtype == config.torch_dtype == BertConfig(dtype=name).dtype


@both
@pytest.mark.parametrize(
    "text",
    [
        "hidden_size=10,hidden_dropout_prob=0.2,use_cache=false,hidden_act=relu",
        "layer_norm_eps=1e-6,vocab_size=7",
    ],
)
def test_update_from_string(text: str, version: str, oracle: Any) -> None:
    theirs = oracle.BertConfig(num_attention_heads=1)
    ours = BertConfig(num_attention_heads=1)
    theirs.update_from_string(text)
    ours.update_from_string(text)
    for part in text.split(","):
        name = part.partition("=")[0]
        assert getattr(ours, name) == getattr(theirs, name)


@both
@pytest.mark.parametrize("text", ["absent=1", "use_cache=maybe", "hidden_size=1.5", "hidden_size"])
def test_bad_strings_raise_on_both_sides(text: str, version: str, oracle: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        oracle.BertConfig().update_from_string(text)
    with pytest.raises(ConfigValidationError):
        BertConfig().update_from_string(text)


@both
def test_overrides_and_unused_arguments(version: str, oracle: Any, tmp_path: Path) -> None:
    BertConfig(hidden_size=24, num_attention_heads=2).save_pretrained(tmp_path)
    options = {"output_attentions": True, "foo": False, "num_labels": 3, "return_unused_kwargs": True}
    ours, unused = BertConfig.from_pretrained(tmp_path, **options)
    theirs, their_unused = oracle.BertConfig.from_pretrained(tmp_path, **options)
    assert unused == their_unused == {"foo": False}
    assert (ours.output_attentions, ours.id2label) == (theirs.output_attentions, theirs.id2label)


@pytest.mark.parity
def test_special_numbers_in_both_directions(oracle: Any, tmp_path: Path) -> None:
    limits = [0.0, float("inf"), float("-inf")]
    BertConfig(limits=limits).save_pretrained(tmp_path / "ours")
    assert oracle.BertConfig.from_pretrained(tmp_path / "ours").limits == limits
    oracle.BertConfig(limits=limits).save_pretrained(tmp_path / "theirs")
    assert BertConfig.from_pretrained(tmp_path / "theirs").limits == limits


@both
def test_generation_parameters_of_a_file_go_through(version: str, oracle: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert", "max_length": 30, "num_beams": 4}')
    config = BertConfig.from_pretrained(tmp_path)
    assert config.generation_parameters() == {"max_length": 30, "num_beams": 4}
    config.save_pretrained(tmp_path / "again")
    generation = oracle.GenerationConfig.from_pretrained(tmp_path / "again", config_file_name="config.json")
    assert (generation.max_length, generation.num_beams) == (30, 4)
