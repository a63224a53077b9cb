"""The arguments of one forward while generating."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["step_inputs"]


def step_inputs(
    model: Any,
    input_ids: Tensor,
    new: int | None,
    cache: Any,
    attention_mask: Tensor | None,
    inputs_embeds: Tensor | None,
    context: dict[str, Any],
) -> dict[str, Any]:
    """What ``forward`` is called with; see :meth:`GenerationMixin.prepare_inputs_for_generation`."""
    past = 0 if cache is None else cache.get_seq_length()
    if new is None:
        new = input_ids.shape[1] - past
    inputs = dict(context)
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = input_ids[:, -new:]
    elif inputs_embeds is not None and past == 0:
        inputs["inputs_embeds"] = _embedded(model, inputs_embeds, input_ids, new)
    else:
        inputs["input_ids"] = input_ids[:, -new:]
    if cache is not None:
        inputs["past_key_values"] = cache
    if attention_mask is not None:
        inputs["attention_mask"] = attention_mask
    for name in ("position_ids", "decoder_position_ids"):
        if inputs.get(name) is not None:
            inputs[name] = inputs[name][:, -new:]
    types = inputs.get("token_type_ids")
    if types is not None:
        inputs["token_type_ids"] = _continued(types, past + new)[:, -new:]
    return inputs


def _continued(types: Tensor, length: int) -> Tensor:
    """Segments for every token: generated ones belong to the last segment of the prompt."""
    missing = length - types.shape[1]
    return types if missing <= 0 else torch.cat((types, types[:, -1:].expand(-1, missing)), dim=1)


def _embedded(model: Any, embeds: Tensor, ids: Tensor, new: int) -> Tensor:
    """The prompt's embeddings, and behind them those of the tokens generated so far when there is no cache."""
    later = new - embeds.shape[1]
    return embeds if later <= 0 else torch.cat((embeds, model.get_input_embeddings()(ids[:, -later:])), dim=1)
