"""Gradients accumulated over the steps of a batch, for every head of the installed architectures (law 9).

``tests/integration`` holds the heads of formers to the law; ``tests/parity`` measures those of transformers beside
them, and writes the table of ``docs/accumulation.md``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from formers import PreTrainedModel
from formers.plugins import registry
from formers.plugins.loading import resolve_reference

ROWS, LENGTH, CHOICES, TARGET = 16, 10, 3, 6
SPLITS: dict[str, tuple[int, ...]] = {
    "1 x 16": (16,),
    "2 x 8": (8, 8),
    "4 x 4": (4, 4, 4, 4),
    "16 x 1": (1,) * 16,
    "5 + 5 + 6": (5, 5, 6),
}
LABELS = ("labels", "next_sentence_label", "mc_labels", "start_positions", "end_positions")
PROBLEMS: dict[str, dict[str, Any]] = {
    "": {"num_labels": 3},
    "regression": {"num_labels": 2, "problem_type": "regression"},
    "several labels": {"num_labels": 3, "problem_type": "multi_label_classification"},
}

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Head:
    """A model class with a loss, and the kind of problem that it is given."""

    cls: type[PreTrainedModel]
    tiny: str
    problem: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        return f"{self.cls.__name__}, {self.problem}" if self.problem else self.cls.__name__

    def config(self) -> Any:
        """Small, without dropout, with a token for padding."""
        make: Any = resolve_reference(self.tiny)
        config = make(**self.settings)
        if config.pad_token_id is None:
            config.pad_token_id = 0
        return config


def model_classes() -> dict[type[PreTrainedModel], str]:
    """Every model class of the packages of this repository, with the reference to its tiny configuration.

    Those that the manifests name for the Auto classes, and those that the packages export beside them.
    """
    classes: dict[type[PreTrainedModel], str] = {}
    for model_type in registry.known_model_types():
        architecture = registry.architecture_for(model_type)
        package = architecture.config.partition(".")[0]
        if not package.startswith("formers_") or architecture.tiny is None:
            continue
        named = [reference for value in architecture.auto.values() for reference in _references(value)]
        module = import_module(package)
        found = [resolve_reference(reference) for reference in named]
        found += [getattr(module, name) for name in module.__all__]
        for cls in found:
            if isinstance(cls, type) and issubclass(cls, PreTrainedModel):
                classes.setdefault(cls, architecture.tiny)
    return classes


def _references(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def parameters_of(cls: type[PreTrainedModel]) -> set[str]:
    return set(inspect.signature(cls.forward).parameters)


def heads() -> list[Head]:
    """Every model class that takes labels; classifiers of texts with each kind of problem."""
    found = []
    for cls, tiny in sorted(model_classes().items(), key=lambda item: item[0].__name__):
        name = cls.__name__
        if not parameters_of(cls).intersection(LABELS):
            continue
        if name.endswith("ForSequenceClassification"):
            found += [Head(cls, tiny, problem, settings) for problem, settings in PROBLEMS.items()]
        elif name.endswith("ForTokenClassification"):
            found.append(Head(cls, tiny, settings={"num_labels": 3}))
        elif name == "BertLMHeadModel":
            found.append(Head(cls, tiny, settings={"is_decoder": True}))
        else:
            found.append(Head(cls, tiny))
    return found


def labelled_batch(head: Head, config: Any) -> Batch:
    """``ROWS`` rows of different lengths, with labels of which each row has another number."""
    generator = torch.Generator().manual_seed(6)

    def integers(high: int, *shape: int, low: int = 0) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    taken, name = parameters_of(head.cls), head.cls.__name__
    lengths = integers(LENGTH + 1, ROWS, low=4)
    mask = (torch.arange(LENGTH) < lengths[:, None]).long()
    ids = integers(config.vocab_size, ROWS, LENGTH, low=3)
    if isinstance(config.eos_token_id, int):
        ids[torch.arange(ROWS), lengths - 1] = config.eos_token_id
    ids = ids.masked_fill(mask == 0, config.pad_token_id or 0)
    batch = {"input_ids": ids, "attention_mask": mask}
    classes = config.num_labels if name.endswith("Classification") else config.vocab_size
    if "labels" in taken:
        batch["labels"] = _thinned(integers(classes, ROWS, LENGTH), mask, generator)
    if config.is_encoder_decoder and "labels" in taken:
        batch["labels"] = _thinned(integers(classes, ROWS, TARGET), torch.ones(ROWS, TARGET), generator)
    if name.endswith("ForSequenceClassification"):
        batch["labels"] = _labels_of_rows(head, integers(classes, ROWS), generator)
    elif name.endswith(("ForNextSentencePrediction", "ForMultipleChoice")):
        batch["labels"] = _without_some(integers(2, ROWS))
    elif name.endswith("ForTokenClassification"):
        batch["labels"] = _thinned(integers(classes, ROWS, LENGTH), mask, generator)
    if name == "BertForPreTraining":
        batch["next_sentence_label"] = _without_some(integers(2, ROWS))
    if "mc_labels" in taken or name.endswith("ForMultipleChoice"):
        batch = {key: _for_each_choice(key, value) for key, value in batch.items()}
    if "mc_labels" in taken:
        batch["mc_labels"] = _without_some(integers(CHOICES, ROWS))
        batch["mc_token_ids"] = (lengths - 1)[:, None].repeat(1, CHOICES)
    if "start_positions" in taken:  # of the last rows they lie behind the text, and do not count
        batch["start_positions"] = torch.where(torch.arange(ROWS) < 13, 1, LENGTH + 5)
        batch["end_positions"] = torch.where(torch.arange(ROWS) < 11, lengths - 1, LENGTH + 5)
    return batch


def _thinned(labels: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Labels without those of padding and of first tokens, and of the rest fewer from row to row; one row has none."""
    shares = torch.linspace(0.1, 1.0, ROWS)[torch.randperm(ROWS, generator=generator)]
    kept = (torch.rand(labels.shape, generator=generator) < shares[:, None]) & (mask > 0)
    kept[:, 0] = False
    kept[3] = False
    return labels.where(kept, -100)


