"""What generation begins with: the caller's tensors, checked once, as a :class:`Prompt`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.errors import FormersWarning, GenerationArgumentError, shorten, warn

from .forward_arguments import ForwardArguments

if TYPE_CHECKING:
    from .plan import GenerationPlan

__all__ = [
    "Prompt",
    "check_embeds",
    "checked_ids",
    "checked_mask",
    "mask_of_padding",
    "read_prompt",
    "real_positions",
]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The rows that a run begins with.

    Attributes:
        ids: int64 [rows, length], what the decoder begins with; no columns if only ``embeds`` were given.
        mask: int64 [rows, offset + length], 1 where a position is real; None if all are.
        embeds: [rows, offset + length, hidden], in place of the ids of the first forward.
        offset: positions of ``embeds`` that have no column in ``ids``.
        context: further arguments of every forward, such as an encoder's outputs.
        source_ids: the ids that an encoder read; for a decoder the prompt itself.
        takes: the arguments that the model's forward has.
        mask_name: what the model calls ``mask``.
    """

    ids: Tensor
    mask: Tensor | None
    takes: ForwardArguments
    embeds: Tensor | None = None
    offset: int = 0
    context: Mapping[str, Any] = field(default_factory=dict)
    source_ids: Tensor | None = None
    mask_name: str = "attention_mask"

    @property
    def encoder_outputs(self) -> Any:
        """What the encoder gave; None for a decoder alone."""
        return self.context.get("encoder_outputs")

    @property
    def padding(self) -> Tensor | None:
        """int64 [rows], how many columns of ``ids`` are padding in front; None if none are."""
        if self.mask is None or self.ids.shape[1] != self.mask.shape[1]:
            return None
        return (self.mask.cumsum(dim=1) == 0).sum(dim=1)

    @property
    def wants_positions(self) -> bool:
        """Whether the model is told where each token stands: its own count would stumble over a hole in the mask."""
        return self.mask is not None and self.takes.has("position_ids")

    @property
    def takes_logits_to_keep(self) -> bool:
        """Whether the model can leave out the scores of the prompt."""
        return self.takes.has("logits_to_keep")


def read_prompt(
    model: Any,
    plan: GenerationPlan,
    inputs: Tensor | None,
    given: dict[str, Any],
    takes: ForwardArguments,
    past: int = 0,
) -> Prompt:
    """The prompt of a decoder, from the arguments of ``generate``.

    Args:
        inputs: its first argument.
        given: the arguments that are not settings; what becomes part of the prompt is taken out.
        past: positions that the caller's cache holds; the prompt begins with their tokens.

    Raises:
        GenerationArgumentError: a shape, a type or an id does not fit, or there is nothing to begin with.
    """
    named = given.pop("input_ids", None)
    if inputs is not None and named is not None:
        raise GenerationArgumentError("generate() got both inputs and input_ids; give one of them.")
    ids = named if inputs is None else inputs
    embeds, mask = given.pop("inputs_embeds", None), given.pop("attention_mask", None)
    if embeds is not None:
        check_embeds(embeds, ids)
        if ids is None:
            ids = torch.empty(embeds.shape[0], 0, dtype=torch.long, device=embeds.device)
    elif ids is None:
        ids = _empty_prompt(model, plan, given)
    ids = checked_ids(model, ids, allow_no_columns=embeds is not None)
    length = ids.shape[1] if embeds is None else embeds.shape[1]
    if mask is None:
        mask = mask_of_padding(ids, plan) if embeds is None else None
    else:
        mask = checked_mask(mask, ids.shape[0], length)
    if past:
        _check_continues(past, length)
    elif mask is not None and embeds is None:
        ids, mask = _aligned(ids, mask, given)
    return Prompt(
        ids, mask, takes, embeds=embeds, offset=length - ids.shape[1], context=given, source_ids=ids
    )


def real_positions(mask: Tensor | None) -> Tensor | None:
    """int64 like ``mask``: how many real tokens come before each; padding in front counts as 0."""
    return None if mask is None else (mask.cumsum(dim=-1) - 1).clamp_min_(0)


def _check_continues(past: int, length: int) -> None:
    if length <= past:
        raise GenerationArgumentError(
            f"past_key_values holds {past} positions, but the prompt has only {length}; expected the whole text so "
            "far, of which the cache lacks at least the last token. Crop or reset() the cache to begin anew."
        )


