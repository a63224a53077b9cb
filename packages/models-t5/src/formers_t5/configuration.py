"""The configurations of T5 and mT5. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from formers.config import PreTrainedConfig, field
from formers.errors import ConfigValidationError, shorten

__all__ = ["MT5Config", "T5Config", "tiny_config", "tiny_mt5_config"]


class T5Config(PreTrainedConfig):
    """Sizes and options of a T5 model; the defaults are those of ``t5-small``, with 60 million parameters.

    The names ``hidden_size``, ``num_attention_heads``, ``num_hidden_layers`` and ``head_dim`` that other
    architectures use mean ``d_model``, ``num_heads``, ``num_layers`` and ``d_kv`` here.

    Args:
        vocab_size: number of token ids.
        d_model: width of the layers.
        d_kv: width of each attention head; ``num_heads * d_kv`` need not be ``d_model``.
        d_ff: width between the linear maps of a feed-forward block.
        num_layers: layers of the encoder.
        num_decoder_layers: layers of the decoder; None is ``num_layers``.
        num_heads: attention heads of each layer.
        relative_attention_num_buckets: how many classes of distance the position bias tells apart.
        relative_attention_max_distance: from this distance on all are one class.
        dropout_rate: of embeddings, attention probabilities and the output of each block.
        layer_norm_epsilon: added to the mean square in layer normalisation.
        initializer_factor: factor of the standard deviation of fresh weights.
        feed_forward_proj: ``"relu"`` (T5 1.0), ``"gated-gelu"`` (T5 1.1), or another activation, gated or not.
        dense_act_fn: the activation; by default what ``feed_forward_proj`` says, where ``gated-gelu`` means its tanh
            approximation ``gelu_new``.
        is_gated_act: whether a second linear map gates it; by default what ``feed_forward_proj`` says.
        use_cache: whether keys and values are returned.
        classifier_dropout: dropout of the classification heads.
        is_decoder: of a stack by itself, whether it is a decoder.
        scale_decoder_outputs: whether the decoder's states are divided by the root of ``d_model`` before they score
            tokens, as T5 1.0 does; by default unless ``tie_word_embeddings`` is False.

    Raises:
        ConfigValidationError: a value has the wrong type or is out of range, or the values are those of a UMT5.
    """

    model_type = "t5"
    keys_to_ignore_at_inference: ClassVar[tuple[str, ...] | list[str]] = ["past_key_values"]
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    }

    is_encoder_decoder: bool = True
    vocab_size: int = field(32128, minimum=1, maximum=1_000_000_000)
    d_model: int = field(512, minimum=1, maximum=1_000_000)
    d_kv: int = field(64, minimum=1, maximum=1_000_000)
    d_ff: int = field(2048, minimum=1, maximum=10_000_000)
    num_layers: int = field(6, minimum=0, maximum=10_000)
    num_decoder_layers: int | None = field(None, minimum=0, maximum=10_000)
    num_heads: int = field(8, minimum=1, maximum=100_000)
    relative_attention_num_buckets: int = field(32, minimum=4, maximum=1_000_000)
    relative_attention_max_distance: int = field(128, minimum=1, maximum=1_000_000)
    dropout_rate: float = field(0.1, minimum=0.0, maximum=1.0)
    layer_norm_epsilon: float = field(1e-6, minimum=0.0)
    initializer_factor: float = field(1.0, minimum=0.0)
    feed_forward_proj: str = "relu"
    use_cache: bool = True
    pad_token_id: int | None = field(0, minimum=0)
    eos_token_id: int | list[int] | None = 1
    classifier_dropout: float = field(0.0, minimum=0.0, maximum=1.0)
    is_decoder: bool = False
    dense_act_fn: str | None = None
    is_gated_act: bool | None = None
    scale_decoder_outputs: bool | None = None
    tie_word_embeddings: bool | None = True  # type: ignore[assignment]

    @classmethod
    def _from_data(cls, values: Mapping[str, Any]) -> Self:
        if values.get("model_type") == "umt5":
            raise ConfigValidationError(
                f"{cls.__name__}: model_type='umt5' is another architecture: every layer of a UMT5 has a relative "
                "position bias of its own, where T5 shares that of the first. Load it with a package for umt5."
            )
        return super()._from_data(values)

    def validate(self) -> None:
        """Fill in what depends on other fields, and check what concerns several.

        Raises:
            ConfigValidationError: ``feed_forward_proj`` cannot be read, or the buckets leave no distance.
        """
        super().validate()
        gated, name = _parsed(self.feed_forward_proj, type(self).__name__)
        if self.dense_act_fn is None:
            self.dense_act_fn = "gelu_new" if self.feed_forward_proj == "gated-gelu" else name
        if self.is_gated_act is None:
            self.is_gated_act = gated
        if self.num_decoder_layers is None:
            self.num_decoder_layers = self.num_layers
        if self.scale_decoder_outputs is None:
            self.scale_decoder_outputs = self.tie_word_embeddings is not False
        exact = self.relative_attention_num_buckets // 2
        if self.relative_attention_max_distance <= exact:
            raise ConfigValidationError(
                f"{type(self).__name__}: relative_attention_max_distance="
                f"{shorten(self.relative_attention_max_distance)} leaves nothing for the buckets of far distances: "
                f"{exact} of relative_attention_num_buckets={shorten(self.relative_attention_num_buckets)} are for one "
                "distance each. Give a larger distance or fewer buckets."
            )

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """As of any configuration; that of the decoder has the decoder's number of layers."""
        text = super().get_text_config(decoder, encoder)
        if decoder and not encoder and text is not self:
            assert isinstance(text, T5Config)
            assert self.num_decoder_layers is not None
            text.num_layers = self.num_decoder_layers
        return text


