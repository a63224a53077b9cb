"""Tier ``model``: loading says what does not fit, and loads what does (law 5)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from formers.errors import MissingWeightsError, MissingWeightsWarning, ShapeMismatchError
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import Head, equal, without_warnings_of_new_weights
from formers.testing.subject import Subject

from .saving import loaded

FILE = "model.safetensors"


def _tensors(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / FILE)


def _write(folder: Path, tensors: dict[str, Tensor]) -> None:
    save_file(
        {name: value.clone() for name, value in tensors.items()}, folder / FILE, metadata={"format": "pt"}
    )


@check("model.missing_weights", law=5)
def missing_weights(subject: Subject, cases: Cases) -> None:
    """A checkpoint that lacks a weight of the base model is refused, and the message names it."""
    models = subject.models
    for head in models.heads:
        with cases(head):
            _, folder = models.saved(head)
            tensors = _tensors(folder)
            name = max(
                tensors, key=lambda one: ("embed" not in one and tensors[one].dim() > 1, tensors[one].numel())
            )
            name = next(
                (
                    one
                    for one in tensors
                    if ".0." in one and tensors[one].dim() > 1 and not _optional(head, one)
                ),
                name,
            )
            tensors.pop(name)
            _write(folder, tensors)
            try:
                head.load(folder)
            except MissingWeightsError as error:
                require(name in str(error), f"the message does not name {name}: {error}")
            else:
                require(False, f"it was loaded without {name}")


def _optional(head: Head, name: str) -> bool:
    import re

    return any(re.search(pattern, name) for pattern in head.cls.optional_weights)


@check("model.unexpected_weights", law=5)
def unexpected_weights(subject: Subject, cases: Cases) -> None:
    """A stored tensor that belongs nowhere is reported."""
    models = subject.models
    for head in models.heads:
        with cases(head):
            _, folder = models.saved(head)
            _write(folder, _tensors(folder) | {"stray.weight": torch.ones(3)})
            with without_warnings_of_new_weights():
                _, report = head.load(folder, output_loading_info=True)
            require("stray.weight" in report["unexpected_keys"], "stray.weight is not reported")
            require(len(report["unexpected_keys"]) == 1, f"reported, too: {list(report['unexpected_keys'])}")


@check("model.shapes", law=5)
def shapes(subject: Subject, cases: Cases) -> None:
    """A stored tensor of another shape is refused, and the message names it."""
    models = subject.models
    for head in models.heads:
        with cases(head):
            _, folder = models.saved(head)
            tensors = _tensors(folder)
            name = next(one for one, value in tensors.items() if value.dim() > 1)
            tensors[name] = torch.cat((tensors[name], tensors[name]))
            _write(folder, tensors)
            try:
                head.load(folder)
            except ShapeMismatchError as error:
                require(name in str(error), f"the message does not name {name}: {error}")
            else:
                require(False, f"it was loaded with {name} of another shape")


@check("model.base_into_heads", law=5)
def base_into_heads(subject: Subject, cases: Cases) -> None:
    """Weights of the bare model load into every head, which warns of its own new ones; and back."""
    models = subject.models
    if "AutoModel" not in models.base.autos:
        raise NotApplicable("the manifest has no AutoModel")
    base, base_folder = models.saved(models.base)
    for head in models.heads:
        if head.cls is models.base.cls:
            continue
        with cases(head, "from the bare model"):
            if not models.base.cls.base_model_prefix:
                raise NotApplicable("base_model_prefix is empty")
            with without_warnings_of_new_weights():
                model, report = head.load(base_folder, output_loading_info=True, **head.overrides)
            require(
                not report["missing_keys"] or _all_optional(head, report["missing_keys"]),
                "undeclared weights",
            )
            _same_base(model.base_model, base)
            if report.initialised:
                _warns(head, base_folder)
        with cases(head, "into the bare model"):
            whole, folder = models.saved(head)
            absent = base.state_dict().keys() - whole.base_model.state_dict().keys()
            if not _all_optional(models.base, sorted(absent)):
                raise NotApplicable("it is a part of the bare model")
            with without_warnings_of_new_weights():
                found = models.base.load(folder)
            _same_base(whole.base_model, found)


def _all_optional(head: Head, names: list[str]) -> bool:
    return all(_optional(head, name) for name in names)


def _warns(head: Head, folder: Path) -> None:
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        head.load(folder, **head.overrides)
    require(
        any(issubclass(one.category, MissingWeightsWarning) for one in caught),
        "there is no warning of new weights",
    )


def _same_base(found: torch.nn.Module, expected: torch.nn.Module) -> None:
    left, right = found.state_dict(), expected.state_dict()
    shared = left.keys() & right.keys()
    require(
        len(shared) >= min(len(left), len(right)) / 2,
        "the bare model and the one in the head have other names",
    )
    for name in shared:
        equal(left[name], right[name], name)


@check("model.auto_loading", law=1)
def auto_loading(subject: Subject, cases: Cases) -> None:
    """A folder is loaded by every Auto class as its own class, from ``config.json`` alone."""
    import formers

    for head in subject.models.heads:
        with cases(head):
            _, folder = subject.models.saved(head)
            for name in head.autos:
                found = getattr(formers, name).from_pretrained(folder)
                require(type(found) is head.cls, f"{name} gives {type(found).__name__}")
            same = loaded(head, folder)
            require(type(same.config) is subject.config_class, "its configuration is of another class")
