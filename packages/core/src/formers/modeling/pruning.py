"""Removing attention heads for good (Michel, Levy and Neubig 2019, arXiv 1905.10650)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from formers.errors import shorten

if TYPE_CHECKING:
    from .base import PreTrainedModel

__all__ = ["kept_columns", "prune_heads", "prune_linear_layer"]


def prune_heads(model: PreTrainedModel, heads_to_prune: Mapping[int, Iterable[int]]) -> None:
    """Prune heads by layer and remember them in ``config.pruned_heads``, so that saving and loading keep them out.

    Negative layers count from the last one.
    """
    layers = model.config.num_hidden_layers
    requested: dict[int, set[int]] = {}
    for key, heads in heads_to_prune.items():
        layer = int(key)
        layer += layers if -layers <= layer < 0 else 0
        requested.setdefault(layer, set()).update(int(head) for head in heads)
    _check(model, requested)
    recorded = {int(layer): set(heads) for layer, heads in (model.config.pruned_heads or {}).items()}
    for layer, chosen in requested.items():
        recorded[layer] = recorded.get(layer, set()) | chosen
    model.base_model._prune_heads(requested)
    model.config.pruned_heads = {layer: sorted(heads) for layer, heads in sorted(recorded.items())}


def _check(model: PreTrainedModel, requested: Mapping[int, Collection[int]]) -> None:
    layers = model.config.num_hidden_layers
    heads = model.config.num_attention_heads
    for layer, chosen in requested.items():
        if not 0 <= layer < layers:
            raise ValueError(
                f"heads_to_prune names layer {shorten(layer)}; the model has layers 0 to {layers - 1}."
            )
        outside = [head for head in chosen if not 0 <= head < heads]
        if outside:
            raise ValueError(
                f"heads_to_prune names head {outside[0]} of layer {layer}; heads are numbered 0 to {heads - 1}."
            )


def kept_columns(
    heads: Iterable[int], num_heads: int, head_size: int, already_pruned: Collection[int]
) -> tuple[set[int], torch.Tensor]:
    """Which heads are newly pruned, and the indices of the columns that stay.

    ``heads`` are numbered as in the unpruned model; ``num_heads`` is the number that is left.
    """
    new = set(heads) - set(already_pruned)
    keep = torch.ones(num_heads, head_size, dtype=torch.bool)
    for head in new:
        keep[head - sum(1 for gone in already_pruned if gone < head)] = False
    return new, keep.flatten().nonzero().squeeze(-1)


def prune_linear_layer(layer: nn.Linear, index: torch.Tensor, dim: int = 0) -> nn.Linear:
    """A linear layer with only the rows (``dim=0``) or input columns (``dim=1``) named by ``index``."""
    index = index.to(layer.weight.device)
    out_features, in_features = layer.weight.shape
    if dim == 0:
        out_features = len(index)
    else:
        in_features = len(index)
    # torch.empty_like keeps a layer on the meta device there while a model is being loaded.
    pruned = nn.Linear(in_features, out_features, bias=layer.bias is not None, device="meta")
    with torch.no_grad():
        weight = layer.weight.index_select(dim, index).clone()
        pruned.weight = nn.Parameter(weight, requires_grad=layer.weight.requires_grad)
        if layer.bias is not None:
            bias = layer.bias.clone() if dim == 1 else layer.bias[index].clone()
            pruned.bias = nn.Parameter(bias, requires_grad=layer.bias.requires_grad)
    return pruned
