"""The prompt of a decoder behind an encoder: the encoder runs once, and the decoder begins with its start token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.errors import GenerationArgumentError, shorten
from formers.outputs import BaseModelOutput

from .prompts import Prompt, check_embeds, checked_ids, checked_mask, mask_of_padding

if TYPE_CHECKING:
    from .forward_arguments import ForwardArguments
    from .plan import GenerationPlan

__all__ = ["read_prompt"]

_NOT_FOR_ENCODER = ("cross_attn", "use_cache")


def read_prompt(
    model: Any, plan: GenerationPlan, inputs: Tensor | None, given: dict[str, Any], takes: ForwardArguments
) -> Prompt:
    """Run the encoder, unless its outputs were given, and return what the decoder begins with.

    Args:
        inputs: int64 [batch, source length], what the encoder reads.
        given: the arguments that are not settings. Those that begin with ``decoder_`` are the decoder's.

    Raises:
        GenerationArgumentError: a shape, a type or an id does not fit, or there is nothing to begin with.
    """
    named = given.pop("input_ids", None)
    if inputs is not None and named is not None:
        raise GenerationArgumentError("generate() got both inputs and input_ids; give one of them.")
    source = named if inputs is None else inputs
    outputs, mask = given.pop("encoder_outputs", None), given.pop("attention_mask", None)
    if outputs is None:
        outputs, source, mask = _encode(model, plan, source, mask, given)
    elif not hasattr(outputs, "last_hidden_state"):
        outputs = BaseModelOutput(*outputs) if isinstance(outputs, (tuple, list)) else _not_outputs(outputs)
    rows, length = outputs.last_hidden_state.shape[:2]
    if mask is not None:
        mask = checked_mask(mask, rows, length)
    ids = _decoder_ids(model, plan, given.pop("decoder_input_ids", None), rows)
    own_mask = given.pop("decoder_attention_mask", None)
    if own_mask is not None:
        own_mask = checked_mask(own_mask, rows, ids.shape[1], name="decoder_attention_mask")
    context = {**given, "encoder_outputs": outputs}
    if mask is not None:
        context["attention_mask"] = mask
    return Prompt(
        ids, own_mask, takes, context=context, source_ids=source, mask_name="decoder_attention_mask"
    )


def _encode(
    model: Any, plan: GenerationPlan, source: Tensor | None, mask: Tensor | None, given: dict[str, Any]
) -> tuple[Any, Tensor | None, Tensor | None]:
    """The encoder's outputs, the ids it read, and the mask of those."""
    embeds = given.pop("inputs_embeds", None)
    if embeds is not None:
        check_embeds(embeds, source)
        inputs = {"inputs_embeds": embeds}
    elif source is None:
        raise GenerationArgumentError(
            "generate() got nothing for the encoder to read; give input_ids, inputs_embeds or encoder_outputs."
        )
    else:
        source = checked_ids(model, source)
        mask = mask_of_padding(source, plan) if mask is None else mask
        inputs = {"input_ids": source}
    arguments = {
        name: given.pop(name)
        for name in list(given)
        if not name.startswith(("decoder_", *_NOT_FOR_ENCODER))
        and name not in ("labels", "head_mask", "position_bias")
    }
    if mask is not None:
        arguments["attention_mask"] = mask
    flags = _flags(plan)
    return model.get_encoder()(**inputs, **arguments, **flags, return_dict=True), source, mask


def _flags(plan: GenerationPlan) -> Mapping[str, bool]:
    if not plan.return_dict_in_generate:
        return {}
    wanted = {"output_attentions": plan.output_attentions, "output_hidden_states": plan.output_hidden_states}
    return {name: True for name, on in wanted.items() if on}


def _decoder_ids(model: Any, plan: GenerationPlan, given: Any, rows: int) -> Tensor:
    """The decoder's prompt, which begins with the start token."""
    start = plan.decoder_start_token_id
    start = plan.bos_token_id if start is None else start
    if start is None:
        raise GenerationArgumentError(
            "The decoder has nothing to begin with: set decoder_start_token_id (or bos_token_id) in the "
            "generation_config, or pass it to generate()."
        )
    starts = torch.tensor([start] if isinstance(start, int) else start, device=model.device)
    if starts.shape[0] not in (1, rows):
        raise GenerationArgumentError(
            f"decoder_start_token_id={shorten(start)} has {starts.shape[0]} ids for {rows} rows; expected one, or one "
            "for each row."
        )
    starts = starts[:, None].expand(rows, 1)
    if given is None:
        return starts.clone()
    ids = checked_ids(model, given, name="decoder_input_ids")
    if ids.shape[0] != rows:
        raise GenerationArgumentError(
            f"decoder_input_ids has {ids.shape[0]} rows, but the encoder read {rows}; expected as many."
        )
    begins = bool(torch.all(ids[:, :1] == starts))
    return ids if begins else torch.cat((starts, ids), dim=1)


def _not_outputs(value: Any) -> Any:
    raise GenerationArgumentError(
        f"encoder_outputs is {shorten(value)} of type {type(value).__name__}; expected what "
        "model.get_encoder()(...) returns, or a tuple that begins with the hidden states."
    )
