"""What the parity tests of several architectures share: padded batches with labels, and comparisons with the oracle.

A padded batch is compared with the oracle on each row alone and unpadded, which is what a row means here (law 2);
labels at padding and start positions in columns are therefore part of every padded case.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

LENGTHS = (8, 4, 6, 4)  # real tokens of each row; even, as the oracle needs for chunks of 2
SOURCE_LENGTHS = (5, 3, 5, 1)  # of what cross-attention reads
LABELLED = 2  # labelled tokens in each row: as many in all, so that the mean over rows is the mean over items
ROWS = range(len(LENGTHS))


@dataclass
class Batch:
    """Inputs and labels of a padded batch, and where its rows are real."""

    tensors: dict[str, Tensor]
    starts: list[int]
    ends: list[int]

    def row(self, index: int) -> dict[str, Tensor]:
        """The inputs and labels of one row by itself, unpadded."""
        start, end = self.starts[index], self.ends[index]
        row = {}
        for name, tensor in self.tensors.items():
            value = tensor[index : index + 1]
            if name in ("attention_mask", "encoder_attention_mask"):
                continue
            if name == "encoder_hidden_states":
                value = value[:, : SOURCE_LENGTHS[index]]
            elif name.endswith("_positions"):
                value = value - start
            elif value.dim() > 1:
                value = value[:, start:end]
            row[name] = value
        return row

    def columns(self, index: int) -> tuple[slice, slice]:
        """The index of a row's real tokens in a tensor [batch, length, ...]."""
        return slice(index, index + 1), slice(self.starts[index], self.ends[index])

    @property
    def real(self) -> Tensor:
        """Bool [batch, length], True where a token is real."""
        columns = torch.arange(max(LENGTHS))
        starts, ends = torch.tensor(self.starts)[:, None], torch.tensor(self.ends)[:, None]
        return (starts <= columns) & (columns < ends)


Labels = Callable[[Any, Batch], dict[str, Tensor]]


@dataclass(frozen=True)
class Task:
    """One model class: its labels, and its outputs by token and by row."""

    labels: Labels = lambda config, batch: {}
    by_token: tuple[str, ...] = ()
    by_row: tuple[str, ...] = ()
    reads_encoder: bool = False


def token_labels(classes: str, shift: int = 0) -> Labels:
    """Labels for ``LABELLED`` real tokens of each row, and for all padding, where they must not count.

    With ``shift`` 1 the first real token has a label too: nothing stands before it that could predict it.
    """

    def labels(config: Any, batch: Batch) -> dict[str, Tensor]:
        drawn = torch.randint(0, getattr(config, classes), batch.tensors["input_ids"].shape)
        for row, start, end in zip(drawn, batch.starts, batch.ends, strict=True):
            row[start + shift + LABELLED : end] = -100
        return {"labels": drawn}

    return labels


def row_labels(config: Any, batch: Batch) -> dict[str, Tensor]:
    if config.num_labels == 1:
        return {"labels": torch.randn(len(ROWS), dtype=torch.float64)}
    return {"labels": torch.randint(0, config.num_labels, (len(ROWS),))}


def two_labels(name: str) -> Labels:
    return lambda config, batch: {name: torch.randint(0, 2, (len(ROWS),))}


def spans(config: Any, batch: Batch) -> dict[str, Tensor]:
    return {"start_positions": torch.tensor(batch.starts), "end_positions": torch.tensor(batch.ends) - 1}


def make_batch(config: Any, task: Task, padding: str, types: int) -> Batch:
    """A batch of ``LENGTHS`` (all of the longest without padding) with labels and token types below ``types``."""
    longest = max(LENGTHS)
    lengths = (longest,) * len(ROWS) if padding == "none" else LENGTHS
    starts = [longest - length if padding == "left" else 0 for length in lengths]
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    shape = (len(ROWS), longest)
    batch = Batch({"input_ids": torch.randint(1, config.vocab_size, shape)}, starts, ends)
    batch.tensors["token_type_ids"] = torch.randint(0, types, shape)
    if padding != "none":
        batch.tensors["attention_mask"] = batch.real.long()
    if config.add_cross_attention and task.reads_encoder:
        source = max(SOURCE_LENGTHS)
        batch.tensors["encoder_hidden_states"] = torch.randn(len(ROWS), source, config.hidden_size).double()
        batch.tensors["encoder_attention_mask"] = torch.arange(source) < torch.tensor(SOURCE_LENGTHS)[:, None]
    batch.tensors |= task.labels(config, batch)
    return batch


