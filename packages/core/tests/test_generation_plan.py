"""``GenerationPlan``: where each value comes from, what is refused before the model runs, how it is shown."""

from __future__ import annotations

import copy
import re
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formers import GenerationConfig, GenerationWarning
from formers.config import PreTrainedConfig
from formers.errors import ConfigValidationError, GenerationArgumentError, GenerationError
from formers.generation.defaults import DEFAULTS, NONE_IS_OFF
from formers.generation.plan import FIELDS, GenerationPlan, resolve


class ToyConfig(PreTrainedConfig):
    model_type = "toy"
    vocab_size: int = 30
    eos_token_id: int | list[int] | None = None
    bos_token_id: int | None = None
    pad_token_id: int | None = None


def from_file(**values: Any) -> GenerationConfig:
    return GenerationConfig._from_data(values, "file")


def plan(
    arguments: dict[str, Any] | None = None,
    given: dict[str, Any] | None = None,
    model: GenerationConfig | None = None,
    config: PreTrainedConfig | None = None,
) -> GenerationPlan:
    return resolve(
        arguments or {},
        given=None if given is None else GenerationConfig(**given),
        model=model or GenerationConfig(),
        config=config or ToyConfig(),
    )


def test_the_nearest_place_counts() -> None:
    model = from_file(top_k=7, temperature=0.5, no_repeat_ngram_size=2, do_sample=True)
    model.min_length = 3
    decided = plan({"top_k": 5}, {"top_k": 6, "temperature": 0.6}, model)
    found = {name: (getattr(decided, name), decided.origin(name)) for name in FIELDS}
    assert found["top_k"] == (5, "argument")
    assert found["temperature"] == (0.6, "generation_config argument")
    assert found["no_repeat_ngram_size"] == (2, "file")
    assert found["min_length"] == (3, "model.generation_config")
    assert found["top_p"] == (1.0, "default")
    assert plan(model=GenerationConfig.from_model_config({"top_k": 4})).setting("top_k")[:2] == (4, "model")


