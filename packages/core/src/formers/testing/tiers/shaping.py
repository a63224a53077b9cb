"""Tier ``model``: head masks and pruning."""

from __future__ import annotations

from typing import Any

import torch

from formers.modeling import PreTrainedModel
from formers.testing.batches import Rows, run
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import Head, close, same_state, tensors_of
from formers.testing.subject import Subject

from .saving import loaded


def _masked_heads(subject: Subject, head: Head) -> tuple[PreTrainedModel, dict[str, Any], torch.Tensor]:
    if "head_mask" not in head.arguments:
        raise NotApplicable("forward has no head_mask")
    models = subject.models
    model = models.build(head)
    inputs = Rows(models, head, (5, 3)).batch().inputs
    config = model.config
    if config.num_attention_heads < 2:
        raise NotApplicable("the tiny configuration has one head")
    mask = torch.ones(config.num_hidden_layers, config.num_attention_heads, dtype=model.dtype)
    return model, inputs, mask


@check("model.head_mask", needs=("head_mask",))
def head_mask(subject: Subject, cases: Cases) -> None:
    """A head mask of ones changes nothing; zeros take heads away, in every layer."""
    for head in subject.models.heads:
        with cases(head), torch.no_grad():
            model, inputs, mask = _masked_heads(subject, head)
            expected = tensors_of(run(model, inputs))
            for name, value in tensors_of(run(model, inputs, head_mask=mask)).items():
                close(value, expected[name], name)
            for layer in range(len(mask)):
                less = mask.clone()
                less[layer, 0] = 0
                found = tensors_of(run(model, inputs, head_mask=less))
                same = all(torch.equal(value, expected[name]) for name, value in found.items())
                require(not same, f"the mask of layer {layer} has no effect")


@check("model.prune_heads", needs=("prune_heads", "head_mask"))
def prune_heads(subject: Subject, cases: Cases) -> None:
    """A model without some heads answers as one in which they are masked, also after saving and loading."""
    for head in subject.models.heads:
        with cases(head), torch.no_grad():
            model, inputs, mask = _masked_heads(subject, head)
            masks = {"head_mask": mask}
            mask[0, 1], mask[-1, 0] = 0, 0
            expected = tensors_of(run(model, inputs, **masks))
            before = sum(one.numel() for one in model.parameters())
            model.prune_heads({0: [1], len(mask) - 1: [0]} if len(mask) > 1 else {0: [0, 1]})
            require(sum(one.numel() for one in model.parameters()) < before, "no weight is gone")
            for name, value in tensors_of(run(model, inputs)).items():
                close(value, expected[name], name)
            folder = subject.folder()
            model.save_pretrained(folder)
            found = loaded(head, folder)
            same_state(found, model)
            for name, value in tensors_of(run(found, inputs)).items():
                close(value, expected[name], f"{name} after loading")
