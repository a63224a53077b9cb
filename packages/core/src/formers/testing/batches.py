"""Inputs of models: rows of their own, the same rows padded or packed, labels, and how answers are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from formers.layout import Layout
from formers.modeling import PreTrainedModel

from .checks import NotApplicable, require
from .models import Head, Models, close, seeded, tensors_of

__all__ = ["Batch", "Row", "Rows", "compare_row", "run"]

Row = dict[str, Tensor]

_CHOICES = "AutoModelForMultipleChoice"
_POSITIONS = ("start_positions", "end_positions")
_TARGET_LENGTH = 4  # no length of a source below is this one


@dataclass(frozen=True)
class Batch:
    """Rows in one batch: the arguments of ``forward``, and where each row is in it."""

    inputs: dict[str, Any]
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    width: int

    def columns(self, row: int) -> slice:
        """Where the real positions of a row are."""
        return slice(self.offsets[row], self.offsets[row] + self.lengths[row])


class Rows:
    """Seeded rows for one class, of the given lengths, each [1, ...] and without padding."""

    def __init__(self, models: Models, head: Head, lengths: Sequence[int], seed: int = 0) -> None:
        self.head = head
        self.lengths = tuple(lengths)
        self._generator = Generator().manual_seed(seed)
        tiny = models.subject.tiny(**head.overrides)
        self._config = tiny.config
        make = tiny.inputs or self._default
        self.rows: list[Row] = [
            {
                name: value
                for name, value in make(tiny.config, length, self._generator).items()
                if name in head.arguments
            }
            for length in lengths
        ]

    def _default(self, config: Any, length: int, generator: Generator) -> Row:
        if "input_ids" not in self.head.arguments:
            raise NotApplicable(
                f"{self.head} has no input_ids; let the manifest's tiny give a formers.testing.Tiny with inputs"
            )
        shape = (1, 2, length) if _CHOICES in self.head.autos else (1, length)
        row = {"input_ids": self._ids(config, shape)}
        if "token_type_ids" in self.head.arguments:
            types = getattr(config, "type_vocab_size", None) or 2
            row["token_type_ids"] = torch.randint(0, types, shape, generator=generator)
        if "decoder_input_ids" in self.head.arguments:
            row["decoder_input_ids"] = self._ids(config, (1, _TARGET_LENGTH))
            if not self.head.arguments & {"labels"} and "start_positions" in self.head.arguments:
                row.pop("decoder_input_ids")  # the decoder reads the source again
            elif "AutoModelForSequenceClassification" in self.head.autos:
                row.pop("decoder_input_ids")
        return row

    def _ids(self, config: Any, shape: tuple[int, ...]) -> Tensor:
        """Random ids of no special token, but for an end where texts have one."""
        size = config.get_text_config().vocab_size
        low = min(8, size // 2)
        ids = torch.randint(low, size, shape, generator=self._generator)
        ends = getattr(config, "eos_token_id", None)
        if isinstance(ends, int) and ends < size:
            ids[..., -1] = ends
        return ids

    def labelled(self, model: PreTrainedModel) -> Rows:
        """Give every row labels, for the scores that the model answers with."""
        for row in self.rows:
            row |= self._labels(model, row)
        return self

    def _labels(self, model: PreTrainedModel, row: Row) -> Row:
        with torch.no_grad():
            output = run(model, row)
        labels: Row = {}
        if "start_positions" in self.head.arguments:
            last = row["input_ids"].shape[-1] if "input_ids" in row else output.start_logits.shape[1]
            for name in _POSITIONS:
                labels[name] = torch.randint(0, last, (1,), generator=self._generator)
            return labels
        scores = [value for name, value in output.items() if name.endswith("logits")]
        names = [
            name for name in self.head.arguments if name == "labels" or name.endswith(("_label", "_labels"))
        ]
        names.sort(key=lambda name: name != "labels")
        for name, logits in zip(names, scores, strict=False):
            labels[name] = self._classes(logits)
        return labels

    def _classes(self, logits: Tensor) -> Tensor:
        """One class for each item that there are scores for; a number where there is a single score."""
        if logits.dim() == 2 and logits.shape[1] == 1:
            return torch.rand(1, generator=self._generator).to(logits)
        return torch.randint(0, logits.shape[-1], tuple(logits.shape[:-1]), generator=self._generator)

    def batch(
        self,
        side: str = "right",
        width: int | None = None,
        only: Sequence[int] | None = None,
        offsets: Sequence[int] | None = None,
    ) -> Batch:
        """The rows padded on one side to a width, with whatever ids in the padding, and a mask.

        Args:
            side: ``"right"`` or ``"left"``.
            width: of the batch; the longest row by default.
            only: the numbers of the rows to take; all by default.
            offsets: the columns where the rows begin, instead of a side.
        """
        chosen = range(len(self.rows)) if only is None else only
        lengths = tuple(self.lengths[index] for index in chosen)
        width = width or max(lengths)
        sides = [width - length if side == "left" else 0 for length in lengths]
        offsets = tuple(sides if offsets is None else offsets)
        inputs: dict[str, Tensor] = {}
        for name in self.rows[chosen[0]]:
            parts = [
                self._in_batch(name, self.rows[index][name], length, offset, width)
                for index, length, offset in zip(chosen, lengths, offsets, strict=True)
            ]
            inputs[name] = torch.cat(parts)
        if "attention_mask" in self.head.arguments:
            inputs["attention_mask"] = self._mask(lengths, offsets, width)
        return Batch(inputs, offsets, lengths, width)

    def _in_batch(self, name: str, value: Tensor, length: int, offset: int, width: int) -> Tensor:
        if name in _POSITIONS:
            return value + offset
        dimension = next(
            (dim for dim in (-1, -2) if value.dim() + dim > 0 and value.shape[dim] == length), None
        )
        if dimension is None or length == width or name.startswith("decoder_"):
            return value
        shape = list(value.shape)
        shape[dimension] = width
        padded = self._garbage(value, shape)
        padded.narrow(dimension, offset, length).copy_(value)
        return padded

    def _garbage(self, value: Tensor, shape: list[int]) -> Tensor:
        if value.is_floating_point():
            return torch.randn(shape, generator=self._generator).to(value)
        pool = value.flatten()[:-1] if value.numel() > 1 else value.flatten()
        chosen = torch.randint(0, len(pool), shape, generator=self._generator)
        return pool[chosen]

    def _mask(self, lengths: Sequence[int], offsets: Sequence[int], width: int) -> Tensor:
        columns = torch.arange(width)
        starts, ends = torch.tensor(offsets)[:, None], torch.tensor(lengths)[:, None]
        mask = ((columns >= starts) & (columns < starts + ends)).long()
        if _CHOICES in self.head.autos:
            return mask[:, None].expand(-1, 2, -1).contiguous()
        return mask

    def packed(self) -> dict[str, Any]:
        """The rows one after another: [tokens] instead of [batch, length]."""
        bounds = [0, *torch.tensor(self.lengths).cumsum(0).tolist()]
        layout = Layout.packed(torch.tensor(bounds, dtype=torch.int32), max(self.lengths), bounds[-1])
        inputs: dict[str, Any] = {}
        for name in self.rows[0]:
            values = [row[name] for row in self.rows]
            along = all(
                value.shape[1:] == (length,) for value, length in zip(values, self.lengths, strict=True)
            )
            packable = along and not name.startswith("decoder_")
            inputs[name] = torch.cat([value[0] for value in values]) if packable else torch.cat(values)
        inputs["attention_mask"] = layout
        if "use_cache" in self.head.arguments:
            inputs["use_cache"] = False
        return inputs


def run(model: PreTrainedModel, inputs: Mapping[str, Any], **more: Any) -> Any:
    """``forward``; floating-point inputs take the model's dtype."""
    dtype = model.dtype
    cast = {
        name: value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
        for name, value in inputs.items()
    }
    with seeded(0):
        return model(**cast, **more)


def compare_row(together: Any, alone: Any, batch: Batch, row: int) -> None:
    """What a batch answered for one row is what the row got alone.

    Dimensions as long as the batch is wide are cut to the row's own positions.
    """
    answers, expected = tensors_of(together), tensors_of(alone)
    require(answers.keys() == expected.keys(), f"fields differ: {sorted(answers.keys() ^ expected.keys())}")
    for name, value in expected.items():
        if value.dim() == 0:
            continue  # a loss is of all rows
        found = answers[name][row]
        for dimension, size in enumerate(value.shape[1:]):
            if found.shape[dimension] != size:
                cut = found.shape[dimension] == batch.width and size == batch.lengths[row]
                require(cut, f"{name} is {tuple(found.shape)} in the batch, {tuple(value.shape[1:])} alone")
                found = found.narrow(dimension, batch.offsets[row], size)
        close(found, value[0], name)
