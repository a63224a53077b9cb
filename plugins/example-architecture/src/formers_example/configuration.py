"""The configuration of Example. No torch here."""

from __future__ import annotations

from typing import Any

from formers.config import PreTrainedConfig, field
from formers.errors import ConfigValidationError, shorten

__all__ = ["ExampleConfig", "tiny_config"]


class ExampleConfig(PreTrainedConfig):
    """Sizes and options of a model.

    Args:
        vocab_size: number of token ids.
        hidden_size: width of the layers; a multiple of ``num_attention_heads``.
        num_hidden_layers: number of layers.
        num_attention_heads: attention heads of each layer.
        intermediate_size: width between the two linear maps of a feed-forward block.
        max_position_embeddings: longest input, in tokens.
        dropout: of embeddings, attention probabilities and blocks.
        layer_norm_eps: added to the variance in layer normalisation.
        initializer_range: standard deviation of fresh weights.
        use_cache: whether keys and values are returned.

    Raises:
        ConfigValidationError: a value has the wrong type or is out of range.
    """

    model_type = "example"

    vocab_size: int = field(32000, minimum=1)
    hidden_size: int = field(512, minimum=1)
    num_hidden_layers: int = field(6, minimum=0)
    num_attention_heads: int = field(8, minimum=1)
    intermediate_size: int = field(2048, minimum=1)
    max_position_embeddings: int = field(1024, minimum=1)
    dropout: float = field(0.1, minimum=0.0, maximum=1.0)
    layer_norm_eps: float = field(1e-5, minimum=0.0)
    initializer_range: float = field(0.02, minimum=0.0)
    use_cache: bool = True
    bos_token_id: int | None = field(1, minimum=0)
    eos_token_id: int | list[int] | None = 2
    pad_token_id: int | None = field(0, minimum=0)
    tie_word_embeddings: bool = True

    def validate(self) -> None:
        """Check what concerns several fields.

        Raises:
            ConfigValidationError: the heads do not divide the width.
        """
        super().validate()
        if self.hidden_size % self.num_attention_heads:
            raise ConfigValidationError(
                f"ExampleConfig: hidden_size={shorten(self.hidden_size)} is not a multiple of "
                f"num_attention_heads={shorten(self.num_attention_heads)}; change one of them."
            )


def tiny_config(**overrides: Any) -> ExampleConfig:
    """A configuration small enough for tests: two layers, two heads, no dropout."""
    sizes: dict[str, Any] = {
        "vocab_size": 64,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 32,
        "dropout": 0.0,
    }
    return ExampleConfig(**sizes | overrides)
