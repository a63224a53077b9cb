"""Generation settings beside transformers': the same files, and the same decisions for the same call."""

from __future__ import annotations

import json
import logging
import random
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from formers import GenerationConfig
from formers.config import PreTrainedConfig
from formers.errors import FormersWarning, GenerationArgumentError, GenerationWarning
from formers.generation.defaults import DEFAULTS
from formers.generation.plan import FIELDS, GenerationPlan, resolve
from formers_bert import BertConfig

both = pytest.mark.parametrize(
    "version",
    [pytest.param("5.23", marks=pytest.mark.parity), pytest.param("4.53", marks=pytest.mark.parity_old)],
)

FILES: list[dict[str, Any]] = [
    {},
    {"max_new_tokens": 7, "do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 0},
    {"eos_token_id": [1, 2], "pad_token_id": 0, "bos_token_id": 3, "decoder_start_token_id": 0},
    {"num_beams": 4, "num_return_sequences": 2, "length_penalty": 0.5, "early_stopping": "never"},
    {"bad_words_ids": [[1], [2, 3]], "suppress_tokens": [4], "forced_eos_token_id": [5, 6]},
    {"exponential_decay_length_penalty": [3, 1.5], "stop_strings": ["a", "b"], "use_cache": False},
    {"mine": {"a": [1, None]}, "max_length": 20, "top_k": 50, "temperature": 1.0, "do_sample": True},
    {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "min_length": 2, "min_new_tokens": 1},
    {"cache_implementation": "static", "return_dict_in_generate": True, "output_scores": True},
    {"penalty_alpha": 0.6, "top_k": 4, "guidance_scale": 1.5, "renormalize_logits": True},
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5, "max_time": 2.5},
]


def settings_of(config: Any) -> dict[str, Any]:
    """What either library holds in a configuration, without what is about the file."""
    values = {name: value for name, value in config.to_diff_dict().items() if value is not None}
    for name in ("transformers_version", "_from_model_config"):
        values.pop(name, None)
    return json.loads(json.dumps(values))  # type: ignore[no-any-return]


@both
@pytest.mark.parametrize("settings", FILES, ids=str)
def test_transformers_reads_what_we_write(
    settings: dict[str, Any], version: str, oracle: Any, tmp_path: Path
) -> None:
    GenerationConfig(**settings).save_pretrained(tmp_path)
    theirs = oracle.GenerationConfig.from_pretrained(tmp_path)
    for name, value in settings.items():
        assert getattr(theirs, name) == value
    assert settings_of(theirs) == settings_of(oracle.GenerationConfig(**settings))


@both
@pytest.mark.parametrize("use_diff", [True, False])
@pytest.mark.parametrize("settings", FILES, ids=str)
def test_we_read_what_transformers_writes(
    settings: dict[str, Any], use_diff: bool, version: str, oracle: Any, tmp_path: Path
) -> None:
    theirs = oracle.GenerationConfig(**settings)
    theirs.to_json_file(tmp_path / "generation_config.json", use_diff=use_diff)
    ours = GenerationConfig.from_pretrained(tmp_path)
    expected = settings_of(theirs) if use_diff else json.loads(json.dumps(theirs.to_dict()))
    for name, value in expected.items():
        if name not in ("transformers_version", "_from_model_config"):
            assert json.loads(json.dumps(getattr(ours, name))) == value
    ours.save_pretrained(tmp_path)
    assert settings_of(oracle.GenerationConfig.from_pretrained(tmp_path)) == settings_of(theirs)


@pytest.mark.parity
@pytest.mark.parametrize("settings", FILES, ids=str)
def test_the_files_are_the_same(settings: dict[str, Any], oracle: Any) -> None:
    """Apart from the version of transformers, which formers is not."""
    theirs = oracle.GenerationConfig(**settings)
    ours = GenerationConfig(**settings)
    assert ours.to_json_string() == theirs.to_json_string(keys_to_pop=["transformers_version"])
    assert repr(ours) == repr(theirs)
    assert theirs.to_dict().keys() - ours.to_dict().keys() == set()
    assert ours.to_dict().keys() - theirs.to_dict().keys() == {"return_legacy_cache"}


