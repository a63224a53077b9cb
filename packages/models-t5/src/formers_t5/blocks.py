"""One layer of T5: its parts, each of which normalises its input and adds to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from formers.modeling.layers import Dropout, Parts

from .attention import PositionBias, T5Attention, T5CrossAttention
from .layers import T5FeedForward, T5LayerNorm

if TYPE_CHECKING:
    from formers.modeling.runs import Run

    from .configuration import T5Config

__all__ = ["T5Block", "T5LayerCrossAttention", "T5LayerFF", "T5LayerSelfAttention"]


class _SubLayer(nn.Module):
    """What every part of a layer has: a norm of its input, and dropout of what it adds."""

    def __init__(self, config: T5Config, name: str, part: nn.Module) -> None:
        super().__init__()
        self.add_module(name, part)  # before the norm, as in the published files
        self.layer_norm = T5LayerNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = Dropout(config.dropout_rate)


class T5LayerSelfAttention(_SubLayer):
    """Adds what self-attention reads."""

    def __init__(self, config: T5Config, index: int) -> None:
        super().__init__(config, "SelfAttention", T5Attention(config, index))

    def forward(self, hidden_states: Tensor, run: Run) -> tuple[Tensor, Tensor | None]:
        """[..., hidden] for [..., hidden], and the probabilities if ``run`` asks."""
        parts: Parts = self._modules
        new, probs = parts["SelfAttention"](parts["layer_norm"](hidden_states), run)
        return hidden_states + parts["dropout"](new), probs


class T5LayerCrossAttention(_SubLayer):
    """Adds what cross-attention reads."""

    def __init__(self, config: T5Config, index: int) -> None:
        super().__init__(config, "EncDecAttention", T5CrossAttention(config, index))

    def forward(
        self, hidden_states: Tensor, run: Run, encoder_hidden_states: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Like :class:`T5LayerSelfAttention`."""
        parts: Parts = self._modules
        new, probs = parts["EncDecAttention"](parts["layer_norm"](hidden_states), run, encoder_hidden_states)
        return hidden_states + parts["dropout"](new), probs


class T5LayerFF(_SubLayer):
    """Adds the feed-forward block."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config, "DenseReluDense", T5FeedForward(config))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[..., hidden] for [..., hidden]."""
        parts: Parts = self._modules
        new = parts["DenseReluDense"](parts["layer_norm"](hidden_states))
        return hidden_states + parts["dropout"](new)  # type: ignore[no-any-return]


class T5Block(nn.Module):
    """Self-attention, in a decoder cross-attention, feed-forward."""

    def __init__(self, config: T5Config, index: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList([T5LayerSelfAttention(config, index)])
        if config.is_decoder:
            self.layer.append(T5LayerCrossAttention(config, index))
        self.layer.append(T5LayerFF(config))

    def bias_weight(self) -> Tensor:
        """[buckets, heads], which only the first layer has."""
        layers: Parts = self._modules["layer"]._modules  # type: ignore[union-attr]
        return layers["0"].SelfAttention.relative_attention_bias.weight  # type: ignore[no-any-return]

    def forward(
        self,
        hidden_states: Tensor,
        run: Run,
        encoder_hidden_states: Tensor | None = None,
        own_bias: bool = False,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """New hidden states [..., hidden]; the probabilities of self- and cross-attention where ``run`` asks.

        Args:
            own_bias: make the bias anew instead of taking that of all layers.
        """
        if own_bias and isinstance(run.bias, PositionBias):
            run = replace(run, bias=run.bias.again())
        layers: Parts = self._modules["layer"]._modules  # type: ignore[union-attr]
        hidden_states, probs = layers["0"](hidden_states, run)
        cross_probs = None
        if run.cross_step is not None:
            hidden_states, cross_probs = layers["1"](hidden_states, run, encoder_hidden_states)
        last = layers["1"] if len(layers) == 2 else layers["2"]
        return last(hidden_states), probs, cross_probs
