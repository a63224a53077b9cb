"""A model's forward recorded as a graph of the device for each bucket of tokens.

A small batch takes a GPU less time than its host takes to launch the kernels. Batches of one shape can be replayed with
one launch, but padded ones come in too many shapes. So a batch is packed, and filled up to a bucket with a document of
its own that nothing else reads. No GPU has run this yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.errors import FormersError
from formers.layout import Layout

from .graphs import CudaRecorder, Recorder, reason_against
from .packing import pack_batch
from .replaying import Graphs, Replayed, circumstances, signature_of, weights_of

if TYPE_CHECKING:
    from .base import PreTrainedModel

__all__ = ["CapturedForward", "bucket_of"]

_KEPT = 32


def bucket_of(tokens: int) -> int:
    """The multiple to which so many tokens are filled up."""
    return 256 if tokens <= 4096 else 1024


class CapturedForward:
    """Calls a model on padded batches, for inference; one graph serves all batches of a bucket and number of rows.

    ::

        fast = CapturedForward(model)
        states = fast(**tokenizer(texts, padding=True, return_tensors="pt").to("cuda")).last_hidden_state

    Results are those of the model, with 0 at padding. The host waits for the lengths of the rows, so that this pays for
    batches that are small: for large ones, launches do not count.

    Args:
        model: in evaluation mode; an encoder whose forward takes packed batches and ``position_ids``.
        kept: how many graphs to keep, the latest.
        recorder: what records; by default, the device that the model is on.

    Raises:
        FormersError: nothing can be recorded there.
    """

    def __init__(
        self, model: PreTrainedModel, *, kept: int = _KEPT, recorder: Recorder | None = None
    ) -> None:
        reason = "" if recorder is not None else reason_against(model.device)
        if reason:
            raise FormersError(f"CapturedForward({type(model).__name__}): {reason}.")
        self._model, self._graphs = model, Graphs(kept)
        self._recorder = CudaRecorder(model.device) if recorder is None else recorder

    @torch.no_grad()
    def __call__(self, *, attention_mask: Tensor, **arguments: Any) -> Any:
        """The model's output for a padded batch.

        Args:
            attention_mask: [batch, length], 1 where a token is real.
            arguments: of the model's ``forward``: tensors [batch, length, ...], and flags.

        Raises:
            RuntimeError: the forward does what cannot be recorded, such as reading values from the device.
            ValueError: the model is in training mode, or labels are given.
        """
        if self._model.training or "labels" in arguments:
            raise ValueError("CapturedForward is for inference: call model.eval(), and pass no labels.")
        batch = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
        flags = {name: value for name, value in arguments.items() if name not in batch}
        batch["attention_mask"] = attention_mask
        inputs, rows = pack_batch(batch, multiple_of=bucket_of(0))
        if (bucket := bucket_of(rows.tokens)) != bucket_of(0):
            inputs, rows = pack_batch(batch, multiple_of=bucket)
        packed: Layout = inputs.pop("attention_mask")
        inputs["cu_seqlens"] = packed.cu_seqlens
        return self._run({**inputs, **flags}, rows, packed)

    def _run(self, given: dict[str, Any], rows: Layout, packed: Layout) -> Any:
        model = self._model
        sizes = packed.length, packed.tokens
        key = signature_of(given), sizes, circumstances(model), self._recorder.place()
        weights = weights_of(model)
        graph = self._graphs.take(key, weights)
        if graph is None:
            graph = Replayed(key, weights, given)
            work = _Work(model, graph.inputs, *sizes)
            self._recorder.warm_up(work)
            graph.record(self._recorder, work)
        output = graph.run(given, keep=lambda tensor: _unpacked(tensor, rows, packed))
        graph.forget()
        self._graphs.give(graph)
        return output


class _Work:
    """The forward on a graph's own inputs; what a layout keeps is computed anew each time."""

    def __init__(self, model: PreTrainedModel, inputs: dict[str, Any], length: int, total: int) -> None:
        self._model, self._length, self._total = model, length, total
        self._inputs = dict(inputs)
        self._bounds: Tensor = self._inputs.pop("cu_seqlens")

    def __call__(self) -> Any:
        layout = Layout.packed(self._bounds, self._length, self._total)
        return self._model(**self._inputs, attention_mask=layout, return_dict=True)


def _unpacked(tensor: Tensor, rows: Layout, packed: Layout) -> Tensor:
    """A result without the document that filled the bucket: of tokens as the caller's are, or one for each row."""
    if tensor.shape[0] == packed.tokens:
        found = rows.unpack(tensor[: rows.tokens])
        return found.clone() if rows.places is None else found
    return tensor[: rows.batch].clone()