@pytest.mark.parity
def test_what_is_in_force_without_settings(oracle: Any) -> None:
    theirs = dict(oracle.GenerationConfig._get_default_generation_params())
    assert theirs.pop("max_length") == DEFAULTS["max_new_tokens"]  # it is raised by the length of the prompt
    assert {name: DEFAULTS.get(name) for name in theirs} == theirs
    assert {DEFAULTS[name] for name in DEFAULTS.keys() - theirs.keys() - {"max_new_tokens"}} == {False}


@pytest.mark.parity
@pytest.mark.parametrize("settings", FILES, ids=str)
def test_updates_return_the_same(settings: dict[str, Any], oracle: Any) -> None:
    pairs = [(GenerationConfig(**settings), oracle.GenerationConfig(**settings))]
    for ours, theirs in pairs:
        for options in ({"defaults_only": True}, {}, {"allow_custom_entries": True}):
            change = {"top_k": 9, "temperature": 0.5, "do_sample": True, "other": 1}
            assert ours.update(**options, **change) == theirs.update(**options, **change)
            assert settings_of(ours) == settings_of(theirs)


@pytest.mark.parity
def test_modes(oracle: Any) -> None:
    choices: dict[str, list[Any]] = {
        "do_sample": [None, True, False],
        "num_beams": [None, 1, 3],
        "num_beam_groups": [None, 3],
        "penalty_alpha": [None, 0.0, 0.5],
        "top_k": [None, 0, 1, 5],
        "constraints": [None, [1]],
        "force_words_ids": [None, [[1]]],
        "dola_layers": [None, "high"],
        "prompt_lookup_num_tokens": [None, 3],
        "assistant_early_exit": [None, 2],
        "use_mtp": [None, True],
        "diversity_penalty": [None, 0.5],
    }
    chance, seen = random.Random(0), set()
    for _ in range(1500):
        chosen = {name: chance.choice(values) for name, values in choices.items() if chance.random() < 0.3}
        assistant = chance.choice([None, object()])
        ours = GenerationConfig(**chosen).get_generation_mode(assistant)
        assert ours == oracle.GenerationConfig(**chosen).get_generation_mode(assistant).value
        seen.add(ours)
    assert len(seen) == 9


@pytest.mark.parity
def test_settings_from_a_model_configuration(oracle: Any) -> None:
    pair = oracle.EncoderDecoderConfig.from_encoder_decoder_configs(
        oracle.BertConfig(), oracle.GPT2Config(bos_token_id=7, eos_token_id=8)
    )
    begun = oracle.EncoderDecoderConfig.from_encoder_decoder_configs(oracle.BertConfig(), oracle.GPT2Config())
    begun.decoder_start_token_id = 3
    for theirs in (
        oracle.GPT2Config(bos_token_id=1, eos_token_id=[1, 2]),
        oracle.GPT2Config(use_cache=False, output_attentions=True),
        oracle.T5Config(decoder_start_token_id=0),
        oracle.BartConfig(),
        oracle.LlavaConfig(text_config=oracle.GPT2Config(bos_token_id=7, use_cache=False)),
        pair,
        begun,
    ):
        ours = GenerationConfig.from_model_config(theirs.to_dict())
        assert settings_of(ours) == settings_of(oracle.GenerationConfig.from_model_config(theirs))
    for settings in ({"is_decoder": True}, {"output_hidden_states": True, "eos_token_id": 3}):
        ours = GenerationConfig.from_model_config(BertConfig(**settings))
        theirs = oracle.GenerationConfig.from_model_config(oracle.BertConfig(**settings))
        assert ours.to_diff_dict() == {
            name: value for name, value in theirs.to_diff_dict().items() if name != "transformers_version"
        }


# Decisions. A tiny model of each kind; calls as (model's settings, generation_config argument, arguments).

