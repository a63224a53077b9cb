"""Between a model and the attention contract: one selection per kind of call, one pass object per forward."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch

from formers.attention import select
from formers.attention.contract import AttentionImplementation, AttentionPass, AttentionRequest, Phase
from formers.attention.registry import implementations_for
from formers.attention.report import AttentionReport
from formers.attention.select import Selection
from formers.layout import Layout

if TYPE_CHECKING:
    from formers.config import PreTrainedConfig

    from .base import PreTrainedModel

__all__ = ["Attending", "Kind", "choose", "find_implementations", "head_dim", "report"]

Kind = tuple[Any, ...]
"""What decides which implementation serves a call; made by :meth:`Attending.kind`."""


class Attending:
    """What a model remembers about attention: the implementation selected for each kind of call."""

    __slots__ = ("_config", "_selections")

    def __init__(self, config: PreTrainedConfig) -> None:
        self._config = config
        self._selections: dict[Kind, tuple[AttentionRequest, Selection]] = {}

    def begin(
        self,
        query: Layout,
        key: Layout,
        *,
        device: torch.device,
        dtype: torch.dtype,
        training: bool,
        causal: bool = False,
        cross: bool = False,
        cached: bool = False,
        fixed: bool = False,
        dropout: float = 0.0,
        need_probs: bool = False,
        head_mask: bool = False,
        bias: str = "",
    ) -> tuple[AttentionImplementation, AttentionPass]:
        """Select the implementation for one forward and describe what stays the same through its layers.

        Args:
            query: which positions ask; with a cache only the new ones.
            key: which positions answer; with a cache the past ones too.
            cross: the keys belong to another sequence.
            cached: a cache is read or appended to.
            fixed: that cache has fixed shapes, see :meth:`formers.cache.StaticCache.fix_shapes`.
            dropout: probability in training; ignored otherwise.
            bias: "" for none, ``"bias"`` for an additive bias, ``"bias_grad"`` for one that is trained.

        Raises:
            AttentionUnsupported: the implementation chosen by name cannot serve this call.
            ValueError: a 4-D mask is for another number of heads.
        """
        kind = self.kind(
            query, key, device=device, dtype=dtype, training=training, causal=causal, cross=cross, cached=cached,
            fixed=fixed, dropout=dropout, need_probs=need_probs, head_mask=head_mask, bias=bias,
        )  # fmt: skip
        self.ensure_selected(kind)
        dropout = dropout if training else 0.0
        step = AttentionPass(query, key, causal=causal, dropout=dropout, need_probs=need_probs)
        return self.selected(kind), step

    def kind(
        self,
        query: Layout,
        key: Layout,
        *,
        device: torch.device,
        dtype: torch.dtype,
        training: bool,
        causal: bool = False,
        cross: bool = False,
        cached: bool = False,
        fixed: bool = False,
        dropout: float = 0.0,
        need_probs: bool = False,
        head_mask: bool = False,
        bias: str = "",
    ) -> Kind:
        """What decides the selection for one forward; the arguments are those of :meth:`begin`.

        Raises:
            ValueError: a 4-D mask is for another number of heads.
        """
        if key.pairwise is not None:
            _check_heads(key.pairwise, self._config.num_attention_heads)
        phase: Phase = "train" if training else "encode"
        if cached and not training:
            phase = "decode" if query.length == 1 else "prefill"
        return (
            self._config._attn_implementation, device.type, dtype, phase, causal, cross, cached, fixed,
            training and dropout > 0.0, need_probs, head_mask, bias,
            key.is_packed, key.mask is not None, key.pairwise is not None or key.additive is not None,
        )  # fmt: skip

    def selected(self, kind: Kind) -> AttentionImplementation:
        """What serves a kind of call, once :meth:`ensure_selected` has seen it."""
        return self._selections[kind][1].implementation

    def ensure_selected(self, *kinds: Kind) -> bool:
        """Select for all the kinds of call of one forward.

        A forward with several names them together, before it asks for the first: a graph that is traced knows only
        those selections that were there when it first looked.

        Raises:
            AttentionUnsupported: the implementation chosen by name cannot serve a call.
        """
        for kind in kinds:
            if kind not in self._selections:
                self._select(kind)
        return True

    # Runs as plain Python while a graph is traced; else the graph would ask whether the kind is still unknown, and be
    # compiled again at once. (The mark is what torch.compiler.assume_constant_result sets, whose import takes 1 s.)
    ensure_selected._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def _select(self, kind: Kind) -> None:
        (wanted, device, dtype, phase, causal, cross, cached, fixed, dropout, probs, head_mask, bias,
         packed, padding, dense_mask) = kind  # fmt: skip
        flags = {
            "causal": causal, "cross": cross, "cache": cached, "fixed": fixed, "dropout": dropout, "probs": probs,
            "head_mask": head_mask, "bias": bool(bias), "bias_grad": bias == "bias_grad", "packed": packed,
            "padding": padding, "dense_mask": dense_mask,
        }  # fmt: skip
        config = self._config
        request = AttentionRequest(
            architecture=config.model_type,
            phase=phase,
            device=device,
            dtype=dtype,
            heads=config.num_attention_heads,
            head_dim=head_dim(config),
            needs=frozenset(name for name, needed in flags.items() if needed),
        )
        self._selections[kind] = request, select.select(request, wanted)

    def chosen(self) -> list[tuple[AttentionRequest, Selection]]:
        """Each kind of call so far, with what serves it."""
        return list(self._selections.values())

    def __deepcopy__(self, memo: dict[int, Any]) -> Attending:
        return Attending(copy.deepcopy(self._config, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return Attending, (self._config,)


def _check_heads(mask: torch.Tensor, heads: int) -> None:
    if mask.shape[1] not in (1, heads):
        raise ValueError(
            f"attention_mask has shape {tuple(mask.shape)}; expected [batch or 1, heads or 1, queries or 1, length] "
            f"with {heads} heads."
        )


def head_dim(config: PreTrainedConfig) -> int:
    """The width of a head."""
    declared = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    return int(declared or config.hidden_size // config.num_attention_heads)


def find_implementations(model: PreTrainedModel) -> None:
    """Ask the plugins now: a graph that is traced later cannot."""
    implementations_for(model.config.model_type)


def choose(model: PreTrainedModel, name: str | None) -> None:
    """Set the attention of a model and of every pretrained model inside it."""
    from .base import PreTrainedModel

    if name is not None:
        select.check_name(name, model.config.model_type)
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            module.config._attn_implementation = name


def report(model: PreTrainedModel) -> AttentionReport:
    """The selections of a model and of every pretrained model inside it."""
    from .base import PreTrainedModel

    chosen = [
        pair
        for module in model.modules()
        if isinstance(module, PreTrainedModel)
        for pair in module._attending.chosen()
    ]
    packing: Counter[str] = Counter()
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            packing.update(module._packing.notes)
    return AttentionReport(chosen, packing)
