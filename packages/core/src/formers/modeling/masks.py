"""Masks as tensors, in the forms that callers of transformers' module utilities expect.

The models of this project use :class:`formers.layout.Layout` instead; but for head masks, these helpers serve code
that was written against the older interface.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .base import PreTrainedModel

__all__ = ["checked_head_mask", "extended_attention_mask", "head_mask_per_layer", "invert_attention_mask"]


def invert_attention_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """1 becomes 0 and 0 becomes the lowest finite value; [batch, keys] and [batch, queries, keys] become 4-D."""
    if mask.dim() == 3:
        mask = mask[:, None, :, :]
    elif mask.dim() == 2:
        mask = mask[:, None, None, :]
    else:
        raise ValueError(f"encoder_attention_mask has shape {tuple(mask.shape)}; expected 2 or 3 dimensions.")
    return (1.0 - mask.to(dtype)) * torch.finfo(dtype).min


def extended_attention_mask(
    mask: Tensor, input_shape: tuple[int, ...], dtype: torch.dtype, *, causal: bool
) -> Tensor:
    """An additive mask that broadcasts to [batch, heads, queries, keys]: 0 where attention may go.

    A 2-D mask of a causal model also hides the future; when it is longer than ``input_shape[1]`` the extra columns
    are the past. A 3-D mask is taken as it is, for every head.
    """
    if mask.dim() == 3:
        return invert_attention_mask(mask, dtype)
    if mask.dim() != 2:
        raise ValueError(
            f"attention_mask has shape {tuple(mask.shape)} for inputs of shape {tuple(input_shape)}; "
            "expected [batch, keys] or [batch, queries, keys]."
        )
    allowed = mask[:, None, None, :].to(dtype)
    if causal:
        queries, keys = input_shape[1], mask.shape[1]
        steps = torch.arange(keys, device=mask.device)
        visible = steps <= steps[keys - queries :, None]
        allowed = allowed * visible[None, None].to(dtype)
    return (1.0 - allowed) * torch.finfo(dtype).min


def head_mask_per_layer(
    head_mask: Tensor | None, num_layers: int, dtype: torch.dtype, *, chunked: bool
) -> Tensor | list[None]:
    """[heads] or [layers, heads] as [layers, 1, heads, 1, 1], one more dimension when chunked; else None per layer."""
    if head_mask is None:
        return [None] * num_layers
    if head_mask.dim() == 1:
        head_mask = head_mask[None, None, :, None, None].expand(num_layers, -1, -1, -1, -1)
    elif head_mask.dim() == 2:
        head_mask = head_mask[:, None, :, None, None]
    if head_mask.dim() != 5 or head_mask.shape[0] != num_layers:
        raise ValueError(
            f"head_mask has shape {tuple(head_mask.shape)}; expected [heads] or [{num_layers} layers, heads]."
        )
    head_mask = head_mask.to(dtype)
    return head_mask.unsqueeze(-1) if chunked else head_mask


def checked_head_mask(model: PreTrainedModel, head_mask: Tensor) -> Tensor:
    """[heads] or [layers, heads] as [layers, 1, heads, 1, 1].

    Raises:
        ValueError: another shape, or heads of the model have been pruned.
    """
    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    if head_mask.shape not in ((heads,), (layers, heads)):
        raise ValueError(
            f"head_mask has shape {tuple(head_mask.shape)}; expected [heads] = ({heads},) or "
            f"[layers, heads] = ({layers}, {heads})."
        )
    if model.config.pruned_heads:
        raise ValueError("head_mask cannot be used after prune_heads(); prune the masked heads as well.")
    masks = model.get_head_mask(head_mask, layers)
    assert isinstance(masks, Tensor)
    return masks