@given(
    st.sampled_from(
        sorted(set(DEFAULTS) - {"max_new_tokens", "diversity_penalty", "num_return_sequences", "use_mtp"})
    ),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_every_field_is_looked_for_in_the_same_places(name: str, present: list[bool]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GenerationWarning)
        value = DEFAULTS[name]
        if name == "token_healing":
            return
        places = ({name: value} if here else {} for here in present)
        decided = plan(next(places), next(places), from_file(**next(places)))
    origins = ["argument", "generation_config argument", "file", "default"]
    assert decided.origin(name) == origins[[*present, True].index(True)]
    assert getattr(decided, name) == value


def test_defaults() -> None:
    decided = plan()
    assert decided.to_dict() == {name: DEFAULTS.get(name) for name in FIELDS}
    assert {decided.origin(name) for name in FIELDS} == {"default"}
    assert decided.eos_token_ids == ()


def test_none_switches_off_or_looks_further() -> None:
    model = from_file(do_sample=True, top_k=7, temperature=0.5, eos_token_id=2, num_beams=1, max_length=12)
    decided = plan(
        dict.fromkeys(("top_k", "eos_token_id", "num_beams", "max_length", "do_sample")),
        model=model,
    )
    assert decided.setting("top_k")[:2] == (None, "argument")
    assert decided.setting("eos_token_id")[:2] == (None, "argument")
    assert decided.eos_token_ids == ()
    assert (decided.do_sample, decided.max_length, decided.num_beams) == (True, 12, 1)
    assert {"top_k", "temperature", "eos_token_id"} <= NONE_IS_OFF


@pytest.mark.parametrize(
    ("arguments", "given", "file", "expected", "origin"),
    [
        ({}, None, {}, 23, "derived"),
        ({"max_new_tokens": 4}, None, {}, 7, "derived"),
        ({"max_length": 9}, None, {}, 9, "argument"),
        ({}, None, {"max_length": 9}, 9, "file"),
        ({}, {"max_length": 8}, {"max_length": 9}, 8, "generation_config argument"),
        ({"max_new_tokens": 4}, None, {"max_length": 9}, 7, "derived"),
        ({"max_length": 9}, None, {"max_new_tokens": 4}, 9, "argument"),
        ({"max_length": 9}, {"max_new_tokens": 4}, {}, 9, "argument"),
        ({}, None, {"max_new_tokens": 4, "max_length": 9}, 7, "derived"),
    ],
)
def test_one_limit(
    arguments: dict[str, Any], given: dict[str, Any] | None, file: dict[str, Any], expected: int, origin: str
) -> None:
    decided = plan(arguments, given, from_file(**file)).for_prompt(3)
    assert decided.setting("max_length")[:2] == (expected, origin)
    assert decided.max_new_tokens == expected - 3


def test_two_limits_in_one_place_are_warned_about() -> None:
    with pytest.warns(GenerationWarning, match="max_new_tokens=4 and max_length=9 are two limits"):
        assert plan({"max_new_tokens": 4, "max_length": 9}).for_prompt(3).max_length == 7
    with pytest.warns(GenerationWarning, match="min_new_tokens=2 and min_length=9"):
        decided = plan(given={"min_new_tokens": 2, "min_length": 9}).for_prompt(3)
    assert (decided.min_length, decided.min_new_tokens) == (5, 2)


def test_minimum() -> None:
    assert plan({"min_length": 9}).for_prompt(3).min_length == 9
    decided = plan({"min_new_tokens": 5}).for_prompt(3)
    assert decided.setting("min_length") == (8, "derived", "prompt of 3 + min_new_tokens")
    # A checkpoint's minimum does not get in the way of a short answer.
    assert plan({"max_new_tokens": 2}, model=from_file(min_length=9)).for_prompt(3).min_length == 9
    for arguments in ({"min_length": 40}, {"min_new_tokens": 21}, {"min_new_tokens": 4, "max_new_tokens": 3}):
        with pytest.raises(GenerationArgumentError, match="cannot be reached with max_new_tokens="):
            plan(arguments).for_prompt(3)
    with pytest.raises(
        GenerationArgumentError, match=r"min_length=7 \(argument\).*max_length=5 \(generation_conf"
    ):
        plan({"min_length": 7}, model=from_file(max_length=5)).for_prompt(3)


def test_embedded_prompts_count() -> None:
    for arguments, expected in (
        ({}, (20, 20, 0)),
        ({"max_length": 9}, (6, 6, 0)),
        ({"max_new_tokens": 4}, (4, 4, 0)),
        ({"min_length": 5}, (20, 20, 2)),
        ({"min_new_tokens": 5}, (20, 20, 5)),
    ):
        decided = plan(arguments).for_prompt(0, embedded=3)
        assert (decided.max_length, decided.max_new_tokens, decided.min_length) == expected
    with pytest.raises(GenerationArgumentError, match=r"max_length=3 .* which has 3 tokens"):
        plan({"max_length": 3}).for_prompt(0, embedded=3)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_limit_that_leaves_no_room_is_refused(limit: int) -> None:
    for decided in (plan({"max_length": limit}), plan(model=from_file(max_length=limit))):
        with pytest.raises(
            GenerationArgumentError, match=f"max_length={limit} .* counts the prompt, which has 3"
        ):
            decided.for_prompt(3)


def test_the_positions_of_the_model() -> None:
    decided = plan().for_prompt(3, positions=10)
    assert decided.setting("max_length") == (10, "derived", "the model has 10 positions")
    assert decided.max_new_tokens == 7
    assert plan(model=from_file(max_length=99)).for_prompt(3, positions=10).max_length == 10
    assert plan().for_prompt(0, embedded=3, positions=10).max_length == 7
    assert plan({"max_new_tokens": 7}).for_prompt(3, positions=10).max_length == 10
    for arguments in ({"max_new_tokens": 8}, {"max_length": 11}):
        with pytest.raises(GenerationArgumentError, match="Set max_new_tokens to 7 or less"):
            plan(arguments).for_prompt(3, positions=10)
    for length in (10, 11):
        with pytest.raises(
            GenerationArgumentError, match=f"the prompt has {length} tokens, and the model 10 posit"
        ):
            plan().for_prompt(length, positions=10)


def test_special_tokens_come_from_the_model_where_the_settings_have_none() -> None:
    config = ToyConfig(eos_token_id=[2, 3], bos_token_id=1)
    decided = plan(model=from_file(top_k=3), config=config)
    assert decided.setting("eos_token_id")[:2] == ([2, 3], "model")
    assert decided.eos_token_ids == (2, 3)
    assert decided.setting("pad_token_id") == (2, "derived", "from eos_token_id")
    config.pad_token_id = 9  # as for a model that has no padding token of its own
    assert plan(config=config).setting("pad_token_id")[:2] == (9, "model")
    assert plan({"eos_token_id": 4}, config=config).eos_token_ids == (4,)


def test_a_token_that_the_program_took_away_stays_away() -> None:
    model = GenerationConfig.from_model_config(ToyConfig(eos_token_id=2))
    model.eos_token_id = None
    assert plan(model=model, config=ToyConfig(eos_token_id=2)).eos_token_ids == ()
    assert plan({"eos_token_id": None}, config=ToyConfig(eos_token_id=2)).pad_token_id is None


def test_negative_ids_mean_none() -> None:
    decided = plan({"eos_token_id": -1}, model=from_file(pad_token_id=-1, bos_token_id=-1))
    assert (decided.eos_token_ids, decided.pad_token_id, decided.bos_token_id) == ((), None, None)
    assert plan({"eos_token_id": [4, -1]}).eos_token_ids == (4,)
    assert plan({"eos_token_id": []}).eos_token_ids == ()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max_new_tokens": 2.5}, r"max_new_tokens=2\.5 \(float\).*expected: int"),
    ({"max_new_tokens": True}, "max_new_tokens=True"),
    ({"max_new_tokens": "3"}, "max_new_tokens='3'.*without quotes"),
    ({"max_new_tokens": 0}, "at least 1"),
    ({"num_beams": -1}, "num_beams=-1.*at least 1"),
    ({"do_sample": True, "temperature": 0.0}, "temperature=0.0.*do_sample=False"),
    ({"do_sample": True, "temperature": 1e-40}, "temperature=1e-40.*do_sample=False"),
    ({"do_sample": True, "top_k": -1}, "top_k=-1.*0 switches it off"),
    ({"do_sample": True, "typical_p": 0}, "typical_p=0.0"),
    ({"do_sample": True, "top_h": 0}, "top_h=0.0"),
    ({"num_return_sequences": 3}, "do_sample=True, or num_beams=3"),
    ({"num_beams": 2, "num_return_sequences": 3}, "num_beams=2"),
    ({"num_beams": 4, "num_beam_groups": 3, "diversity_penalty": 1.0}, "num_beam_groups=3.*multiple"),
    ({"num_beam_groups": 2, "diversity_penalty": 1.0}, "num_beam_groups=2.*does not divide num_beams=1"),
    ({"num_beams": 4, "num_beam_groups": 2}, r"diversity_penalty=0.0 \(default\)"),
    ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": -1}, "diversity_penalty=-1.0"),
    (
        {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0, "do_sample": True},
        "cannot be combined with do_sample",
    ),
    ({"bad_words_ids": []}, r"bad_words_ids=\[\]"),
    ({"bad_words_ids": [[1], []]}, "bad_words_ids=.*empty"),
    ({"bad_words_ids": [[30]]}, r"bad_words_ids \(argument\) has the id 30.*0 to 29"),
    ({"sequence_bias": {}}, "sequence_bias={}"),
    ({"sequence_bias": {(1, 2): "x"}}, "sequence_bias="),
    ({"sequence_bias": {(-1,): 1.0}}, "sequence_bias="),
    ({"sequence_bias": {"a": 1.0}}, "sequence_bias="),
    ({"sequence_bias": [[1, 2]]}, "sequence_bias="),
    ({"sequence_bias": [1]}, "sequence_bias="),
    ({"sequence_bias": {(1, 99): 1.0}}, "the id 99"),
    ({"suppress_tokens": [30]}, "suppress_tokens.*the id 30"),
    ({"begin_suppress_tokens": [30]}, "the id 30"),
    ({"forced_bos_token_id": 30}, "the id 30"),
    ({"forced_eos_token_id": [1, 30]}, "the id 30"),
    ({"eos_token_id": 30}, "eos_token_id.*the id 30"),
    ({"pad_token_id": 30}, "pad_token_id.*the id 30"),
    ({"exponential_decay_length_penalty": (3,)}, "exponential_decay_length_penalty="),
    ({"exponential_decay_length_penalty": 3}, "exponential_decay_length_penalty=3"),
    ({"exponential_decay_length_penalty": (-1, 1.2)}, "exponential_decay_length_penalty="),
    ({"stop_strings": ""}, "stop_strings=''"),
    ({"stop_strings": ["a", ""]}, "stop_strings="),
    ({"token_healing": True}, "token_healing=True.*prefix_allowed_tokens_fn"),
    ({"assistant_early_exit": 2}, "assistant_early_exit=2.*assistant_model"),
    ({"use_mtp": True}, "use_mtp=True"),
    ({"nonsense": 1}, "'nonsense' is not a setting"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=str)
def test_what_cannot_be_right_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(GenerationArgumentError, match=message) as error:
        plan(arguments)
    assert str(error.value).startswith("generate(): ")
    assert isinstance(error.value, ConfigValidationError | ValueError)


def test_the_same_is_refused_where_a_file_says_it_and_the_file_is_named() -> None:
    with pytest.raises(GenerationArgumentError, match=r"top_k=-1 \(generation_config.json\)"):
        plan({"do_sample": True}, model=from_file(top_k=-1))
    plan(model=from_file(top_k=-1, temperature=0.0))  # without sampling they do nothing


def test_special_tokens_of_a_checkpoint_may_lie_outside_the_vocabulary() -> None:
    decided = plan(model=from_file(eos_token_id=50256), config=ToyConfig(bos_token_id=50256))
    assert decided.eos_token_ids == (50256,)


NO_EFFECT: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 0.5}, "temperature=0.5 has no effect without do_sample=True"),
    ({"top_p": 0.5}, "top_p=0.5 has no effect without do_sample=True"),
    ({"length_penalty": 2.0}, "without num_beams above 1"),
    ({"early_stopping": True}, "without num_beams above 1"),
    ({"num_beams": 2, "diversity_penalty": 0.5}, "without num_beam_groups above 1"),
    ({"output_scores": True}, "without return_dict_in_generate=True"),
    ({"use_cache": False, "cache_implementation": "static"}, "without use_cache=True"),
    ({"max_cache_len": 50}, 'without cache_implementation="static"'),
]