Call = tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]
CALLS: list[Call] = [
    ({}, None, {}),
    ({}, None, {"max_new_tokens": 4}),
    ({}, None, {"max_length": 9}),
    ({}, None, {"max_length": 100}),
    ({}, None, {"max_new_tokens": 4, "max_length": 5}),
    ({}, None, {"min_length": 9}),
    ({}, None, {"min_new_tokens": 5}),
    ({}, None, {"min_new_tokens": 2, "min_length": 9}),
    ({}, None, {"min_length": 9, "max_length": 9}),
    ({}, None, {"do_sample": True}),
    ({}, None, {"do_sample": True, "top_k": None}),
    ({}, None, {"do_sample": True, "top_k": 0, "temperature": 0.5}),
    ({}, None, {"do_sample": True, "temperature": None, "top_p": 0.5}),
    ({}, None, {"do_sample": True, "top_p": 0.0}),
    ({}, None, {"do_sample": True, "min_p": 0.1, "typical_p": 0.5, "epsilon_cutoff": 0.1, "eta_cutoff": 0.1}),
    ({}, None, {"do_sample": True, "top_h": 0.4, "num_return_sequences": 3}),
    ({}, None, {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}),
    ({}, None, {"num_beams": 3, "num_return_sequences": 3, "early_stopping": True, "length_penalty": -1.0}),
    ({}, None, {"num_beams": 3, "do_sample": True}),
    ({}, None, {"num_beams": 2, "early_stopping": "never"}),
    ({}, None, {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "encoder_no_repeat_ngram_size": 2}),
    ({}, None, {"repetition_penalty": None, "no_repeat_ngram_size": None}),
    ({}, None, {"bad_words_ids": [[1], [2, 3]], "suppress_tokens": [1], "begin_suppress_tokens": [3]}),
    ({}, None, {"sequence_bias": {(1, 2): 1.0}}),
    ({}, None, {"sequence_bias": [[[1, 2], 1.0]]}),
    ({}, None, {"forced_bos_token_id": 3, "forced_eos_token_id": [3, 4]}),
    ({}, None, {"exponential_decay_length_penalty": (3, 1.2)}),
    ({}, None, {"guidance_scale": 1.5, "renormalize_logits": True, "remove_invalid_values": True}),
    ({}, None, {"eos_token_id": None}),
    ({}, None, {"eos_token_id": [3, 2]}),
    ({}, None, {"eos_token_id": torch.tensor([2])}),
    ({}, None, {"pad_token_id": 5}),
    ({}, None, {"eos_token_id": 4}),
    ({}, None, {"max_time": 1.0, "use_cache": False}),
    ({}, None, {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}),
    ({}, None, {"cache_implementation": "static", "max_cache_len": 50}),
    ({}, None, {"cache_implementation": "hybrid"}),
    ({}, None, {"encoder_repetition_penalty": 1.2, "bos_token_id": 4}),
    ({}, {"max_length": 9}, {}),
    ({}, {"max_length": 9, "max_new_tokens": 2}, {}),
    ({}, {"max_length": 9}, {"max_new_tokens": 4}),
    ({}, {"do_sample": True, "top_k": 7}, {"top_k": None}),
    ({}, {"eos_token_id": 9}, {}),
    ({}, {"min_length": 6, "num_beams": 2}, {"num_beams": 3}),
    ({"max_length": 30}, None, {}),
    ({"max_length": 20}, None, {}),
    ({"max_length": 30}, None, {"max_new_tokens": 4}),
    ({"max_length": 30}, {"max_new_tokens": 4}, {}),
    ({"max_length": 30}, {"top_k": 4}, {"do_sample": True}),
    ({"max_new_tokens": 4, "max_length": 30}, None, {}),
    ({"do_sample": True, "temperature": 0.7}, None, {"do_sample": False}),
    ({"do_sample": True, "temperature": 0.7}, {}, {}),
    ({"do_sample": True, "temperature": 0.7}, {"temperature": 1.0}, {}),
    ({"do_sample": True, "top_k": 7}, {"top_k": 50}, {}),
    ({"do_sample": True, "top_k": 7}, None, {"top_k": None}),
    ({"suppress_tokens": [1], "no_repeat_ngram_size": 2}, None, {"suppress_tokens": None}),
    ({"min_length": 5}, None, {"max_new_tokens": 1}),
    ({"min_length": 5}, None, {"min_new_tokens": 1}),
    ({"eos_token_id": 9}, {}, {}),
    ({"eos_token_id": [9, 2], "pad_token_id": 3}, None, {}),
    ({"num_beams": 4, "num_return_sequences": 2}, None, {"num_beams": 2}),
    ({"output_scores": True, "return_dict_in_generate": True}, None, {"return_dict_in_generate": False}),
]


