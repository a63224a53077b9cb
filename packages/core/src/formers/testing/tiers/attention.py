"""Tier ``attention``: every implementation that serves a call gives what eager gives, and none gives in silently."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from formers.errors import AttentionUnsupported
from formers.testing.batches import Rows, run
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import Head, close, served, tensors_of
from formers.testing.subject import Subject

PADDINGS = ("none", "right", "left")


def _others(subject: Subject) -> list[str]:
    others = subject.models.attentions[1:]
    if not others:
        raise NotApplicable("eager is the only implementation")
    return others


def _numbers(
    subject: Subject, head: Head, attention: str, dtype: torch.dtype, padding: str
) -> dict[str, Tensor]:
    """Answers at real positions and gradients, in training mode."""
    models = subject.models
    model = models.build(head, attention, dtype).train()
    lengths, side = ((6, 6, 6), "right") if padding == "none" else ((6, 2, 4), padding)
    batch = Rows(models, head, lengths).batch(side)
    inputs: dict[str, Any] = dict(batch.inputs)
    if padding == "none":
        inputs.pop("attention_mask")
        inputs |= _mask_if_needed(head)
    if "use_cache" in head.arguments:
        inputs["use_cache"] = False
    output = run(model, inputs)
    found: dict[str, Tensor] = {}
    for name, value in tensors_of(output).items():
        for row in range(3):
            at_source = value.dim() > 1 and value.shape[1] == batch.width
            found[f"{name}, row {row}"] = value[row, batch.columns(row)] if at_source else value[row]
    torch.stack([one.float().sin().sum() for one in found.values() if one.requires_grad]).sum().backward()
    found |= {
        f"gradient of {name}": one.grad for name, one in model.named_parameters() if one.grad is not None
    }
    return {name: value.detach() for name, value in found.items()}


def _mask_if_needed(head: Head) -> dict[str, Any]:
    """A classifier of several rows may want to know where they end."""
    if "AutoModelForSequenceClassification" in head.autos:
        return {"attention_mask": torch.ones(3, 6, dtype=torch.int64)}
    return {}


@check("attention.agreement", law=3)
def agreement(subject: Subject, cases: Cases) -> None:
    """Every implementation gives eager's answers and gradients, with and without padding."""
    for head in subject.models.heads:
        if any("MultipleChoice" in auto for auto in head.autos):
            continue  # its base is that of the other classes
        for attention in _others(subject):
            for padding in PADDINGS:
                with cases(head, attention, padding):
                    served(attention, partial(_agree, subject, head, attention, padding))


def _agree(subject: Subject, head: Head, attention: str, padding: str, dtype: torch.dtype) -> None:
    found = _numbers(subject, head, attention, dtype, padding)
    expected = _numbers(subject, head, "eager", dtype, padding)
    require(found.keys() == expected.keys(), "gradients reach other parameters")
    for name, value in expected.items():
        close(found[name], value, name)


@check("attention.probabilities", law=5)
def probabilities(subject: Subject, cases: Cases) -> None:
    """Probabilities are given, zero on padding and one in sum; a name that cannot give them is an error."""
    head = subject.models.base
    models = subject.models
    rows = Rows(models, head, (5, 3)).batch()
    with cases("auto"), torch.no_grad():
        require("output_attentions" in head.arguments, "forward has no output_attentions")
        output = run(models.build(head), rows.inputs, output_attentions=True)
        name = next(
            (one for one in output if one.endswith("attentions") and not one.startswith("decoder")), ""
        )
        require(name, "the output has no attentions")
        for probs in output[name]:
            if probs.shape[-1] == rows.width:
                close(probs[1, :, :3].sum(-1), torch.ones_like(probs[1, :, :3, 0]), "sum")
                require(not probs[1, :, :3, 3:].any(), "padding is attended to")
    for attention in _others(subject):
        with cases(attention), torch.no_grad():
            model = models.build(head, attention)
            try:
                output = run(model, rows.inputs, output_attentions=True)
            except AttentionUnsupported as reason:
                require(attention in str(reason), f"the message does not name it: {reason}")
                continue
            given = [output[one] for one in output if one.endswith("attentions")]
            require(given and all(one is not None for one in given[0]), "there are none, and no error")


@check("attention.by_name", law=5)
def by_name(subject: Subject, cases: Cases) -> None:
    """A name that is given is what runs, in every layer; the report says so."""
    models = subject.models
    for head in models.heads:
        for attention in models.attentions:
            with cases(head, attention), torch.no_grad():
                used = served(attention, partial(_used, subject, head, attention))
                require(used == [attention], f"{', '.join(used) or 'nothing'} ran")


def _used(subject: Subject, head: Head, attention: str, dtype: torch.dtype) -> list[str]:
    models = subject.models
    model = models.build(head, attention, dtype)
    run(model, Rows(models, head, (5, 3)).batch().inputs)
    return model.attention_report().names()


@check("attention.dense_masks", law=2)
def dense_masks(subject: Subject, cases: Cases) -> None:
    """A 4-D mask of who reads whom is what the 2-D mask says; one of another shape is an error."""
    models = subject.models
    for head in models.heads:
        for attention in models.attentions:
            with cases(head, attention), torch.no_grad():
                if "attention_mask" not in head.arguments or models.is_encoder_decoder:
                    raise NotApplicable("its attention_mask is of 2 dimensions")
                if "AutoModelForSequenceClassification" in head.autos:
                    raise NotApplicable("its head may need to know where rows end")
                if "AutoModelForMultipleChoice" in head.autos:
                    raise NotApplicable("a question has several rows")
                served(attention, partial(_dense_is_plain, subject, head, attention))


def _dense_is_plain(subject: Subject, head: Head, attention: str, dtype: torch.dtype) -> None:
    models = subject.models
    model = models.build(head, attention, dtype)
    batch = Rows(models, head, (6, 4)).batch()
    allowed = batch.inputs["attention_mask"].bool()[:, None, None, :].expand(-1, 1, 6, -1).clone()
    if _is_causal(subject, head):
        allowed &= torch.ones(6, 6, dtype=torch.bool).tril()
    expected = tensors_of(run(model, batch.inputs))
    found = tensors_of(run(model, {**batch.inputs, "attention_mask": allowed}))
    for name, value in expected.items():
        if value.dim() == 3:
            for row in range(2):
                close(found[name][row, batch.columns(row)], value[row, batch.columns(row)], name)


def _is_causal(subject: Subject, head: Head) -> bool:
    """Whether a later token changes an earlier answer."""
    models = subject.models
    model = models.build(head)
    (row,) = Rows(models, head, (6,)).rows
    other = {name: value.clone() for name, value in row.items()}
    other["input_ids"][..., -1] = row["input_ids"][..., 0]
    first, second = tensors_of(run(model, row)), tensors_of(run(model, other))
    return all(
        torch.allclose(value[:, :-1], second[name][:, :-1])
        for name, value in first.items()
        if value.dim() == 3
    )
