"""``update_from_string``, ``get_text_config``, ``register_for_auto_class``."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formers.config import PreTrainedConfig, field
from formers.errors import ConfigValidationError, PluginConflictError
from formers.plugins import registry


class DecoderConfig(PreTrainedConfig):
    model_type = "decoder_like"
    attribute_map: ClassVar[dict[str, str]] = {"hidden_size": "n_embd"}
    n_embd: int = field(768, minimum=1)
    n_inner: int | None = None
    resid_pdrop: float = field(0.1, minimum=0.0, maximum=1.0)
    scale_attn_weights: bool = True
    summary_type: str = "mean"
    layers: list[int] | None = None


class HalvesConfig(PreTrainedConfig):
    model_type = "halves"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model",
        "num_hidden_layers": "encoder_layers",
        "num_attention_heads": "encoder_attention_heads",
    }
    d_model: int = 8
    encoder_layers: int = 1
    encoder_attention_heads: int = 2
    encoder_layerdrop: float = 0.0
    decoder_layers: int = 3
    decoder_attention_heads: int = 4
    decoder_layerdrop: float = 0.5
    is_encoder_decoder: bool = True


def test_the_documented_string() -> None:
    config = DecoderConfig()
    config.update_from_string("n_embd=10,resid_pdrop=0.2,scale_attn_weights=false,summary_type=cls_index")
    assert (config.n_embd, config.resid_pdrop, config.scale_attn_weights, config.summary_type) == (
        10,
        0.2,
        False,
        "cls_index",
    )
    config.update_from_string(
        "hidden_size=12, n_inner=5, resid_pdrop=1, summary_type=a=b, output_attentions=TRUE"
    )
    assert (config.n_embd, config.n_inner, config.resid_pdrop, config.summary_type) == (12, 5, 1.0, "a=b")
    assert config.output_attentions is True
    config = DecoderConfig(extra=1)
    config.update_from_string("extra=2")
    assert config.extra == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("absent=1", "no key 'absent'"),
        ("scale_attn_weights=maybe", "true or false is expected"),
        ("scale_attn_weights=1", "true or false is expected"),
        ("n_embd=1.5", "of type int is expected"),
        ("n_embd=", "of type int is expected"),
        ("n_embd=-1", "at least 1"),
        ("resid_pdrop=nan", "finite"),
        ("n_embd", "not of the form key=value"),
        ("", "not of the form key=value"),
        ("n_embd=5,", "not of the form key=value"),
        ("=5", "not of the form key=value"),
        ("layers=1", "cannot be set from a string"),
        ("id2label=1", "cannot be set from a string"),
        ("to_dict=1", "no key 'to_dict'"),
    ],
)
def test_bad_strings_change_nothing(text: str, words: str) -> None:
    config = DecoderConfig()
    with pytest.raises(ConfigValidationError, match=words):
        config.update_from_string(f"n_embd=3,{text}" if text else text)
    assert config == DecoderConfig()


@given(st.integers(1, 10**9), st.floats(0, 1), st.booleans(), st.from_regex(r"[^,\s]+", fullmatch=True))
def test_what_is_written_as_a_string_is_read(width: int, rate: float, flag: bool, word: str) -> None:
    config = DecoderConfig()
    config.update_from_string(
        f"n_embd={width},resid_pdrop={rate!r},scale_attn_weights={json.dumps(flag)},summary_type={word}"
    )
    assert config == DecoderConfig(n_embd=width, resid_pdrop=rate, scale_attn_weights=flag, summary_type=word)


# -- text configurations -------------------------------------------------------------------------------------


def test_a_plain_configuration_is_its_own_text_configuration() -> None:
    config = DecoderConfig()
    for options in ({}, {"decoder": True}, {"encoder": True}, {"decoder": True, "encoder": True}):
        assert config.get_text_config(**options) is config


def holder(**parts: PreTrainedConfig) -> PreTrainedConfig:
    class HolderConfig(PreTrainedConfig):
        sub_configs: ClassVar[dict[str, Any]] = dict.fromkeys(parts, DecoderConfig)

    return HolderConfig(**parts)


def test_the_text_part_of_a_composite_configuration() -> None:
    config = holder(text_config=DecoderConfig(), vision_config=DecoderConfig())
    for options in ({}, {"decoder": True}, {"encoder": True}):
        assert config.get_text_config(**options) is config.text_config
    config = holder(encoder=DecoderConfig(), decoder=DecoderConfig())
    assert config.get_text_config() is config.get_text_config(decoder=True) is config.decoder
    config = holder(text_encoder=DecoderConfig(), decoder=DecoderConfig())
    assert config.get_text_config(encoder=True) is config.text_encoder
    with pytest.raises(ConfigValidationError, match="several text configurations"):
        config.get_text_config()


def test_halves_of_an_old_encoder_decoder() -> None:
    config = HalvesConfig()
    assert config.get_text_config() is config
    decoder = config.get_text_config(decoder=True)
    assert (decoder.num_hidden_layers, decoder.num_attention_heads, decoder.hidden_size) == (3, 4, 8)
    assert "encoder_layerdrop" not in decoder.to_dict()
    assert not hasattr(decoder, "encoder_layerdrop")
    encoder = config.get_text_config(encoder=True)
    assert (encoder.num_hidden_layers, encoder.num_attention_heads) == (1, 2)
    assert not any(name.startswith("decoder_") for name in encoder.to_dict())
    assert config == HalvesConfig()


# -- registration --------------------------------------------------------------------------------------------


def test_registering_for_autoconfig() -> None:
    with registry.temporary_registrations():
        DecoderConfig.register_for_auto_class()
        DecoderConfig.register_for_auto_class("AutoConfig")
        assert registry.config_class_for("decoder_like") is DecoderConfig

        class RivalConfig(DecoderConfig):
            pass

        with pytest.raises(PluginConflictError):
            RivalConfig.register_for_auto_class()
        with pytest.raises(ConfigValidationError, match="'AutoConfig' is expected"):
            DecoderConfig.register_for_auto_class("AutoModel")
        with pytest.raises(ConfigValidationError, match="a class with a model_type"):
            PreTrainedConfig.register_for_auto_class()