def tiny(oracle: Any, kind: str) -> Any:
    if kind == "decoder":
        sizes = {"vocab_size": 20, "n_positions": 32, "n_embd": 8, "n_layer": 1, "n_head": 2}
        config = oracle.GPT2Config(**sizes, bos_token_id=1, eos_token_id=2)
        return oracle.GPT2LMHeadModel(config).eval()
    sizes = {"vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    return oracle.T5ForConditionalGeneration(oracle.T5Config(**sizes, decoder_start_token_id=0)).eval()


def their_decision(model: Any, given: Any, arguments: Mapping[str, Any], prompt: Mapping[str, Any]) -> Any:
    """The configuration that transformers runs with."""
    found = {}

    def instead(model: Any, input_ids: Any, generation_config: Any, **rest: Any) -> Any:
        found["config"] = generation_config
        return input_ids

    logging.getLogger("transformers").disabled = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.generate(**prompt, generation_config=given, custom_generate=instead, **arguments)
    return found["config"]


def our_decision(
    settings: GenerationConfig, given: Any, arguments: Mapping[str, Any], config: Any, **prompt: int
) -> GenerationPlan:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FormersWarning)
        plan = resolve(arguments, given=given, model=settings, config=config)
        return plan.for_prompt(**prompt)


def plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, torch.Tensor) else value


def assert_same(ours: GenerationPlan, theirs: Any) -> None:
    for name in FIELDS:
        value = plain(getattr(theirs, name, None))
        if name == "pad_token_id":  # theirs is decided only in the tensor beside it
            value = plain(theirs._pad_token_tensor)
        elif name == "max_new_tokens" and value is None:  # ours is there whatever was given
            continue
        elif name in ("min_length", "num_beams") or name.startswith(("output_", "return_", "use_")):
            value = DEFAULTS.get(name) if value is None else value
        elif value is None and getattr(ours, name) == DEFAULTS.get(name) and ours.origin(name) == "default":
            continue
        assert getattr(ours, name) == value, name
    ends = plain(theirs._eos_token_tensor)
    assert list(ours.eos_token_ids) == ([] if ends is None else ends)


PROMPTS = {"ids": (3, 0), "embeddings": (0, 3), "nothing": (1, 0), "encoder": (1, 0)}


@pytest.mark.parity
@pytest.mark.parametrize("prompt", PROMPTS)
def test_decisions_are_the_same(prompt: str, oracle: Any) -> None:
    kind = "encoder-decoder" if prompt == "encoder" else "decoder"
    inputs = {
        "ids": {"inputs": torch.tensor([[5, 6, 7]])},
        "embeddings": {"inputs_embeds": torch.zeros(1, 3, 8)},
        "nothing": {},
        "encoder": {"inputs": torch.tensor([[5, 6, 7]])},
    }[prompt]
    length, embedded = PROMPTS[prompt]
    for changes, given, arguments in CALLS:
        if prompt == "embeddings" and "use_cache" in arguments:
            continue  # transformers cannot go on from embeddings without a cache, and switches it on
        model = tiny(oracle, kind)
        for name, value in changes.items():
            setattr(model.generation_config, name, value)
        theirs = their_decision(
            model, None if given is None else oracle.GenerationConfig(**given), arguments, inputs
        )
        model.config.torch_dtype = None
        config = PreTrainedConfig.from_dict(model.config.to_dict())
        settings = GenerationConfig.from_model_config(config)
        for name, value in changes.items():
            setattr(settings, name, value)
        ours = our_decision(
            settings,
            None if given is None else GenerationConfig(**given),
            arguments,
            config,
            length=length,
            embedded=embedded,
        )
        try:
            assert_same(ours, theirs)
        except AssertionError as error:
            raise AssertionError(f"{(changes, given, arguments)}: {error}") from error


