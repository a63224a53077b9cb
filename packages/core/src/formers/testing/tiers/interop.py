"""Tier ``interop``: the same numbers as another library with transformers' interface (law 1); opt-in.

``--formers-reference NAME`` names the library's package. It is imported here, and only then.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from formers.testing.batches import Rows, run
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import Head, close, equal, tensors_of
from formers.testing.subject import Subject

from .saving import loaded


def _library(subject: Subject) -> Any:
    if subject.reference is None:
        raise NotApplicable("no library to compare with; give --formers-reference NAME")
    try:
        return import_module(subject.reference)
    except ImportError as error:
        raise NotApplicable(f"{subject.reference} cannot be imported: {error}") from error


def _their_class(subject: Subject, head: Head) -> Any:
    found = getattr(_library(subject), head.name, None)
    if found is None:
        raise NotApplicable(f"{subject.reference} has no {head}")
    return found


def _theirs(subject: Subject, head: Head, folder: Path) -> Any:
    model = _their_class(subject, head).from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    )
    return model.eval()


@check("interop.config", law=1)
def config(subject: Subject, cases: Cases) -> None:
    """A configuration that one wrote, the other reads, with the same values."""
    library = _library(subject)
    with cases("ours, read by theirs"):
        folder = subject.folder()
        ours = subject.config(num_labels=3)
        ours.save_pretrained(folder)
        theirs = library.AutoConfig.from_pretrained(folder)
        require(type(theirs).__name__ == type(ours).__name__, f"it is a {type(theirs).__name__}")
        written = ours.to_diff_dict()
        for name, value in written.items():
            if name not in ("architectures", "dtype", "transformers_version") and hasattr(theirs, name):
                require(getattr(theirs, name) == value, f"{name} is {getattr(theirs, name)!r}, not {value!r}")
        again = subject.folder()
        theirs.save_pretrained(again)
        found = subject.config_class.from_pretrained(again)
        for name, value in written.items():
            if name not in ("architectures", "dtype", "transformers_version", "id2label", "label2id"):
                require(getattr(found, name) == value, f"back again, {name} is {getattr(found, name)!r}")


@check("interop.keys", law=1)
def keys(subject: Subject, cases: Cases) -> None:
    """The weights have the published names and shapes."""
    for head in subject.models.heads:
        with cases(head):
            model, folder = subject.models.saved(head)
            theirs = _theirs(subject, head, folder)
            ours = {name: tuple(value.shape) for name, value in model.state_dict().items()}
            expected = {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
            different = {
                name for name in ours.keys() | expected.keys() if ours.get(name) != expected.get(name)
            }
            stray = {
                name for name in different if not name.endswith((".position_ids", ".bias", ".masked_bias"))
            }
            require(not stray, f"other names or shapes: {sorted(stray)[:5]}")


@check("interop.outputs", law=1)
def outputs(subject: Subject, cases: Cases) -> None:
    """One checkpoint, the same inputs: the same answers, losses and gradients."""
    for head in subject.models.heads:
        with cases(head):
            model, folder = subject.models.saved(head)
            theirs = _theirs(subject, head, folder)
            rows = Rows(subject.models, head, (5,))  # several may need a padding token there
            if head.has_labels:
                rows = rows.labelled(model)
            inputs = rows.batch().inputs
            if head.generates and head.has_labels:
                inputs.pop("decoder_input_ids", None)
            found, expected = run(model, inputs), theirs(**inputs)
            for name, value in tensors_of(found).items():
                if name in expected and expected[name] is not None:
                    close(value.detach(), expected[name].detach(), name)
            require(found.keys() & expected.keys(), "no field is in both")
            if head.has_labels:
                found.loss.backward()
                expected.loss.backward()
                gradients = {name: one.grad for name, one in theirs.named_parameters()}
                for name, one in model.named_parameters():
                    if one.grad is not None and gradients.get(name) is not None:
                        close(one.grad, gradients[name], f"gradient of {name}")


@check("interop.checkpoints", law=1)
def checkpoints(subject: Subject, cases: Cases) -> None:
    """What the other library saved loads to the bit."""
    for head in subject.models.heads:
        with cases(head):
            model, folder = subject.models.saved(head)
            theirs = _theirs(subject, head, folder)
            again = subject.folder()
            theirs.save_pretrained(again)
            found = loaded(head, again)
            for name, value in model.state_dict().items():
                equal(found.state_dict()[name], value, name)


@check("interop.generation", needs=("decoder",), law=1)
def generation(subject: Subject, cases: Cases) -> None:
    """Greedy decoding and beams give the same tokens."""
    for head in subject.models.generating():
        for beams in (1, 3):
            with cases(head, f"num_beams={beams}"):
                model, folder = subject.models.saved(head)
                theirs = _theirs(subject, head, folder)
                row = Rows(subject.models, head, (5,)).rows[0]
                given = {"input_ids": row["input_ids"], "attention_mask": torch.ones_like(row["input_ids"])}
                settings = {"max_new_tokens": 6, "do_sample": False, "num_beams": beams, "pad_token_id": 0}
                found = model.generate(**given, **settings)  # type: ignore[operator]
                expected = theirs.generate(**given, **settings)
                require(torch.equal(found, expected), f"{found.tolist()}, not {expected.tolist()}")
