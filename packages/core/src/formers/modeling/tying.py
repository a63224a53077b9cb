"""Names that share one tensor, declared as ``alias -> canonical`` by the model class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from formers.errors import FormersError

if TYPE_CHECKING:
    from .base import PreTrainedModel

__all__ = ["replace_parameter", "tie", "tied_names"]


def tied_names(model: PreTrainedModel) -> dict[str, str]:
    """Every declared ``alias -> canonical`` pair of the model and of the models inside it, in full names."""
    from .base import PreTrainedModel

    ties: dict[str, str] = {}
    for path, module in model.named_modules():
        if isinstance(module, PreTrainedModel):
            prefix = f"{path}." if path else ""
            ties |= {prefix + alias: prefix + canonical for alias, canonical in module._ties().items()}
    return ties


def tie(model: PreTrainedModel, ties: dict[str, str]) -> None:
    """Make each alias the same parameter object as its canonical name.

    Under ``config.torchscript`` an alias is a copy instead, since a traced module may not share parameters.
    """
    as_copy = bool(getattr(model.config, "torchscript", False))
    for alias, canonical in ties.items():
        value = _parameter(model, canonical)
        path, _, name = alias.rpartition(".")
        module = model.get_submodule(path)
        module._parameters[name] = nn.Parameter(value.detach().clone()) if as_copy else value
        _adopt_size(module, name, value)


def replace_parameter(model: nn.Module, old: Tensor, new: nn.Parameter) -> None:
    """Put ``new`` wherever the model holds ``old``, so that ties survive a change of size."""
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is old:
                module._parameters[name] = new
                _adopt_size(module, name, new)


def _parameter(model: nn.Module, name: str) -> nn.Parameter:
    path, _, last = name.rpartition(".")
    value = model.get_submodule(path)._parameters.get(last)
    if value is None:
        raise FormersError(
            f"{type(model).__name__} declares a tie to '{name}', but has no parameter of that name. "
            "Correct `tied_weights` of the class."
        )
    return value


def _adopt_size(module: nn.Module, name: str, value: nn.Parameter) -> None:
    if name != "weight":
        return
    if isinstance(module, nn.Embedding):
        module.num_embeddings = value.shape[0]
    elif isinstance(module, nn.Linear):
        module.out_features = value.shape[0]