@pytest.mark.parity
@pytest.mark.parametrize(
    ("config", "file"),
    [
        ({"max_length": 25, "temperature": 0.5, "do_sample": True, "forced_eos_token_id": 4}, None),
        ({"max_length": 25, "temperature": 0.5, "do_sample": True}, {"top_k": 3, "eos_token_id": 9}),
        ({"use_cache": False, "output_hidden_states": True}, None),
        ({"task_specific_params": {"text-generation": {"max_length": 50}}}, None),
        ({"num_beams": 4, "eos_token_id": [3, 4]}, {"_from_model_config": True, "eos_token_id": 5}),
    ],
    ids=str,
)
def test_decisions_for_a_folder(
    config: dict[str, Any], file: dict[str, Any] | None, oracle: Any, tmp_path: Path
) -> None:
    """Old parameters in ``config.json`` count where there is no ``generation_config.json``, and only there."""
    tiny(oracle, "decoder").save_pretrained(tmp_path)
    held = json.loads((tmp_path / "config.json").read_text()) | config
    (tmp_path / "config.json").write_text(json.dumps(held))
    (tmp_path / "generation_config.json").unlink()
    if file is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(file))
    model = oracle.GPT2LMHeadModel.from_pretrained(tmp_path)
    ours_config = PreTrainedConfig.from_dict(held)
    if file is None:
        settings = GenerationConfig.from_model_config(ours_config)
    else:
        settings = GenerationConfig.from_pretrained(tmp_path)
    theirs = their_decision(model, None, {"bos_token_id": 1}, {"inputs": torch.tensor([[5, 6, 7]])})
    assert_same(our_decision(settings, None, {"bos_token_id": 1}, ours_config, length=3), theirs)


BOTH_REFUSE: list[dict[str, Any]] = [
    {"max_new_tokens": 0},
    {"max_new_tokens": "3"},
    {"max_length": 2},
    {"num_beams": 2, "num_return_sequences": 3},
    {"num_return_sequences": 3},
    {"do_sample": True, "temperature": 0.0},
    {"do_sample": True, "temperature": float("nan")},
    {"do_sample": True, "top_k": -1},
    {"do_sample": True, "top_p": -0.1},
    {"do_sample": True, "min_p": 1.5},
    {"do_sample": True, "typical_p": 0.0},
    {"do_sample": True, "top_h": 1.4},
    {"do_sample": True, "top_h": 0.0},
    {"repetition_penalty": -1.0},
    {"no_repeat_ngram_size": 2.0},
    {"bad_words_ids": [1, 2]},
    {"bad_words_ids": []},
    {"bad_words_ids": [[-1]]},
    {"sequence_bias": {}},
    {"begin_suppress_tokens": 3},
    {"exponential_decay_length_penalty": (3,)},
    {"early_stopping": "maybe", "num_beams": 2},
    {"cache_implementation": "foo"},
    {"eos_token_id": "2"},
    {"pad_token_id": [0]},
    {"num_beams": 2.0},
]
ONLY_WE_REFUSE: list[dict[str, Any]] = [
    {"max_new_tokens": 2.5},
    {"max_new_tokens": True},
    {"num_beams": 0},
    {"num_return_sequences": 0},
    {"do_sample": True, "temperature": 1e-40},
    {"do_sample": True, "top_p": 1.5},
    {"no_repeat_ngram_size": -1},
    {"bad_words_ids": [[]]},
    {"bad_words_ids": [[99]]},
    {"suppress_tokens": [99]},
    {"min_new_tokens": 50},
    {"min_length": 9, "max_length": 5},
    {"eos_token_id": 99},
    {"max_time": -1.0},
]
ONLY_THEY_REFUSE: list[dict[str, Any]] = [
    {"do_sample": True, "temperature": 2},
    {"repetition_penalty": 2},
    {"sequence_bias": {(1, 2): 1}},
    {"eos_token_id": []},
    {"max_length": None},
    {"num_beams": None},
]


