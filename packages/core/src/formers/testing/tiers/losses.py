"""Tier ``numerics``: a loss is sums and counts, of real positions only (laws 2 and 9)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.losses import LossTerm, combine
from formers.modeling import PreTrainedModel
from formers.testing.batches import Rows, run
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import Head, close
from formers.testing.subject import Subject

SPLITS = ([[0, 1, 2, 3]], [[0], [1], [2], [3]], [[0, 1], [2, 3]], [[0, 1, 2], [3]])
LENGTHS = (6, 3, 5, 2)


def labelled(subject: Subject, head: Head) -> tuple[PreTrainedModel, Rows]:
    """A model and rows of different lengths with labels.

    Raises:
        NotApplicable: the class computes no loss.
    """
    if not head.has_labels:
        raise NotApplicable("forward has no labels")
    models = subject.models
    model = models.build(head)
    return model, Rows(models, head, LENGTHS).labelled(model)


def _inputs(head: Head, rows: Rows, side: str = "right", only: list[int] | None = None) -> dict[str, Any]:
    inputs = rows.batch(side, width=7, only=only).inputs
    if head.generates:
        inputs.pop("decoder_input_ids", None)  # made from the labels
    return inputs


def _terms(model: PreTrainedModel, inputs: dict[str, Any]) -> dict[str, LossTerm]:
    terms = dict(model.loss_terms(**inputs))
    require(terms, "loss_terms is empty")
    return terms


@check("numerics.loss_terms", law=9)
def loss_terms(subject: Subject, cases: Cases) -> None:
    """The loss is made of its terms' sums and counts."""
    for head in subject.models.heads:
        with cases(head), torch.no_grad():
            model, rows = labelled(subject, head)
            inputs = _inputs(head, rows)
            output = run(model, inputs)
            require(output.loss is not None and output.loss.dim() == 0, "loss is not one number")
            close(combine(_terms(model, inputs)), output.loss, "loss")
            unlabelled = {
                name: value for name, value in inputs.items() if not name.endswith(("labels", "_label"))
            }
            unlabelled = {
                name: value for name, value in unlabelled.items() if not name.endswith("_positions")
            }
            if "decoder_input_ids" in rows.rows[0]:
                unlabelled["decoder_input_ids"] = rows.batch().inputs["decoder_input_ids"]
            require(run(model, unlabelled).get("loss") is None, "there is a loss without labels")


@check("numerics.loss_padding", law=2)
def loss_padding(subject: Subject, cases: Cases) -> None:
    """The loss of a padded batch is that of its rows alone, whatever labels are in the padding."""
    for head in subject.models.heads:
        for side in ("right", "left"):
            with cases(head, side), torch.no_grad():
                model, rows = labelled(subject, head)
                together = _terms(model, _inputs(head, rows, side))
                alone = []
                for row in rows.rows:
                    given = dict(row)
                    if head.generates:
                        given.pop("decoder_input_ids", None)
                    alone.append(_terms(model, given))
                for name, term in together.items():
                    close(term.sum, _added([one[name].sum for one in alone]), f"sum of {name}")
                    close(term.count, _added([one[name].count for one in alone]), f"count of {name}")


def _added(values: list[Tensor]) -> Tensor:
    return torch.stack(values).sum().to(values[0].dtype)


@check("numerics.accumulation", law=9)
def accumulation(subject: Subject, cases: Cases) -> None:
    """With the number of items of the whole batch, micro-batches add up to its loss and its gradients."""
    for head in subject.models.heads:
        for split in SPLITS[1:]:
            with cases(head, "+".join(str(len(part)) for part in split)):
                model, rows = labelled(subject, head)
                whole = _inputs(head, rows)
                require("num_items_in_batch" in head.arguments, "forward has no num_items_in_batch")
                terms = _terms(model, whole)
                counts: Any = {name: term.count for name, term in terms.items()}
                expected = _backward(model, [whole], None)
                parts = [_inputs(head, rows, only=part) for part in split]
                found = _backward(model, parts, counts)
                if len(counts) == 1:
                    number = next(iter(counts.values())).item()
                    _compare(_backward(model, parts, number), expected)
                _compare(found, expected)


def _backward(model: PreTrainedModel, batches: list[dict[str, Any]], items: Any) -> dict[str, Tensor]:
    model.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for batch in batches:
        loss = run(model, batch, **({} if items is None else {"num_items_in_batch": items})).loss
        loss.backward()
        total += loss.detach()
    return {"loss": total} | {
        name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None
    }


def _compare(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, value in expected.items():
        close(found[name], value, name)


@check("numerics.loss_of_nothing", law=9)
def loss_of_nothing(subject: Subject, cases: Cases) -> None:
    """Without any label a loss is zero and trains nothing, rather than NaN."""
    for head in subject.models.heads:
        with cases(head):
            model, rows = labelled(subject, head)
            inputs = _inputs(head, rows)
            labels = inputs.get("labels")
            if labels is None or labels.is_floating_point():
                raise NotApplicable("its labels are no classes")
            for name in list(inputs):
                if name == "labels" or name.endswith("_label"):
                    inputs[name] = torch.full_like(inputs[name], -100)
            loss = run(model, inputs).loss
            require(loss.item() == 0, f"the loss is {loss.item()}")
            loss.backward()
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    require(not parameter.grad.any(), f"{name} has a gradient")


@check("numerics.packed_loss", needs=("packed",), law=2)
def packed_loss(subject: Subject, cases: Cases) -> None:
    """The loss of packed documents is that of each alone; no term reaches into another document."""
    for head in subject.models.heads:
        with cases(head), torch.no_grad():
            model, rows = labelled(subject, head)
            if "labels" not in head.arguments or subject.models.is_encoder_decoder:
                raise NotApplicable("its labels are not of packed tokens")
            if any("MultipleChoice" in auto for auto in head.autos):
                raise NotApplicable("a question has several rows")
            together = _terms(model, rows.packed())
            alone = [_terms(model, dict(row)) for row in rows.rows]
            for name, term in together.items():
                close(term.sum, _added([one[name].sum for one in alone]), f"sum of {name}")
                close(term.count, _added([one[name].count for one in alone]), f"count of {name}")


@check("numerics.padded_positions", law=2)
def padded_positions(subject: Subject, cases: Cases) -> None:
    """Padding is never an answer: the scores of padded positions are the lowest number."""
    heads = [head for head in subject.models.heads if "AutoModelForQuestionAnswering" in head.autos]
    if not heads:
        raise NotApplicable("no class answers with positions")
    for head in heads:
        for side in ("right", "left"):
            with cases(head, side), torch.no_grad():
                models = subject.models
                batch = Rows(models, head, (5, 3)).batch(side, width=7)
                output = run(models.build(head), batch.inputs)
                for name in ("start_logits", "end_logits"):
                    padded = output[name][batch.inputs["attention_mask"] == 0]
                    lowest = torch.finfo(padded.dtype).min
                    require(bool((padded == lowest).all()), f"{name} of padding is not {lowest:.3g}")
