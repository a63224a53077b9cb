"""Running a padded batch without its padding: when, and when not.

A batch is packed once, before the embeddings; its real tokens then run as [tokens, hidden] through every layer, and
results are put back where the caller's tensors have them, with 0 at padding. :func:`packed_layout` decides. What it
returns is a :class:`formers.layout.Layout` that packs and unpacks; for a batch that stays as it is both do nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from formers.attention import select
from formers.attention.contract import AttentionRequest
from formers.errors import AttentionUnsupported, shorten
from formers.layout import Layout, may_wait_for

from .attending import head_dim
from .thresholds import threshold_for

if TYPE_CHECKING:
    from formers.cache import Cache

    from .base import PreTrainedModel

__all__ = ["Packing", "PackingMode", "choose", "pack_batch", "pack_inputs", "packed_layout", "unpack_states"]

PackingMode = Literal["auto", "always", "never"]


@dataclass(slots=True)
class Packing:
    """Whether a model packs, and what became of its padded batches.

    Attributes:
        mode: ``"auto"`` packs where that is faster, ``"always"`` wherever it is possible, ``"never"`` never.
        notes: how many batches were packed, or were not, for which reason.
    """

    mode: PackingMode = "auto"
    notes: Counter[str] = field(default_factory=Counter)

    def note(self, outcome: str) -> None:
        """Count a batch."""
        self.notes[outcome] += 1

    # Runs as plain Python while a graph is traced, once for each graph; see formers.modeling.attending.
    note._dynamo_marked_constant = True  # type: ignore[attr-defined]


def choose(model: PreTrainedModel, mode: PackingMode) -> None:
    """Set the mode of a model and of every pretrained model inside it.

    Raises:
        ValueError: there is no such mode.
    """
    from .base import PreTrainedModel

    if mode not in get_args(PackingMode):
        raise ValueError(f"set_packing({shorten(mode)}): expected 'auto', 'always' or 'never'.")
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module._packing.mode = mode


def packed_layout(
    model: PreTrainedModel,
    layout: Layout,
    *,
    needs: Iterable[str] = (),
    cache: Cache | None = None,
    need_probs: bool = False,
    head_mask: Tensor | None = None,
    gaps: bool = True,
    refused: str = "",
) -> Layout:
    """The layout that the layers shall work on: ``layout`` itself, or its real tokens one after another.

    Args:
        model: whose mode and attention count.
        layout: of the call.
        needs: what the attention needs besides (see ``formers.attention.NEEDS``).
        cache: of earlier calls. Only one that is still empty can be filled from a packed batch.
        need_probs: whether attention probabilities are returned, which are those of padded rows.
        head_mask: of the call.
        gaps: whether tokens may be missing in the middle of a row; not if scores depend on distances.
        refused: why the model cannot run a packed batch; empty if it can.
    """
    packing = model._packing
    if layout.mask is None or layout.pairwise is not None or packing.mode == "never":
        return layout
    reason = refused or _hindrance(layout, cache, need_probs, head_mask)
    packed = None
    if not reason:
        packed, reason = _packed(model, layout, tuple(needs), gaps)
    if packed is not None:
        packing.note("packed")
        return packed
    if model.base_model is model:  # which a head's model hands the batch to, and which then says the same
        packing.note(f"not packed: {reason}")
    return layout


def pack_inputs(layout: Layout, **given: Tensor | None) -> tuple[Tensor | None, ...]:
    """The caller's tensors as the layers take them, in the order given; None stays None.

    Raises:
        ValueError: one is of another batch; its name here is the one in the message.
    """
    if layout.origin is None:
        return tuple(given.values())
    return tuple(None if tensor is None else layout.pack(tensor, name) for name, tensor in given.items())


def unpack_states(layout: Layout, states: tuple[Tensor, ...] | None) -> tuple[Tensor, ...] | None:
    """Hidden states of several layers as the caller's tensors are arranged."""
    return None if states is None else tuple(layout.unpack(state) for state in states)


