"""The configurations of T5 and mT5."""

from __future__ import annotations

from typing import Any

import pytest

from formers.errors import ConfigValidationError
from formers_t5.configuration import MT5Config, T5Config


@pytest.mark.parametrize(
    ("proj", "act", "gated"),
    [
        ("relu", "relu", False),
        ("gelu", "gelu", False),
        ("gated-gelu", "gelu_new", True),
        ("gated-silu", "silu", True),
    ],
)
def test_feed_forward_proj_says_activation_and_gate(proj: str, act: str, gated: bool) -> None:
    config = T5Config(feed_forward_proj=proj)
    assert (config.dense_act_fn, config.is_gated_act) == (act, gated)


def test_a_stored_activation_counts() -> None:
    assert T5Config(feed_forward_proj="gated-gelu", dense_act_fn="relu").dense_act_fn == "relu"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"feed_forward_proj": "a-b"}, "feed_forward_proj"),
        ({"feed_forward_proj": "gated-a-b"}, "feed_forward_proj"),
        ({"feed_forward_proj": ""}, "feed_forward_proj"),
        ({"relative_attention_num_buckets": 3}, "relative_attention_num_buckets"),
        ({"relative_attention_max_distance": 16}, "relative_attention_max_distance"),
        ({"d_kv": 0}, "d_kv"),
        ({"dropout_rate": 1.5}, "dropout_rate"),
    ],
)
def test_a_wrong_value_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigValidationError, match=named):
        T5Config(**given)


@pytest.mark.parametrize(("tie", "scale"), [(True, True), (False, False), (None, True)])
def test_scaling_follows_the_tie_unless_it_is_given(tie: bool | None, scale: bool) -> None:
    assert T5Config(tie_word_embeddings=tie).scale_decoder_outputs is scale
    assert (
        T5Config(tie_word_embeddings=tie, scale_decoder_outputs=not scale).scale_decoder_outputs is not scale
    )


def test_scaling_survives_a_file_that_says_tied() -> None:
    # transformers 5 writes tie_word_embeddings=true for every T5.
    stored = T5Config(tie_word_embeddings=False).to_dict() | {"tie_word_embeddings": True}
    assert T5Config.from_dict(stored).scale_decoder_outputs is False


def test_the_decoder_has_as_many_layers_unless_it_is_given() -> None:
    assert T5Config(num_layers=4).num_decoder_layers == 4
    config = T5Config(num_layers=4, num_decoder_layers=2)
    assert config.get_text_config(decoder=True).num_hidden_layers == 2
    assert config.get_text_config().num_hidden_layers == 4


def test_umt5_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigValidationError, match="every layer of a UMT5 has a relative position bias"):
        T5Config.from_dict({"model_type": "umt5"})


def test_mt5_is_a_t5_of_its_own_type() -> None:
    config = MT5Config()
    assert (config.model_type, config.is_gated_act, config.scale_decoder_outputs) == ("mt5", True, False)
    assert MT5Config.from_dict(config.to_diff_dict()) == config
    assert MT5Config.from_dict({"tie_word_embeddings": True}).scale_decoder_outputs is False
