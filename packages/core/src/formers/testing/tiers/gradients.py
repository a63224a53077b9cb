"""Tier ``numerics``: gradients reach everything, and are the same however they are computed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from formers.modeling import PreTrainedModel
from formers.testing.batches import Rows, run
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import Head, close, equal, tensors_of
from formers.testing.subject import Subject


def _gradients(model: PreTrainedModel, inputs: dict[str, Any]) -> dict[str, Tensor]:
    model.zero_grad()
    output = run(model, inputs)
    loss = output.get("loss")
    if loss is None:
        loss = torch.stack(
            [one.sin().sum() for one in tensors_of(output).values() if one.requires_grad]
        ).sum()
    loss.backward()
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


def _prepared(subject: Subject, head: Head) -> tuple[PreTrainedModel, dict[str, Any]]:
    models = subject.models
    model = models.build(head)
    rows = Rows(models, head, (6, 6, 6, 6))
    if head.has_labels:
        rows = rows.labelled(model)
    inputs = rows.batch().inputs
    if head.has_labels and "decoder_input_ids" in inputs and head.generates:
        inputs.pop("decoder_input_ids")  # made from the labels
    if "use_cache" in head.arguments:
        inputs["use_cache"] = False
    return model.train(), inputs


@check("numerics.gradients_reach")
def gradients_reach(subject: Subject, cases: Cases) -> None:
    """Every parameter has a gradient that is not zero."""
    for head in subject.models.heads:
        with cases(head):
            model, inputs = _prepared(subject, head)
            found = _gradients(model, inputs)
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    require(name in found, f"{name} has no gradient")
                    require(bool(found[name].isfinite().all()), f"the gradient of {name} is not finite")
                    require(bool(found[name].any()), f"the gradient of {name} is zero everywhere")


@check("numerics.gradient_checkpointing", needs=("gradient_checkpointing",))
def gradient_checkpointing(subject: Subject, cases: Cases) -> None:
    """Running layers again gives the same gradients, and does run them again."""
    for head in subject.models.heads:
        for reentrant in (False, True):
            with cases(head, f"use_reentrant={reentrant}"):
                model, inputs = _prepared(subject, head)
                require(model.supports_gradient_checkpointing, "supports_gradient_checkpointing is False")
                expected = _gradients(model, inputs)
                model.gradient_checkpointing_enable({"use_reentrant": reentrant})
                require(
                    model.is_gradient_checkpointing, "is_gradient_checkpointing is False after it was enabled"
                )
                if reentrant:
                    model.enable_input_require_grads()
                calls = _count_layers(model)
                found = _gradients(model, inputs)
                require(found.keys() == expected.keys(), f"without: {sorted(expected.keys() - found.keys())}")
                for name, value in expected.items():
                    close(found[name], value, name)
                require(max(calls.values(), default=0) >= 2, "no layer ran a second time")


def _count_layers(model: PreTrainedModel) -> dict[str, int]:
    """Counts the runs of each module that stands in a list."""
    calls: dict[str, int] = {}

    def counting(name: str) -> Any:
        def count(*_: Any) -> None:
            calls[name] = calls.get(name, 0) + 1

        return count

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList):
            for index, layer in enumerate(module):
                layer.register_forward_pre_hook(counting(f"{name}.{index}"))
    return calls


@check("numerics.seeds")
def seeds(subject: Subject, cases: Cases) -> None:
    """In training the same seed gives the same numbers; in evaluation two runs are the same to the bit."""
    for head in subject.models.heads:
        with cases(head):
            model, inputs = _prepared(subject, head)
            first, again = run(model, inputs), run(model, inputs)
            for name, value in tensors_of(first).items():
                equal(tensors_of(again)[name], value, name)
            model.eval()
            with torch.no_grad():
                outputs = [model(**inputs) for _ in range(2)]
            for name, value in tensors_of(outputs[0]).items():
                equal(tensors_of(outputs[1])[name], value, name)


@check("numerics.calls_leave_nothing")
def calls_leave_nothing(subject: Subject, cases: Cases) -> None:
    """A call changes neither its inputs nor the model, and no later call notices it."""
    models = subject.models
    for head in models.heads:
        with cases(head), torch.no_grad():
            model = models.build(head)
            inputs = Rows(models, head, (5, 3)).batch().inputs
            other = Rows(models, head, (7, 7, 7), seed=9).batch().inputs
            before = {name: value.clone() for name, value in inputs.items()}
            state = {name: value.clone() for name, value in model.state_dict().items()}
            first = tensors_of(run(model, inputs))
            run(model, other)
            for name, value in tensors_of(run(model, inputs)).items():
                equal(value, first[name], f"{name} after a call with another batch")
            for name, value in before.items():
                equal(inputs[name], value, f"the input {name}")
            for name, value in model.state_dict().items():
                equal(value, state[name], f"the weight {name}")


@check("numerics.dtypes")
def dtypes(subject: Subject, cases: Cases) -> None:
    """In float32, bfloat16 and float16 the numbers are those of float64 within the precision."""
    models = subject.models
    for head in models.heads:
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            with cases(head, dtype), torch.no_grad():
                model = models.fresh(head).to(torch.float64)
                inputs = Rows(models, head, (6, 4)).batch().inputs
                expected = tensors_of(run(model, inputs))
                found = tensors_of(run(model.to(dtype), inputs))
                limit = 40 * torch.finfo(dtype).eps
                for name, value in expected.items():
                    if not value.is_floating_point():
                        continue
                    require(bool(found[name].isfinite().all()), f"{name} is not finite")
                    _require_near(found[name], value, limit, name)


def _require_near(found: Tensor, expected: Tensor, limit: float, name: str) -> None:
    lowest = torch.finfo(expected.dtype).min
    real = expected != lowest
    if not real.any():
        raise NotApplicable(f"{name} is masked everywhere")
    scale = float(expected[real].norm()) or 1.0
    error = float((found.to(expected.dtype)[real] - expected[real]).norm()) / scale
    require(error <= limit, f"{name} is off by {error:.1e}, more than {limit:.1e}")
