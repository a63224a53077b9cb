"""What any model can tell about itself: device, dtype, sizes; and masks for code of the older interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from . import accounting, masks

if TYPE_CHECKING:
    from formers.config import PreTrainedConfig

__all__ = ["ModuleUtilsMixin"]


class ModuleUtilsMixin(nn.Module):
    """Utilities of :class:`PreTrainedModel`; a base of every model."""

    config: PreTrainedConfig
    main_input_name: ClassVar[str]

    @property
    def device(self) -> torch.device:
        """Device of the first parameter."""
        tensor = accounting.first_tensor(self)
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the first floating-point parameter, else of the first parameter."""
        for parameter in self.parameters():
            if parameter.is_floating_point():
                return parameter.dtype
        tensor = accounting.first_tensor(self)
        return torch.get_default_dtype() if tensor is None else tensor.dtype

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Number of parameters; shared ones count once."""
        return accounting.num_parameters(
            self, only_trainable=only_trainable, exclude_embeddings=exclude_embeddings
        )

    def estimate_tokens(self, input_dict: Mapping[str, Any]) -> int:
        """Number of positions in the main input."""
        return accounting.estimate_tokens(self, input_dict)

    def floating_point_ops(self, input_dict: Mapping[str, Any], exclude_embeddings: bool = True) -> int:
        """Operations of a forward and backward pass: 6 per token and parameter (arXiv 2001.08361, section 2.1)."""
        return accounting.floating_point_ops(self, input_dict, exclude_embeddings)

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Bytes of the parameters and buffers."""
        return accounting.memory_footprint(self, return_buffers)

    def add_memory_hooks(self) -> None:
        """Let each sub-module count in ``mem_rss_diff`` the bytes that its forward passes added to the process."""
        accounting.add_memory_hooks(self)

    def reset_memory_hooks_state(self) -> None:
        """Set ``mem_rss_diff`` of each sub-module back to 0."""
        accounting.reset_memory_hooks_state(self)

    def get_extended_attention_mask(
        self,
        attention_mask: Tensor,
        input_shape: tuple[int, ...],
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """An additive mask that broadcasts to [batch, heads, queries, keys]."""
        causal = bool(getattr(self.config, "is_decoder", False))
        mask = attention_mask if device is None else attention_mask.to(device)
        return masks.extended_attention_mask(mask, input_shape, dtype or self.dtype, causal=causal)

    def invert_attention_mask(self, encoder_attention_mask: Tensor) -> Tensor:
        """An additive 4-D mask from one with 1 for real positions."""
        return masks.invert_attention_mask(encoder_attention_mask, self.dtype)

    def get_head_mask(
        self, head_mask: Tensor | None, num_hidden_layers: int, is_attention_chunked: bool = False
    ) -> Tensor | list[None]:
        """[heads] or [layers, heads] as one 5-D tensor, or a None per layer."""
        return masks.head_mask_per_layer(
            head_mask, num_hidden_layers, self.dtype, chunked=is_attention_chunked
        )

    def _returns_output(self, return_dict: bool | None) -> bool:
        """Whether ``forward`` returns an output object rather than a tuple, given its argument."""
        return self.config.use_return_dict if return_dict is None else return_dict
