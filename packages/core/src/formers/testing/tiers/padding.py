"""Tier ``numerics``: padding, batch-mates and packing never change an answer (laws 2 and 3)."""

from __future__ import annotations

from typing import Any

import torch

from formers.modeling.packing import PackingMode
from formers.testing.batches import Rows, compare_row, run
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import Head, close, finite, served, tensors_of
from formers.testing.subject import Subject

LENGTHS = (5, 2, 6)
WIDTH = 7
LAYOUTS = (
    ((5, 2, 6), (1, 3, 0), 7),
    ((1, 3, 1), (0, 2, 5), 6),
    ((2, 2, 5), (5, 0, 2), 8),
    ((1,), (2,), 5),
    ((6, 1, 2, 3), (3, 8, 0, 5), 9),
)
"""Lengths of rows, the columns where they begin, and the width of the batch."""


def _alone(subject: Subject, cases: Cases, side: str, lengths: tuple[int, ...], width: int) -> None:
    models = subject.models
    for head in models.heads:
        for attention in models.attentions:
            with cases(head, attention), torch.no_grad():
                _needs_mask(head)
                rows = Rows(models, head, lengths)
                batch = rows.batch(side, width)

                def together_and_alone(
                    dtype: torch.dtype, head: Head = head, attention: str = attention
                ) -> list[Any]:
                    model = models.build(head, attention, dtype)
                    return [run(model, inputs) for inputs in (batch.inputs, *rows.rows)]  # noqa: B023 - called at once

                together, *alone = served(attention, together_and_alone)
                for index, answer in enumerate(alone):
                    compare_row(together, answer, batch, index)


def _needs_mask(head: Head) -> None:
    if "attention_mask" not in head.arguments:
        raise NotApplicable("forward has no attention_mask")


PACKINGS: tuple[tuple[str | None, PackingMode], ...] = (("eager", "never"), (None, "auto"), (None, "always"))


@check("numerics.batch", law=2)
def batch_mates(subject: Subject, cases: Cases) -> None:
    """A row of a batch is what it is alone."""
    _alone(subject, cases, "right", (5, 5, 5), 5)


@check("numerics.right_padding", law=2)
def right_padding(subject: Subject, cases: Cases) -> None:
    """Padding on the right, with anything in it, changes nothing."""
    _alone(subject, cases, "right", LENGTHS, WIDTH)


@check("numerics.left_padding", law=2)
def left_padding(subject: Subject, cases: Cases) -> None:
    """Padding on the left, with anything in it, changes nothing: positions count from the first real token."""
    _alone(subject, cases, "left", LENGTHS, WIDTH)


@check("numerics.padding_anywhere", law=2)
def padding_anywhere(subject: Subject, cases: Cases) -> None:
    """Padding on both sides of rows of any length, in any mixture, computed or left out, changes nothing."""
    models = subject.models
    for head in models.heads:
        # Tiny batches are never packed by themselves: it would not pay.
        for attention, packing in PACKINGS:
            with cases(head, attention or "auto", f"packing {packing}"), torch.no_grad():
                _needs_mask(head)
                model = models.build(head, attention)
                model.set_packing(packing)
                for lengths, offsets, width in LAYOUTS:
                    rows = Rows(models, head, lengths, seed=width)
                    batch = rows.batch(width=width, offsets=offsets)
                    together = run(model, batch.inputs)
                    for index, row in enumerate(rows.rows):
                        compare_row(together, run(model, row), batch, index)


@check("numerics.decoder_padding", law=2)
def decoder_padding(subject: Subject, cases: Cases) -> None:
    """Padding of the decoder's tokens, on either side, changes nothing."""
    models = subject.models
    for head in models.heads:
        for side in ("left", "right"):
            with cases(head, side), torch.no_grad():
                if "decoder_attention_mask" not in head.arguments:
                    raise NotApplicable("forward has no decoder_attention_mask")
                model = models.build(head)
                rows = Rows(models, head, (5, 5))
                if "decoder_input_ids" not in rows.rows[0]:
                    raise NotApplicable("its decoder reads the source")
                first, second = rows.rows
                second["decoder_input_ids"] = second["decoder_input_ids"][:, :2]
                batch = rows_with_targets(first, second, side)
                found = run(model, batch)
                columns = slice(2, 4) if side == "left" else slice(0, 2)
                expected = run(model, second)
                for name in _decoder_fields(found):
                    close(found[name][1:, columns], expected[name], name)


def rows_with_targets(first: dict[str, Any], second: dict[str, Any], side: str) -> dict[str, Any]:
    """Two rows, the second with two target tokens instead of four."""
    long, short = first["decoder_input_ids"], second["decoder_input_ids"]
    garbage = long[:, :2]
    padded = torch.cat((garbage, short) if side == "left" else (short, garbage), dim=1)
    inputs = {name: torch.cat((first[name], second[name])) for name in first if name != "decoder_input_ids"}
    inputs["decoder_input_ids"] = torch.cat((long, padded))
    mask = torch.ones(2, 4, dtype=torch.int64)
    mask[1, slice(0, 2) if side == "left" else slice(2, 4)] = 0
    inputs["decoder_attention_mask"] = mask
    return inputs


def _decoder_fields(output: Any) -> list[str]:
    found = [name for name, value in tensors_of(output).items() if value.dim() == 3 and value.shape[1] == 4]
    require(found, "no field of the output is of the decoder's tokens")
    return found


def _reads_its_source(head: Head, rows: Rows) -> bool:
    """Whether the decoder is given the source again, in rows."""
    return "decoder_attention_mask" in head.arguments and "decoder_input_ids" not in rows.rows[0]


