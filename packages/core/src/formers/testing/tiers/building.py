"""Tier ``model``: how models are built."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import torch

from formers.modeling.construction import building_on_meta
from formers.testing.batches import Rows, run
from formers.testing.checks import Cases, NotApplicable, check, require
from formers.testing.models import close, equal, same_state, seeded, tensors_of
from formers.testing.subject import Subject


@check("model.meta")
def meta(subject: Subject, cases: Cases) -> None:
    """Built for loading, a model allocates no matrix, and has the names and shapes of a real one."""
    models = subject.models
    for head in models.heads:
        with cases(head):
            with building_on_meta():
                model = head.cls(subject.config(**head.overrides))
            real = models.fresh(head)
            for name, parameter in model.named_parameters():
                require(parameter.is_meta or parameter.dim() < 2, f"{name} was allocated")
            shapes = {name: value.shape for name, value in model.state_dict().items()}
            expected = {name: value.shape for name, value in real.state_dict().items()}
            require(shapes == expected, "names or shapes are not those of a model built otherwise")
            for name, buffer in model.named_buffers():
                if name not in shapes:
                    equal(buffer, dict(real.named_buffers())[name], f"the computed buffer {name}")


@check("model.seeded")
def initialised(subject: Subject, cases: Cases) -> None:
    """Fresh weights depend on the seed alone, and none is left as the memory was."""
    models = subject.models
    for head in models.heads:
        with cases(head):
            model = models.fresh(head, seed=3)
            same_state(models.fresh(head, seed=3), model)
            other = dict(models.fresh(head, seed=4).named_parameters())
            require(
                any(not torch.equal(value, other[name]) for name, value in model.named_parameters()),
                "another seed gives the same weights",
            )
            for name, value in model.named_parameters():
                good = bool(value.isfinite().all()) and float(value.detach().abs().max()) < 1e3
                require(good, f"{name} is not initialised")


@check("model.initialised_again")
def initialised_again(subject: Subject, cases: Cases) -> None:
    """``init_weights`` overwrites every weight, as loading needs for those that a checkpoint lacks."""
    models = subject.models
    for head in models.heads:
        with cases(head):
            model = models.fresh(head)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(12345.0)
            with seeded(0):
                model.init_weights()
            for name, value in model.named_parameters():
                require(not (value == 12345.0).any(), f"{name} is not initialised")


@check("model.ties")
def ties(subject: Subject, cases: Cases) -> None:
    """Declared ties are one parameter, unless the configuration unties them; then they are two."""
    models = subject.models
    for head in models.heads:
        if not head.cls.tied_weights:
            continue
        with cases(head):
            model = models.fresh(head)
            for alias, canonical in model._ties().items():
                require(
                    model.get_parameter(alias) is model.get_parameter(canonical),
                    f"{alias} is not {canonical}",
                )
        with cases(head, "tie_word_embeddings=False"):
            untied = models.fresh(head, tie_word_embeddings=False)
            tied = untied._ties()
            for alias, canonical in head.cls.tied_weights.items():
                if alias not in tied:
                    one = untied.get_parameter(alias) is untied.get_parameter(canonical)
                    require(not one, f"{alias} is still {canonical}")
    if not cases.run:
        raise NotApplicable("no class declares tied weights")


@check("model.copies")
def copies(subject: Subject, cases: Cases) -> None:
    """A deep copy and a pickled copy answer as the model does, and share nothing with it."""
    models = subject.models
    for head in models.heads:
        with cases(head), torch.no_grad():
            model = models.build(head)
            inputs = Rows(models, head, (5,)).batch().inputs
            expected = tensors_of(run(model, inputs))
            for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
                for name, value in tensors_of(run(other, inputs)).items():
                    equal(value, expected[name], f"{name} of a copy")
                next(other.parameters()).zero_()
            for name, value in tensors_of(run(model, inputs)).items():
                equal(value, expected[name], f"{name}, after a copy was changed,")


@check("model.auto")
def auto(subject: Subject, cases: Cases) -> None:
    """Every Auto class of the manifest builds its class from a configuration."""
    import formers

    for head in subject.models.heads:
        for name in head.autos:
            with cases(name):
                config = subject.config(**head.overrides)
                config.architectures = [head.name]
                model = getattr(formers, name).from_config(config)
                require(type(model) is head.cls, f"gives {type(model).__name__}, not {head}")
                require(type(model.config) is subject.config_class, "its configuration is of another class")


@check("model.embeddings")
def embeddings(subject: Subject, cases: Cases) -> None:
    """``inputs_embeds`` answer as the ids that they embed; resizing keeps the answers of the old tokens."""
    models = subject.models
    for head in models.heads:
        with cases(head, "inputs_embeds"), torch.no_grad():
            if not {"input_ids", "inputs_embeds"} <= head.arguments:
                raise NotApplicable("forward has no inputs_embeds")
            model = models.build(head)
            inputs = Rows(models, head, (5, 3)).batch().inputs
            expected = run(model, inputs)
            given = {name: value for name, value in inputs.items() if name != "input_ids"}
            given["inputs_embeds"] = model.get_input_embeddings()(inputs["input_ids"])
            try:
                found = run(model, given)
            except ValueError as error:
                raise NotApplicable(f"it does not take inputs_embeds alone: {error}") from error
            for name, value in tensors_of(expected).items():
                close(tensors_of(found)[name], value, name)
        with cases(head, "resized"), torch.no_grad():
            resized: Any = models.build(head)
            inputs = Rows(models, head, (5, 3)).batch().inputs
            expected = run(resized, inputs)
            size = resized.get_input_embeddings().weight.shape[0]
            resized.resize_token_embeddings(size + 3)
            require(
                resized.get_input_embeddings().weight.shape[0] == size + 3, "the embeddings are not larger"
            )
            require(resized.config.vocab_size == size + 3, "config.vocab_size is not the new size")
            for name, value in tensors_of(expected).items():
                found = tensors_of(run(resized, inputs))[name]
                if value.shape[-1] == size:
                    require(found.shape[-1] == size + 3, f"{name} has no scores of the new tokens")
                    found = found[..., :size]
                close(found, value, name)