def by_row(batch: Batch, padding: str, model: Any, **asked: Any) -> list[Any]:
    """The oracle's outputs: for each row alone, or without padding for the batch as it is."""
    if padding == "none":
        return [model(**batch.tensors, **asked)]
    return [model(**batch.row(index), **asked) for index in ROWS]


def objective(output: Any, task: Task, real: Any, rows: int) -> Tensor:
    """What is differentiated: the loss, and a function of all outputs at real tokens, as the mean over rows."""
    total = output.get("loss", torch.zeros((), dtype=torch.float64))
    for name in task.by_token:
        total = total + output[name][real].sin().sum() / rows
    for name in task.by_row:
        total = total + output[name].sin().sum() / rows
    return total


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(ours, theirs, rtol=10 * tolerance, atol=tolerance, check_dtype=False)


def same_gradients(ours: Any, theirs: Any, tolerance: float = 1e-10) -> None:
    parameters = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        found = parameters[name].grad
        close(torch.zeros_like(parameter) if found is None else found, expected, tolerance)


def same_outputs(found: Any, expected: list[Any], task: Task, batch: Batch, tolerance: float = 1e-10) -> None:
    """Everything that a model returns for the real tokens; probabilities of padding are 0."""
    if len(expected) > 1:
        rows = [batch.columns(index) for index in ROWS]
    else:
        rows = [(slice(None), slice(None))]
    for (row, columns), theirs in zip(rows, expected, strict=True):
        for name in task.by_token:
            close(found[name][row, columns], theirs[name], tolerance)
        for name in task.by_row:
            close(found[name][row], theirs[name], tolerance)
        for ours, states in zip(found.hidden_states, theirs.hidden_states, strict=True):
            close(ours[row, columns], states, tolerance)
        for ours, probs in zip(found.get("attentions", ()), theirs.get("attentions") or (), strict=True):
            close(ours[row, :, columns, columns], probs, tolerance)
            close(ours[row, :, columns].sum(dim=-1), probs.sum(dim=-1), tolerance)
        for ours, probs in zip(
            found.get("cross_attentions", ()), theirs.get("cross_attentions") or (), strict=True
        ):
            close(ours[row, :, columns, : probs.shape[-1]], probs, tolerance)


def masks(rows: int, length: int) -> dict[str, Tensor]:
    """Masks of four dimensions; every query may read itself."""
    allowed = torch.rand(rows, 1, length, length) < 0.6
    allowed = allowed | torch.eye(length, dtype=torch.bool)
    return {
        "bool": allowed,
        "one row": allowed[:1],
        "additive": torch.where(allowed, torch.randn(rows, 1, length, length), -1e30).double(),
    }


def not_empty(output: Any) -> list[tuple[Any, str]]:
    """Name (or place) and type of what an output holds; a decoder of theirs without cross-attention holds ``()``."""
    items = output.items() if hasattr(output, "items") else enumerate(output)
    return [
        (key, type(value).__name__) for key, value in items if not (isinstance(value, tuple) and not value)
    ]


def shapes(model: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the weights, in their order."""
    return [(key, tuple(value.shape)) for key, value in model.state_dict().items()]


def same_signature(ours: Any, theirs: Any) -> None:
    """Our positional parameters start with theirs, in the same order; what they take as **kwargs has a name."""
    found, expected = (inspect.signature(cls.forward).parameters for cls in (ours, theirs))
    named = [key for key, value in expected.items() if value.kind is not inspect.Parameter.VAR_KEYWORD]
    assert [key for key in found if key != "cache_position"][: len(named)] == named
    assert not any(value.kind is inspect.Parameter.VAR_KEYWORD for value in found.values())