@check("numerics.packed", needs=("packed",), law=2)
def packed(subject: Subject, cases: Cases) -> None:
    """Documents one after another are what padded rows are."""
    models = subject.models
    for head in models.heads:
        for attention in models.attentions:
            with cases(head, attention), torch.no_grad():
                _needs_mask(head)
                if any("MultipleChoice" in auto for auto in head.autos):
                    raise NotApplicable("a question has several rows")
                rows = Rows(models, head, LENGTHS)
                if models.is_encoder_decoder and _reads_its_source(head, rows):
                    raise NotApplicable("its decoder reads the source, too")

                def answer(dtype: torch.dtype, head: Head = head, attention: str = attention) -> list[Any]:
                    model = models.build(head, attention, dtype)
                    together = run(model, rows.packed())  # noqa: B023 - called at once
                    model.set_attn_implementation("eager")
                    return [together, *(run(model, row) for row in rows.rows)]  # noqa: B023

                together, *alone = served(attention, answer)
                for name, value in tensors_of(together).items():
                    _compare_documents(name, value, alone)


def _compare_documents(name: str, value: torch.Tensor, alone: list[Any]) -> None:
    expected = [tensors_of(output)[name] for output in alone]
    if len(value) == sum(LENGTHS):
        close(value, torch.cat([one[0] for one in expected]), name)
        return
    for index, one in enumerate(expected):
        shared = tuple(slice(0, size) for size in one.shape[1:])
        close(value[index][shared], one[0], name)


@check("numerics.holes", law=2)
def holes(subject: Subject, cases: Cases) -> None:
    """A hole in the mask shifts nothing; explicit position_ids win."""
    models = subject.models
    kept = [0, 1, 3, 4, 5]
    for head in models.heads:
        with cases(head), torch.no_grad():
            if not {"attention_mask", "position_ids"} <= head.arguments:
                raise NotApplicable("forward has no attention_mask and position_ids")
            model = models.build(head)
            (row,) = Rows(models, head, (6,)).rows
            mask = torch.ones_like(row["input_ids"])
            mask[..., 2] = 0
            found = run(model, row, attention_mask=mask)
            cut = {name: value[..., kept] for name, value in row.items()}
            positions = torch.tensor(kept).expand(cut["input_ids"].shape)
            expected = run(model, cut, position_ids=positions)
            for name, value in tensors_of(expected).items():
                answer = tensors_of(found)[name]
                answer = answer[:, kept] if answer.shape != value.shape else answer
                close(answer, value, name)


def _embedded(
    subject: Subject, head: Head, attention: str, mask: torch.Tensor
) -> tuple[Any, torch.Tensor, Any]:
    """A model, embeddings that need gradients, and the output for them."""
    if not {"attention_mask", "inputs_embeds"} <= head.arguments:
        raise NotApplicable("forward has no inputs_embeds")
    models = subject.models
    model = models.build(head, attention)
    rows = Rows(models, head, (5, 5)).batch()
    inputs = {name: value for name, value in rows.inputs.items() if name != "attention_mask"}
    ids = inputs.pop("input_ids")
    embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
    mask = mask.expand(ids.shape) if ids.dim() == 2 else mask[:, None].expand(ids.shape)
    try:
        output = run(model, inputs | {"attention_mask": mask, "inputs_embeds": embedded})
    except ValueError as error:
        raise NotApplicable(f"it does not take inputs_embeds alone: {error}") from error
    return model, embedded, output


def _total(output: Any, row: int | None = None) -> torch.Tensor:
    parts = [
        (value if row is None or value.dim() == 0 else value[row]).sin().sum()
        for value in tensors_of(output).values()
        if value.requires_grad
    ]
    return torch.stack(parts).sum()


@check("numerics.padding_gradient", law=2)
def padding_gradient(subject: Subject, cases: Cases) -> None:
    """Nothing is passed back into padding."""
    models = subject.models
    mask = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]])
    for head in models.heads:
        for attention in models.attentions:
            with cases(head, attention):
                _, embedded, output = _embedded(subject, head, attention, mask)
                total = _real_total(output, mask)
                total.backward()
                require(embedded.grad is not None, "no gradient reaches the embeddings")
                assert embedded.grad is not None
                real = mask if embedded.dim() == 3 else mask[:, None].expand(embedded.shape[:-1])
                require(not embedded.grad[real == 0].any(), "padding has a gradient")
                require(bool(embedded.grad[real == 1].any()), "real tokens have none")


def _real_total(output: Any, mask: torch.Tensor) -> torch.Tensor:
    """A number that depends on the answers at real positions only."""
    parts = []
    for value in tensors_of(output).values():
        if not value.requires_grad:
            continue
        along = value.dim() > 1 and value.shape[:2] == mask.shape
        parts.append((value[mask == 1] if along else value).sin().sum())
    return torch.stack(parts).sum()


@check("numerics.masked_row", law=3)
def masked_row(subject: Subject, cases: Cases) -> None:
    """A row without real tokens is finite, passes nothing back, and its neighbours do not notice."""
    models = subject.models
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
    for head in models.heads:
        for attention in models.attentions:
            with cases(head, attention):
                model, embedded, output = _embedded(subject, head, attention, mask)
                finite(output, "row without tokens")
                whole = _embedded(subject, head, attention, torch.ones_like(mask))[2]
                for name, value in tensors_of(output).items():
                    if value.dim():
                        close(value[:1], tensors_of(whole)[name][:1], f"{name} of the neighbour")
                _total(output, 0).backward()
                assert embedded.grad is not None
                require(not embedded.grad[1].any(), "the row without tokens has a gradient")
                for name, parameter in model.named_parameters():
                    good = parameter.grad is None or bool(parameter.grad.isfinite().all())
                    require(good, f"the gradient of {name} is not finite")