def _empty_prompt(model: Any, plan: GenerationPlan, given: Mapping[str, Any]) -> Tensor:
    if plan.bos_token_id is None:
        raise GenerationArgumentError(
            "generate() got no prompt, and there is no bos_token_id to begin with. Pass input_ids, or bos_token_id=..."
        )
    rows = next((value.shape[0] for value in given.values() if isinstance(value, Tensor) and value.dim()), 1)
    return torch.full((rows, 1), plan.bos_token_id, dtype=torch.long, device=model.device)


def checked_ids(model: Any, ids: Any, *, allow_no_columns: bool = False, name: str = "input_ids") -> Tensor:
    """The ids of a prompt as int64 on the model's device.

    Raises:
        GenerationArgumentError: not a tensor [batch, length] of ids that the model has.
    """
    if not isinstance(ids, Tensor):
        raise GenerationArgumentError(
            f"{name} is {shorten(ids)} of type {type(ids).__name__}; expected a tensor [batch, length]. "
            'A tokenizer gives one with return_tensors="pt".'
        )
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise GenerationArgumentError(
            f"{name} has dtype {ids.dtype}; expected integers, usually torch.int64."
        )
    if ids.dim() != 2 or ids.shape[0] == 0 or (ids.shape[1] == 0 and not allow_no_columns):
        raise GenerationArgumentError(
            f"{name} has shape {tuple(ids.shape)}; expected [batch, length] with at least one row and one token."
        )
    moved: Tensor = ids.to(model.device, torch.long)
    _check_known(model, moved, name)
    return moved


def _check_known(model: Any, ids: Tensor, name: str) -> None:
    size = getattr(model.config.get_text_config(decoder=True), "vocab_size", None)
    if isinstance(size, int) and ids.numel():
        low, high = ids.min().item(), ids.max().item()
        if low < 0 or high >= size:
            row, column = ((ids < 0) | (ids >= size)).nonzero()[0].tolist()
            raise GenerationArgumentError(
                f"{name} holds {ids[row, column].item()} at [{row}, {column}]; expected 0 to {size - 1} "
                "(config.vocab_size). The tokenizer may belong to another model, or have more tokens than it: "
                "model.resize_token_embeddings(len(tokenizer))."
            )


def check_embeds(embeds: Any, ids: Tensor | None) -> None:
    """Refuse embeddings that are not [batch, length, hidden], or of another batch than the ids."""
    if not isinstance(embeds, Tensor) or embeds.dim() != 3:
        shape = tuple(embeds.shape) if isinstance(embeds, Tensor) else shorten(embeds)
        raise GenerationArgumentError(f"inputs_embeds is {shape}; expected a tensor [batch, length, hidden].")
    if ids is not None and (ids.dim() != 2 or ids.shape[0] != embeds.shape[0]):
        raise GenerationArgumentError(
            f"input_ids has shape {tuple(ids.shape)} and inputs_embeds {tuple(embeds.shape)}; expected as many rows."
        )


def checked_mask(mask: Any, rows: int, length: int, name: str = "attention_mask") -> Tensor | None:
    """A mask as 0 and 1, int64 [rows, length]; None if nothing is padding."""
    if not isinstance(mask, Tensor) or mask.shape != (rows, length):
        shape = f"has shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else f"is {shorten(mask)}"
        raise GenerationArgumentError(
            f"{name} {shape}; expected [batch, length] = ({rows}, {length}) as of the prompt: 1 where a token "
            "is real, 0 where it is padding."
        )
    mask = (mask != 0).long()
    return None if bool(mask.all()) else mask


def mask_of_padding(ids: Tensor, plan: GenerationPlan) -> Tensor | None:
    """A mask that hides the padding, if there is any and it cannot be the end of a text."""
    pad = plan.pad_token_id
    if pad is None or pad in plan.eos_token_ids:
        return None
    real = ids != pad
    return None if bool(real.all()) else real.long()


def _aligned(ids: Tensor, mask: Tensor, given: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Move padding behind a prompt to its front, so that what is generated follows the text."""
    behind = mask.flip(1).argmax(dim=1) * mask.any(dim=1)
    if not bool(behind.any()):
        return ids, mask
    warn(
        "generate() got prompts with padding behind them; it was moved to the front, because a decoder continues "
        'from the last column. Use tokenizer.padding_side = "left".',
        FormersWarning,
    )
    columns = torch.arange(ids.shape[1], device=ids.device)
    source = (columns - behind[:, None]) % ids.shape[1]
    types = given.get("token_type_ids")
    if isinstance(types, Tensor) and types.shape == ids.shape:
        given["token_type_ids"] = types.gather(1, source)
    return ids.gather(1, source), mask.gather(1, source)
