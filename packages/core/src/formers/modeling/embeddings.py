"""The embeddings of a model, and resizing the vocabulary: every tensor of its size changes together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from formers.errors import shorten

from .tying import replace_parameter

if TYPE_CHECKING:
    from formers.config import PreTrainedConfig

__all__ = ["EmbeddingsMixin"]


class EmbeddingsMixin(nn.Module):
    """Getting, setting and resizing embeddings; a base of every model."""

    config: PreTrainedConfig

    if TYPE_CHECKING:  # what the class that inherits has

        @property
        def base_model(self) -> Any:
            """See :attr:`PreTrainedModel.base_model`."""

        def _init_weights(self, module: nn.Module) -> None: ...

    def get_input_embeddings(self) -> nn.Module:
        """The module that turns token ids into vectors."""
        base = self.base_model
        if base is not self:
            return base.get_input_embeddings()  # type: ignore[no-any-return]
        raise NotImplementedError(f"{type(self).__name__} defines no get_input_embeddings().")

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the input embedding."""
        base = self.base_model
        if base is self:
            raise NotImplementedError(f"{type(self).__name__} defines no set_input_embeddings().")
        base.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module | None:
        """The layer that gives the vocabulary's scores, None for a model without one."""
        return None

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the layer that gives the vocabulary's scores."""
        raise NotImplementedError(f"{type(self).__name__} has no output embeddings.")

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Embedding:
        """Change the vocabulary's size to ``new_num_tokens`` rows; None changes nothing.

        The input embedding, the output embedding and its bias change together. Tied names stay tied, hooks and
        module objects stay in place.

        Args:
            new_num_tokens: rows are cut or added at the end; old rows keep their values to the bit.
            pad_to_multiple_of: round the number of rows up to a multiple.
            mean_resizing: new rows are drawn close to the mean of the old ones; False draws them as a new model.

        Returns:
            The input embedding module.

        Raises:
            TypeError: the input embedding is no ``nn.Embedding``.
            ValueError: a number of rows is not a positive int.
        """
        embedding = self.get_input_embeddings()
        if not isinstance(embedding, nn.Embedding):
            raise TypeError(
                f"resize_token_embeddings needs an nn.Embedding as input embedding, "
                f"but {type(self).__name__} has {type(embedding).__name__}."
            )
        rows = _target_rows(new_num_tokens, pad_to_multiple_of, embedding.num_embeddings)
        if rows == embedding.num_embeddings:
            return embedding
        output = self.get_output_embeddings()
        weight, bias = (
            (None, None) if output is None else (output._parameters.get(name) for name in ("weight", "bias"))
        )
        is_tied = weight is embedding.weight
        _resize(self, embedding.weight, rows, mean_resizing)
        if weight is not None and not is_tied and weight.shape[0] != rows:
            _resize(self, weight, rows, mean_resizing)
        if bias is not None:
            _resize(self, bias, rows, mean_resizing)
        if embedding.padding_idx is not None and embedding.padding_idx >= rows:
            embedding.padding_idx = None
        _record_size(self, rows)
        return embedding

    def enable_input_require_grads(self) -> None:
        """Let gradients flow through frozen embeddings, as adapters need."""

        def require_grad(module: nn.Module, args: Any, output: Tensor) -> None:
            output.requires_grad_(True)

        self._input_grad_hook = self.get_input_embeddings().register_forward_hook(require_grad)

    def disable_input_require_grads(self) -> None:
        """Undo :meth:`enable_input_require_grads`."""
        self._input_grad_hook.remove()


def _target_rows(new: int | None, multiple: int | None, current: int) -> int:
    for name, value in (("new_num_tokens", new), ("pad_to_multiple_of", multiple)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name}={shorten(value)} must be a positive int or None.")
    rows = current if new is None else new
    if multiple is not None:
        rows = -(-rows // multiple) * multiple
    return rows


def _resize(model: EmbeddingsMixin, old: Tensor, rows: int, mean_resizing: bool) -> None:
    """Replace a parameter of the vocabulary's size, wherever the model holds it."""
    kept = min(rows, old.shape[0])
    added = rows - kept
    with torch.no_grad():
        values = old.new_empty((rows, *old.shape[1:]))
        values[:kept] = old[:kept]
        if added and mean_resizing:
            values[kept:] = _like_the_old_rows(old, added)
        elif added:
            values[kept:] = _as_in_a_new_model(model, old, added)
    replace_parameter(model, old, nn.Parameter(values, requires_grad=old.requires_grad))


def _as_in_a_new_model(model: EmbeddingsMixin, old: torch.Tensor, added: int) -> torch.Tensor:
    if old.dim() == 1:
        return old.new_zeros(added)
    fresh = nn.Embedding(added, old.shape[1])
    model._init_weights(fresh)
    return fresh.weight.detach().to(old)


def _like_the_old_rows(old: torch.Tensor, added: int) -> torch.Tensor:
    """Draws from a narrow normal distribution around the mean of the old rows.

    The covariance is 1e-9 times that of the old rows, so that the softmax over old tokens hardly moves
    (Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language Models").
    """
    rows = old.detach().float().reshape(old.shape[0], -1)
    mean = rows.mean(dim=0)
    weights = (
        torch.randn(added, rows.shape[0], device=rows.device) * (1e-9 / max(rows.shape[0] - 1, 1)) ** 0.5
    )
    drawn: torch.Tensor = mean + weights @ (rows - mean)
    return drawn.reshape(added, *old.shape[1:]).to(old.dtype)


def _record_size(model: EmbeddingsMixin, rows: int) -> None:
    text_config = model.config.get_text_config()
    for config in (model.config, text_config):
        if hasattr(config, "vocab_size"):
            config.vocab_size = rows