def pack_batch(
    batch: Mapping[str, Tensor], *, multiple_of: int = 64, fill: Mapping[str, int] | None = None
) -> tuple[dict[str, Any], Layout]:
    """A padded batch as packed inputs of few different shapes, for a model that was compiled.

    In a graph that is compiled no shape can depend on a mask, so that a model does not pack there by itself. This does
    so before the graph, and fills the tokens up with a document of their own until their number is a multiple::

        inputs, rows = pack_batch(tokenizer(texts, padding=True, return_tensors="pt"))
        states = rows.unpack(compiled(**inputs).last_hidden_state[: rows.tokens])

    Args:
        batch: tensors [batch, length, ...]; ``"attention_mask"`` [batch, length] among them.
        multiple_of: of the tokens of a bucket, and of the length of the longest document.
        fill: what stands in the added tokens, by the name of the tensor; otherwise -100 in ``"labels"``, else 0.

    Returns:
        The inputs, with a layout as ``"attention_mask"`` and with ``"position_ids"``, and the layout that unpacks
        outputs, less the added tokens.

    Raises:
        ValueError: there is no mask of two dimensions, or a tensor is of another batch.
    """
    mask = batch.get("attention_mask")
    if mask is None or mask.dim() != 2:
        given = "none" if mask is None else f"one of shape {tuple(mask.shape)}"
        raise ValueError(f"pack_batch needs an attention_mask of shape [batch, length]; got {given}.")
    count, length = mask.shape
    whole = Layout(count, length, mask=mask != 0, device=mask.device)
    rows = whole.without_padding()
    spare = -rows.tokens % multiple_of
    inputs: dict[str, Any] = {"position_ids": whole.positions(), **batch}
    del inputs["attention_mask"]
    for name, tensor in inputs.items():
        value = (fill or {}).get(name, -100 if name == "labels" else 0)
        flat = rows.pack(tensor, name)
        inputs[name] = torch.cat((flat, flat.new_full((spare, *flat.shape[1:]), value)))
    assert rows.cu_seqlens is not None
    bounds = torch.cat((rows.cu_seqlens, rows.cu_seqlens[-1:] + spare))
    longest = -(-max(rows.length, spare) // multiple_of) * multiple_of
    inputs["attention_mask"] = Layout.packed(bounds, longest, rows.tokens + spare)
    return inputs, rows


def _hindrance(layout: Layout, cache: Cache | None, need_probs: bool, head_mask: Tensor | None) -> str:
    """Why a call cannot be packed, by what is known without looking at its mask; empty if it can."""
    if need_probs:
        return "the probabilities of padded rows are returned (output_attentions=True)"
    if head_mask is not None:
        return "head_mask weights the probabilities of padded rows"
    if cache is not None and cache.cursor is not None:
        return "a cache of fixed shapes keeps padded rows"
    if cache is not None and cache.get_seq_length():
        return "the cache holds earlier tokens"
    mask = layout.mask
    assert mask is not None
    if not may_wait_for(mask):
        return "a graph is recorded, whose shapes cannot depend on the mask; give it a batch that is packed already"
    return ""


def _packed(
    model: PreTrainedModel, layout: Layout, needs: tuple[str, ...], gaps: bool
) -> tuple[Layout | None, str]:
    """The packed layout, or None with the reason."""
    device = layout.device
    assert device is not None
    auto = model._packing.mode == "auto"
    threshold = threshold_for(device.type)
    if auto and layout.lengths is None and layout.batch * layout.length < threshold.waits_from:
        return None, "asking the accelerator how long its rows are would take longer"
    if auto and layout.lengths is not None:
        reason = threshold.against(layout.lengths, layout.length, model.config.hidden_size)
        if reason:
            return None, reason
    reason = (_hooked(model) if auto else "") or _unsupported(model, device, needs)
    if reason:
        return None, reason
    packed = layout.without_padding()
    lengths = packed.lengths
    assert lengths is not None
    if not any(lengths):
        return None, "no token is real"
    if not gaps and layout.has_gaps():
        return None, "tokens are missing in the middle of a row, and scores depend on distances"
    reason = threshold.against(lengths, layout.length, model.config.hidden_size) if auto else ""
    return (None, reason) if reason else (packed, "")


def _hooked(model: nn.Module) -> str:
    """A hook within the model was written for padded rows, and would see packed ones."""
    for module in model.modules():
        if module is not model and (
            module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
        ):
            return f"a {type(module).__name__} has a hook, which would be given packed tokens"
    return ""


def _unsupported(model: PreTrainedModel, device: torch.device, needs: tuple[str, ...]) -> str:
    """What the attention that was chosen by name has against packed batches; auto always finds one."""
    config = model.config
    wanted = config._attn_implementation
    if wanted in (None, select.AUTO) and not os.environ.get(select.VARIABLE):
        return ""
    request = AttentionRequest(
        architecture=config.model_type,
        phase="train" if model.training else "encode",
        device=device.type,
        dtype=model.dtype,
        heads=config.num_attention_heads,
        head_dim=head_dim(config),
        needs=frozenset(("packed", *needs, *(("dropout",) if model.training else ()))),
    )
    try:
        select.select(request, wanted)
    except AttentionUnsupported as error:
        return str(error).splitlines()[0]
    return ""
