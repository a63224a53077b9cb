"""Resizing the vocabulary: every vocabulary-sized tensor of a model changes together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from formers.errors import shorten

from .tying import replace_parameter

if TYPE_CHECKING:
    from .base import PreTrainedModel

__all__ = ["resize_token_embeddings"]


def resize_token_embeddings(
    model: PreTrainedModel, new_num_tokens: int | None, pad_to_multiple_of: int | None, mean_resizing: bool
) -> nn.Embedding:
    """Resize the input embedding, the output embedding and its bias to ``new_num_tokens`` rows.

    Old rows keep their values to the bit. Tied names stay tied, hooks and module objects stay in place.
    See :meth:`PreTrainedModel.resize_token_embeddings`.
    """
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, nn.Embedding):
        raise TypeError(
            f"resize_token_embeddings needs an nn.Embedding as input embedding, "
            f"but {type(model).__name__} has {type(embedding).__name__}."
        )
    rows = _target_rows(new_num_tokens, pad_to_multiple_of, embedding.num_embeddings)
    if rows == embedding.num_embeddings:
        return embedding
    output = model.get_output_embeddings()
    weight, bias = (
        (None, None) if output is None else (output._parameters.get(name) for name in ("weight", "bias"))
    )
    is_tied = weight is embedding.weight
    _resize(model, embedding.weight, rows, mean_resizing)
    if weight is not None and not is_tied and weight.shape[0] != rows:
        _resize(model, weight, rows, mean_resizing)
    if bias is not None:
        _resize(model, bias, rows, mean_resizing)
    if embedding.padding_idx is not None and embedding.padding_idx >= rows:
        embedding.padding_idx = None
    _record_size(model, rows)
    return embedding


def _target_rows(new: int | None, multiple: int | None, current: int) -> int:
    for name, value in (("new_num_tokens", new), ("pad_to_multiple_of", multiple)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name}={shorten(value)} must be a positive int or None.")
    rows = current if new is None else new
    if multiple is not None:
        rows = -(-rows // multiple) * multiple
    return rows


def _resize(model: PreTrainedModel, old: Tensor, rows: int, mean_resizing: bool) -> None:
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


def _as_in_a_new_model(model: PreTrainedModel, old: torch.Tensor, added: int) -> torch.Tensor:
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


def _record_size(model: PreTrainedModel, rows: int) -> None:
    text_config = model.config.get_text_config()
    for config in (model.config, text_config):
        if hasattr(config, "vocab_size"):
            config.vocab_size = rows