class MT5Config(T5Config):
    """mT5 (Xue et al. 2021, arXiv 2010.11934): a T5 1.1 for 101 languages; the defaults are those of ``mt5-small``.

    Its decoder's outputs are never scaled, whatever ``tie_word_embeddings`` says: transformers 5 writes True there.
    """

    model_type = "mt5"

    vocab_size: int = field(250112, minimum=1, maximum=1_000_000_000)
    d_ff: int = field(1024, minimum=1, maximum=10_000_000)
    num_layers: int = field(8, minimum=0, maximum=10_000)
    num_heads: int = field(6, minimum=1, maximum=100_000)
    feed_forward_proj: str = "gated-gelu"
    tie_word_embeddings: bool | None = False
    scale_decoder_outputs: bool | None = False
    decoder_start_token_id: int | None = field(0, minimum=0)


def _parsed(proj: str, owner: str) -> tuple[bool, str]:
    """Whether ``feed_forward_proj`` is gated, and the name of its activation."""
    prefix, dash, rest = proj.partition("-")
    if not dash and prefix:
        return False, prefix
    if prefix == "gated" and rest and "-" not in rest:
        return True, rest
    raise ConfigValidationError(
        f"{owner}: feed_forward_proj={shorten(proj)} is not accepted; expected the name of an activation, or 'gated-' "
        "before it: 'relu', 'gated-gelu', 'gated-silu'."
    )


_TINY: dict[str, Any] = {
    "vocab_size": 64,
    "d_model": 16,
    "d_kv": 6,
    "d_ff": 32,
    "num_layers": 2,
    "num_heads": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
    "dropout_rate": 0.0,
    "decoder_start_token_id": 0,
}


def tiny_config(**overrides: Any) -> T5Config:
    """A configuration small enough for tests: two layers on each side, two heads, no dropout."""
    return T5Config(**_TINY | overrides)


def tiny_mt5_config(**overrides: Any) -> MT5Config:
    """The same of mT5."""
    return MT5Config(**_TINY | overrides)
