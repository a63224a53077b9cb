"""The configuration of GPT-2. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from formers.config import PreTrainedConfig, field
from formers.errors import ConfigValidationError, shorten

__all__ = ["GPT2Config", "tiny_config"]


class GPT2Config(PreTrainedConfig):
    """Sizes and options of a GPT-2 model; the defaults are those of ``gpt2``, with 124 million parameters.

    The names ``hidden_size``, ``max_position_embeddings``, ``num_attention_heads`` and ``num_hidden_layers`` that
    other architectures use mean ``n_embd``, ``n_positions``, ``n_head`` and ``n_layer`` here.

    Args:
        vocab_size: number of token ids.
        n_positions: longest input, in tokens.
        n_embd: width of the layers; a multiple of ``n_head``.
        n_layer: number of layers.
        n_head: attention heads of each layer.
        n_inner: width between the two linear maps of a feed-forward block; None is four times ``n_embd``.
        activation_function: activation of the feed-forward blocks: a name such as ``"gelu_new"``, ``"relu"``,
            ``"silu"``, or a function from tensor to tensor.
        resid_pdrop: dropout of the output of each block.
        embd_pdrop: dropout of the embeddings.
        attn_pdrop: dropout of the attention probabilities.
        layer_norm_epsilon: added to the variance in layer normalisation.
        initializer_range: standard deviation of fresh weights.
        summary_type: which hidden state the multiple-choice head of ``GPT2DoubleHeadsModel`` reads:
            ``"cls_index"`` (the position it is given), ``"last"``, ``"first"`` or ``"mean"``.
        summary_use_proj: whether that head has a linear map after it.
        summary_activation: ``"tanh"`` or another activation after that; None for none.
        summary_proj_to_labels: whether the linear map ends in one score rather than in ``n_embd`` numbers.
        summary_first_dropout: dropout before it.
        scale_attn_weights: divide attention scores by the root of the heads' width.
        use_cache: whether keys and values are returned.
        scale_attn_by_inverse_layer_idx: divide attention scores by the number of the layer, counted from 1.
        reorder_and_upcast_attn: compute attention scores and their softmax in float32; every attention of formers
            does, so this changes nothing.
        add_cross_attention: add layers that read ``encoder_hidden_states``.

    Raises:
        ConfigValidationError: a value has the wrong type or is out of range.
    """

    model_type = "gpt2"
    keys_to_ignore_at_inference: ClassVar[tuple[str, ...] | list[str]] = ["past_key_values"]
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }

    vocab_size: int = field(50257, minimum=1, maximum=1_000_000_000)
    n_positions: int = field(1024, minimum=1, maximum=100_000_000)
    n_embd: int = field(768, minimum=1, maximum=1_000_000)
    n_layer: int = field(12, minimum=0, maximum=10_000)
    n_head: int = field(12, minimum=1, maximum=100_000)
    n_inner: int | None = field(None, minimum=1, maximum=10_000_000)
    activation_function: str | Callable[..., Any] = "gelu_new"
    resid_pdrop: float = field(0.1, minimum=0.0, maximum=1.0)
    embd_pdrop: float = field(0.1, minimum=0.0, maximum=1.0)
    attn_pdrop: float = field(0.1, minimum=0.0, maximum=1.0)
    layer_norm_epsilon: float = field(1e-5, minimum=0.0)
    initializer_range: float = field(0.02, minimum=0.0)
    summary_type: str = field("cls_index", choices=("cls_index", "last", "first", "mean", "attn"))
    summary_use_proj: bool = True
    summary_activation: str | None = None
    summary_proj_to_labels: bool = True
    summary_first_dropout: float = field(0.1, minimum=0.0, maximum=1.0)
    scale_attn_weights: bool = True
    use_cache: bool = True
    bos_token_id: int | None = field(50256, minimum=0)
    eos_token_id: int | list[int] | None = 50256
    pad_token_id: int | None = field(None, minimum=0)
    scale_attn_by_inverse_layer_idx: bool = False
    reorder_and_upcast_attn: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True

    def validate(self) -> None:
        """Check what concerns several fields.

        Raises:
            ConfigValidationError: the heads do not divide the width.
        """
        super().validate()
        if self.n_embd % self.n_head:
            raise ConfigValidationError(
                f"GPT2Config: n_embd={shorten(self.n_embd)} is not a multiple of n_head={shorten(self.n_head)}; "
                "change one of them."
            )

    @property
    def inner_size(self) -> int:
        """Width between the two linear maps of a feed-forward block."""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner


def tiny_config(**overrides: Any) -> GPT2Config:
    """A configuration small enough for tests: two layers, two heads, no dropout."""
    sizes: dict[str, Any] = {
        "vocab_size": 64,
        "n_positions": 32,
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 2,
        "n_inner": 32,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "summary_first_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return GPT2Config(**sizes | overrides)
