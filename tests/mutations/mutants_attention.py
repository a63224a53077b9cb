from __future__ import annotations

from typing import Any

from bench import Bench, mutant

from formers.testing import Subject
from formers_bert import BertModel
from formers_gpt2 import GPT2Model


@mutant("attention.agreement")
def another_scale(bench: Bench) -> Subject:
    """An implementation of the plugin scales scores differently."""
    return bench.subject("gpt2", "AutoModel", attention={"wrong_scale": "broken_classes:WrongScale"})


@mutant("attention.probabilities")
def no_probabilities(bench: Bench) -> Subject:
    """An implementation of the plugin takes calls that ask for probabilities, and gives none."""
    return bench.subject("gpt2", "AutoModel", attention={"no_probs": "broken_classes:NoProbabilities"})


@mutant("attention.by_name")
def falls_back(bench: Bench) -> Subject:
    """The model replaces the attention that was asked for."""

    def replace(self: Any, values: dict[str, Any]) -> None:
        self.config._attn_implementation = "eager"

    bench.forward(GPT2Model, before=replace)
    return bench.subject("gpt2", "AutoModel")


@mutant("attention.dense_masks")
def four_dimensions_dropped(bench: Bench) -> Subject:
    """A mask of 4 dimensions is dropped."""

    def drop(self: Any, values: dict[str, Any]) -> None:
        mask = values.get("attention_mask")
        if mask is not None and getattr(mask, "ndim", 0) == 4:
            values["attention_mask"] = None

    bench.forward(BertModel, before=drop)
    return bench.subject("bert", "AutoModel")