def _without_some(labels: Tensor) -> Tensor:
    """Class labels of rows, of which some are missing."""
    labels[[2, 5, 6]] = -100
    return labels


def _labels_of_rows(head: Head, labels: Tensor, generator: torch.Generator) -> Tensor:
    if head.problem:
        return torch.rand(ROWS, head.settings["num_labels"], generator=generator).double()
    return _without_some(labels)


def _for_each_choice(name: str, value: Tensor) -> Tensor:
    if value.dim() == 1:
        return value
    choices = [value, value.roll(1, dims=1) if name == "input_ids" else value, value]
    return torch.stack(choices[:CHOICES], dim=1)


def parts_of(batch: Batch, sizes: tuple[int, ...]) -> list[Batch]:
    """The batch cut into steps of these numbers of rows."""
    columns = {name: tensor.split(sizes) for name, tensor in batch.items()}
    return [{name: column[step] for name, column in columns.items()} for step in range(len(sizes))]


def total_loss(output: Any) -> Tensor:
    """What is trained on: the loss, and that of the choices where it stands beside it."""
    losses = [output[name] for name in ("loss", "mc_loss") if name in output]
    return sum(losses[1:], start=losses[0])


def gradients(model: Any, losses: Iterator[Tensor]) -> dict[str, Tensor]:
    """The gradients of all losses, added up as an optimizer would find them."""
    model.zero_grad()
    for loss in losses:
        loss.backward()
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in model.named_parameters()
    }


def whole(model: Any, batch: Batch) -> dict[str, Tensor]:
    """The gradients of the batch in one step, without anything said about its items."""
    return gradients(model, iter([total_loss(model(**batch))]))


def item_counts(model: PreTrainedModel, parts: list[Batch]) -> dict[str, float]:
    """How many items each term of the loss has in all parts."""
    counts: dict[str, float] = {}
    with torch.no_grad():
        for part in parts:
            for name, term in model.loss_terms(**part).items():
                counts[name] = counts.get(name, 0) + term.count.item()
    return counts


def accumulated(model: PreTrainedModel, parts: list[Batch]) -> dict[str, Tensor]:
    """The gradients of formers, step by step."""
    counts = item_counts(model, parts)
    return gradients(model, (total_loss(model(**part, num_items_in_batch=counts)) for part in parts))


def relative_error(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The greatest relative difference of a parameter's gradient, in the Euclidean norm.

    Gradients that are nothing but rounding, as that of a bias which softmax cancels, are measured by all gradients.
    NaN if one of them is not finite.
    """
    everything = torch.stack([tensor.norm() for tensor in expected.values()]).norm()
    errors = [
        (found[name] - wanted).norm() / torch.maximum(wanted.norm(), everything * 1e-6)
        for name, wanted in expected.items()
    ]
    return float(torch.stack(errors).max())