@pytest.mark.parity
@pytest.mark.parametrize(
    ("arguments", "ours", "theirs"),
    [(arguments, True, True) for arguments in BOTH_REFUSE]
    + [(arguments, True, False) for arguments in ONLY_WE_REFUSE]
    + [(arguments, False, True) for arguments in ONLY_THEY_REFUSE],
    ids=str,
)
def test_what_is_refused(arguments: dict[str, Any], ours: bool, theirs: bool, oracle: Any) -> None:
    model, prompt = tiny(oracle, "decoder"), {"inputs": torch.tensor([[5, 6, 7]])}
    config = PreTrainedConfig.from_dict(model.config.to_dict())
    if theirs:
        with pytest.raises((ValueError, TypeError, IndexError)):
            model.generate(**prompt, **arguments)
    else:
        their_decision(model, None, arguments, prompt)
    settings = GenerationConfig.from_model_config(config)
    if ours:
        with pytest.raises(GenerationArgumentError):
            our_decision(settings, None, arguments, config, length=3)
    else:
        our_decision(settings, None, arguments, config, length=3)


@pytest.mark.parity_old
@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        ({"num_beams": 4, "num_beam_groups": 2}, True),
        ({"num_beams": 4, "num_beam_groups": 3, "diversity_penalty": 1.0}, True),
        ({"num_beams": 2, "num_beam_groups": 4, "diversity_penalty": 1.0}, True),
        ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0, "do_sample": True}, True),
        ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0, "num_return_sequences": 3}, False),
    ],
    ids=str,
)
def test_groups_of_beams(arguments: dict[str, Any], refused: bool, oracle: Any) -> None:
    model = tiny(oracle, "decoder")
    config = PreTrainedConfig.from_dict(model.config.to_dict())
    settings = GenerationConfig.from_model_config(config)

    def theirs() -> Any:
        return model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=2, pad_token_id=0, **arguments)

    if refused:
        with pytest.raises(ValueError, match="num_beam_groups"):
            theirs()
        with pytest.raises(GenerationArgumentError):
            our_decision(settings, None, arguments, config, length=3)
    else:
        assert len(theirs()) == arguments["num_return_sequences"]
        assert our_decision(settings, None, arguments, config, length=3).mode() == "group_beam_search"


# Where the decision differs on purpose; see docs/differences.md.


@pytest.mark.parity
def test_the_limit_nearer_to_the_call_counts(oracle: Any) -> None:
    model = tiny(oracle, "decoder")
    model.generation_config.max_new_tokens = 4
    prompt = {"inputs": torch.tensor([[5, 6, 7]])}
    assert their_decision(model, None, {"max_length": 9}, prompt).max_length == 7
    settings = GenerationConfig(max_new_tokens=4)
    assert our_decision(settings, None, {"max_length": 9}, None, length=3).max_length == 9


@pytest.mark.parity
def test_special_tokens_that_only_config_json_has(oracle: Any) -> None:
    model = tiny(oracle, "decoder")
    model.generation_config = oracle.GenerationConfig(top_k=3)
    prompt = {"inputs": torch.tensor([[5, 6, 7]])}
    assert their_decision(model, None, {}, prompt)._eos_token_tensor is None
    config = PreTrainedConfig.from_dict(model.config.to_dict())
    assert our_decision(GenerationConfig(top_k=3), None, {}, config, length=3).eos_token_ids == (2,)


@pytest.mark.parity
def test_none_for_a_setting_that_cannot_be_off(oracle: Any) -> None:
    model = tiny(oracle, "decoder")
    model.generation_config.max_new_tokens = 4
    model.generation_config.do_sample = True
    prompt = {"inputs": torch.tensor([[5, 6, 7]])}
    arguments = {"max_new_tokens": None, "do_sample": None}
    theirs = their_decision(model, None, arguments, prompt)
    assert (theirs.max_length, theirs.do_sample) == (23, None)
    settings = GenerationConfig(max_new_tokens=4, do_sample=True)
    ours = our_decision(settings, None, arguments, None, length=3)
    assert (ours.max_length, ours.do_sample) == (7, True)


@pytest.mark.parity
def test_warnings_are_for_what_is_wrong(oracle: Any) -> None:
    """Nothing is said about a default length, or about padding with the end; something about two limits."""
    config = PreTrainedConfig.from_dict(tiny(oracle, "decoder").config.to_dict())
    settings = GenerationConfig.from_model_config(config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for arguments in ({}, {"max_new_tokens": 4}, {"do_sample": True, "top_k": None}):
            resolve(arguments, model=settings, config=config).for_prompt(3)
    with pytest.warns(GenerationWarning, match="two limits"):
        resolve({"max_new_tokens": 4, "max_length": 9}, model=settings, config=config)
