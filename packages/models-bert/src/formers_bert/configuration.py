"""The configuration of BERT. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from formers.config import PreTrainedConfig, field
from formers.errors import ConfigValidationError, shorten

__all__ = ["BertConfig", "tiny_config"]


class BertConfig(PreTrainedConfig):
    """Sizes and options of a BERT model; the defaults are those of ``bert-base-uncased``.

    Args:
        vocab_size: number of token ids.
        hidden_size: width of the layers; a multiple of ``num_attention_heads``.
        num_hidden_layers: number of layers.
        num_attention_heads: attention heads of each layer.
        intermediate_size: width between the two linear maps of a feed-forward block.
        hidden_act: activation of the feed-forward blocks and of the language-model head: a name such as
            ``"gelu"``, ``"relu"``, ``"silu"``, ``"gelu_new"``, or a function from tensor to tensor.
        hidden_dropout_prob: dropout of embeddings and of the output of each block.
        attention_probs_dropout_prob: dropout of the attention probabilities.
        max_position_embeddings: longest input, in tokens.
        type_vocab_size: number of segments that ``token_type_ids`` can name.
        initializer_range: standard deviation of fresh weights.
        layer_norm_eps: added to the variance in layer normalisation.
        use_cache: whether a decoder returns its keys and values.
        classifier_dropout: dropout before a classification head; None takes ``hidden_dropout_prob``.
        is_decoder: hide the future from each position.
        add_cross_attention: let a decoder attend to ``encoder_hidden_states``.
        position_embedding_type: ``"absolute"``, ``"relative_key"`` or ``"relative_key_query"``
            (see ``attention.py``).

    Raises:
        ConfigValidationError: a value has the wrong type or is out of range.
    """

    model_type = "bert"

    vocab_size: int = field(30522, minimum=1, maximum=1_000_000_000)
    hidden_size: int = field(768, minimum=1, maximum=1_000_000)
    num_hidden_layers: int = field(12, minimum=0, maximum=10_000)
    num_attention_heads: int = field(12, minimum=1, maximum=100_000)
    intermediate_size: int = field(3072, minimum=1, maximum=10_000_000)
    hidden_act: str | Callable[..., Any] = "gelu"
    hidden_dropout_prob: float = field(0.1, minimum=0.0, maximum=1.0)
    attention_probs_dropout_prob: float = field(0.1, minimum=0.0, maximum=1.0)
    max_position_embeddings: int = field(512, minimum=1, maximum=100_000_000)
    type_vocab_size: int = field(2, minimum=1, maximum=1_000_000)
    initializer_range: float = field(0.02, minimum=0.0)
    layer_norm_eps: float = field(1e-12, minimum=0.0)
    pad_token_id: int | None = field(0, minimum=0)
    use_cache: bool = True
    classifier_dropout: float | None = field(None, minimum=0.0, maximum=1.0)
    is_decoder: bool = False
    add_cross_attention: bool = False
    bos_token_id: int | None = field(None, minimum=0)
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True
    position_embedding_type: str = field(
        "absolute", choices=("absolute", "relative_key", "relative_key_query")
    )

    def validate(self) -> None:
        """Check what concerns several fields.

        Raises:
            ConfigValidationError: the heads do not divide the width, or the padding token is not in the vocabulary.
        """
        super().validate()
        if self.hidden_size % self.num_attention_heads:
            raise ConfigValidationError(
                f"BertConfig: hidden_size={shorten(self.hidden_size)} is not a multiple of "
                f"num_attention_heads={shorten(self.num_attention_heads)}; change one of them."
            )
        if self.pad_token_id is not None and self.pad_token_id >= self.vocab_size:
            raise ConfigValidationError(
                f"BertConfig: pad_token_id={shorten(self.pad_token_id)} is outside the vocabulary of "
                f"vocab_size={shorten(self.vocab_size)} tokens; give a smaller id or None."
            )


def tiny_config(**overrides: Any) -> BertConfig:
    """A configuration small enough for tests: two layers, two heads, no dropout."""
    sizes: dict[str, Any] = {
        "vocab_size": 64,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 32,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return BertConfig(**sizes | overrides)
