from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from bench import Bench, mutant

from formers.testing import Subject
from formers_gpt2 import GPT2ForSequenceClassification, GPT2LMHeadModel, GPT2Model

LM = "AutoModelForCausalLM"


def _saving(bench: Bench, cls: Any, before: Any = None, after: Any = None) -> None:
    """Wrap save_pretrained: change its keyword arguments, or the folder when it is done."""
    original = cls.save_pretrained

    def save_pretrained(self: Any, folder: Any, **kwargs: Any) -> None:
        if before is not None:
            before(self, Path(folder), kwargs)
        original(self, folder, **kwargs)
        if after is not None:
            after(Path(folder))

    bench.patch.setattr(cls, "save_pretrained", save_pretrained)


def _loading(bench: Bench, cls: Any, **forced: Any) -> None:
    """Force arguments of from_pretrained."""
    original = cls.from_pretrained.__func__
    bench.patch.setattr(
        cls,
        "from_pretrained",
        classmethod(lambda own, *args, **kwargs: original(own, *args, **{**kwargs, **forced})),
    )


@mutant("model.save_load")
def rounded(bench: Bench) -> Subject:
    """Weights are rounded on saving."""

    def half(self: Any, folder: Path, kwargs: dict[str, Any]) -> None:
        kwargs["state_dict"] = {name: value.half().float() for name, value in self.state_dict().items()}

    _saving(bench, GPT2Model, half)
    return bench.subject("gpt2", "AutoModel")


@mutant("model.save_sharded")
def never_sharded(bench: Bench) -> Subject:
    """max_shard_size is ignored."""
    _saving(bench, GPT2Model, lambda self, folder, kwargs: kwargs.pop("max_shard_size", None))
    return bench.subject("gpt2", "AutoModel")


@mutant("model.save_dtypes")
def always_wide(bench: Bench) -> Subject:
    """Everything is loaded in float32."""
    _loading(bench, GPT2Model, dtype=torch.float32)
    return bench.subject("gpt2", "AutoModel")


@mutant("model.save_ties")
def two_after_loading(bench: Bench) -> Subject:
    """What was one parameter is two after loading."""
    original = GPT2LMHeadModel.from_pretrained.__func__  # type: ignore[attr-defined]

    def from_pretrained(cls: Any, *args: Any, **kwargs: Any) -> Any:
        model, report = original(cls, *args, **kwargs)
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        return model, report

    bench.patch.setattr(GPT2LMHeadModel, "from_pretrained", classmethod(from_pretrained))
    return bench.subject("gpt2", LM)


@mutant("model.atomic_save")
def deletes_first(bench: Bench) -> Subject:
    """The old weights are removed before the new ones are written."""

    def remove(self: Any, folder: Path, kwargs: dict[str, Any]) -> None:
        for file in folder.glob("*.safetensors"):
            file.unlink()

    _saving(bench, GPT2Model, remove)
    return bench.subject("gpt2", "AutoModel")


@mutant("model.save_again")
def stamped(bench: Bench) -> Subject:
    """Every save writes something new."""
    _saving(bench, GPT2Model, after=lambda folder: (folder / "stamp").write_bytes(os.urandom(8)))
    return bench.subject("gpt2", "AutoModel")


@mutant("model.missing_weights")
def everything_optional(bench: Bench) -> Subject:
    """Every weight is declared optional."""
    bench.patch.setattr(GPT2Model, "optional_weights", (".",))
    return bench.subject("gpt2", "AutoModel")


@mutant("model.unexpected_weights")
def everything_ignored(bench: Bench) -> Subject:
    """Whatever is left over is declared ignored."""
    bench.patch.setattr(GPT2Model, "ignored_weights", (".",))
    return bench.subject("gpt2", "AutoModel")


@mutant("model.shapes")
def shapes_ignored(bench: Bench) -> Subject:
    """Weights of another shape are drawn anew without a word."""
    _loading(bench, GPT2Model, ignore_mismatched_sizes=True)
    return bench.subject("gpt2", "AutoModel")


@mutant("model.base_into_heads")
def other_prefix(bench: Bench) -> Subject:
    """The head has the bare model under another name than the one that it says, and calls that optional."""
    bench.patch.setattr(GPT2ForSequenceClassification, "base_model_prefix", "other")
    bench.patch.setattr(GPT2ForSequenceClassification, "optional_weights", (".",))
    return bench.subject("gpt2", "AutoModel", "AutoModelForSequenceClassification")


@mutant("model.auto_loading")
def the_bare_one(bench: Bench) -> Subject:
    """Loading the head gives the bare model."""

    def from_pretrained(cls: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("config", None)
        return GPT2Model.from_pretrained(*args, **kwargs)

    bench.patch.setattr(GPT2LMHeadModel, "from_pretrained", classmethod(from_pretrained))
    return bench.subject("gpt2", LM)