@pytest.mark.parametrize(("arguments", "message"), NO_EFFECT, ids=str)
def test_a_setting_of_the_call_without_effect_is_warned_about(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.warns(GenerationWarning, match=message):
        plan(arguments)
    with pytest.warns(GenerationWarning, match=message):
        plan(given=arguments)


def test_a_correct_call_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for arguments in (
            {},
            {"do_sample": False, "temperature": None, "top_p": None, "top_k": None},
            {"do_sample": False, "temperature": 1.0, "top_p": 1.0, "top_k": 50},
            {"max_new_tokens": 5, "eos_token_id": 2},
            {"penalty_alpha": 0.6, "top_k": 4},
            {"cache_implementation": "static", "max_cache_len": 50},
        ):
            plan(arguments, model=from_file(max_length=9, eos_token_id=2)).for_prompt(3)
        # What a checkpoint brings is not the caller's mistake.
        file = from_file(temperature=0.6, top_p=0.9, do_sample=True, max_length=40, max_new_tokens=9)
        plan({"do_sample": False}, model=file)
        resolve({"do_sample": False}, given=copy.deepcopy(file), model=file)


def test_a_plan_does_not_change() -> None:
    decided = plan({"max_new_tokens": 4})
    with pytest.raises(AttributeError, match=r"plan\.changed\(num_beams=\.\.\.\)"):
        decided.num_beams = 3
    with pytest.raises(AttributeError, match="does not change"):
        del decided.num_beams
    other = decided.changed(num_beams=3, note="for the test")
    assert other.setting("num_beams") == (3, "derived", "for the test")
    assert (decided.num_beams, copy.deepcopy(other).num_beams) == (1, 3)
    for ask in (decided.origin, decided.setting, lambda name: decided.changed(**{name: 1})):
        with pytest.raises(KeyError):
            ask("nonsense")


def test_further_names_are_there_for_plugins() -> None:
    model = from_file(mine=1, yours=2, transformers_version="4.1")
    given = GenerationConfig(mine=3)
    assert resolve({}, given=given, model=model).custom == {"mine": 3, "yours": 2}


def test_modes_and_remedies() -> None:
    assert plan().mode() == "greedy_search"
    assert plan().mode(assisted=True) == "assisted_generation"
    assert (
        plan({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0}).mode() == "group_beam_search"
    )
    contrastive = plan({"penalty_alpha": 0.6})
    assert contrastive.mode() == "contrastive_search"
    assert "pip install formers-decoding-contrastive" in contrastive.remedy()
    assert "prefix_allowed_tokens_fn" in plan({"force_words_ids": [[1]]}).remedy()
    assert plan().remedy() == ""


def test_a_cache_of_another_library_is_the_default_one() -> None:
    assert plan(model=from_file(cache_implementation="hybrid")).cache_implementation is None


SNAPSHOT = """\
Generation plan: sampling

setting           value       origin
----------------  ----------  --------------------------------------------------------
length
  max_length      23          derived: prompt of 3 + max_new_tokens
  max_new_tokens  20          default
  min_length      5           derived: prompt of 3 + min_new_tokens
  min_new_tokens  2           argument
strategy
  do_sample       True        argument
scores
  temperature     0.7         generation_config.json
  top_k           50          default
  top_p           off         argument
  bad_words_ids   [[1], [2]]  generation_config argument
special tokens
  bos_token_id    1           model configuration
  eos_token_id    [2, 3]      model.generation_config
  pad_token_id    2           derived: from eos_token_id
output
  output_scores   True        argument; no effect without return_dict_in_generate=True

59 settings that change nothing here are left out; explain(everything=True) shows them."""


def test_the_table() -> None:
    model = from_file(temperature=0.7, use_cache=True, num_beams=1)
    model.eos_token_id = [2, 3]
    with pytest.warns(GenerationWarning, match="output_scores"):
        decided = plan(
            {"do_sample": True, "min_new_tokens": 2, "top_p": None, "output_scores": True},
            {"bad_words_ids": [[1], [2]]},
            model,
            ToyConfig(bos_token_id=1),
        ).for_prompt(3)
    assert decided.explain() == SNAPSHOT
    assert repr(decided) == SNAPSHOT
    whole = decided.explain(everything=True)
    shown = re.findall(r"^  (\w+)", whole, re.MULTILINE)
    assert shown == list(FIELDS)
    assert "left out" not in whole
    assert len({line.index("default") for line in whole.splitlines() if line.endswith("  default")}) == 1


def test_the_shortest_table() -> None:
    assert plan().explain() == (
        "Generation plan: greedy search\n\n"
        "setting           value  origin\n"
        "----------------  -----  -------\n"
        "length\n"
        "  max_new_tokens  20     default\n\n"
        f"{len(FIELDS) - 1} settings that change nothing here are left out; explain(everything=True) shows them."
    )


def test_long_values_are_shortened() -> None:
    shown = plan({"suppress_tokens": list(range(30))}).explain()
    assert max(map(len, shown.splitlines())) < 100
    assert "..." in shown


def test_an_error_carries_what_was_generated() -> None:
    error = GenerationError("NaN in row 1", sequences="tokens", row=1, step=4)  # type: ignore[arg-type]
    assert (str(error), error.sequences, error.row, error.step) == ("NaN in row 1", "tokens", 1, 4)
    assert isinstance(error, RuntimeError)
