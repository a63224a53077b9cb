"""The part of a composite configuration that describes its text model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from formers.config.declared import Declared
from formers.errors import ConfigValidationError

if TYPE_CHECKING:
    from formers.config.base import PreTrainedConfig

__all__ = ["text_config"]

_ENCODERS = ("text_encoder",)
_DECODERS = ("decoder", "generator", "text_config")
_SHARED = (str, int, float, type(None))  # values that no one can change
# In a half of an old encoder-decoder, the standard names mean that half.
_STANDARD = {
    "layers": "num_hidden_layers",
    "attention_heads": "num_attention_heads",
    "ffn_dim": "intermediate_size",
}


def text_config(config: PreTrainedConfig, decoder: bool | None, encoder: bool | None) -> PreTrainedConfig:
    """See ``PreTrainedConfig.get_text_config``."""
    either = bool(decoder) == bool(encoder)
    names = (*_ENCODERS, *_DECODERS) if either else _DECODERS if decoder else _ENCODERS
    if encoder and not decoder:
        names = (*names, "text_config")
    found = [name for name in names if isinstance(getattr(config, name, None), Declared)]
    if len(found) > 1:
        raise ConfigValidationError(
            f"{type(config).__name__} has several text configurations ({', '.join(found)}); choose with "
            "get_text_config(decoder=True) or get_text_config(encoder=True)."
        )
    if found:
        return getattr(config, found[0])  # type: ignore[no-any-return]
    if either or not config.is_encoder_decoder:
        return config
    return _half(config, "decoder_" if decoder else "encoder_")


def _half(config: PreTrainedConfig, prefix: str) -> PreTrainedConfig:
    """A copy without the settings of the other half; the standard names mean this half."""
    import copy  # needed by few

    other = "encoder_" if prefix == "decoder_" else "decoder_"
    half = copy.copy(config)  # generation asks for it several times in a call, and most values are numbers
    half.__dict__.update(
        {
            name: copy.deepcopy(value)
            for name, value in half.__dict__.items()
            if not isinstance(value, _SHARED)
        }
    )
    aliases = type(config)._aliases
    for suffix, standard in _STANDARD.items():
        name = aliases.get(standard, standard)
        if prefix + suffix in half.__dict__ and (name.startswith(other) or name in half.__dict__):
            half.__dict__[name] = half.__dict__[prefix + suffix]
    targets = {aliases.get(standard, standard) for standard in _STANDARD.values()}
    for name in list(half.__dict__):
        if name.startswith(other) and name not in targets:
            del half.__dict__[name]
    return half
