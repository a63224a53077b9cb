"""``torch.jit.trace``, as code for transformers uses it: a configuration with ``torchscript=True``."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor

import formers_gpt2
from formers_gpt2.configuration import tiny_config

# Torch 2.13 calls the tracer itself deprecated, and warns of each check of a shape, which it takes to hold for good.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


def batch(rows: int, length: int) -> dict[str, Tensor]:
    """Ids and a mask, with padding on the left of the last row."""
    ids = torch.randint(1, 64, (rows, length))
    mask = torch.ones_like(ids)
    mask[-1, :2] = 0
    return {"input_ids": ids, "attention_mask": mask}


def tensors(values: Any) -> list[Tensor]:
    return [value for value in values if isinstance(value, Tensor)]


@pytest.mark.parametrize("attention", ["eager", "sdpa", None])
@pytest.mark.parametrize(
    "name", ["GPT2Model", "GPT2LMHeadModel", "GPT2ForSequenceClassification", "GPT2ForQuestionAnswering"]
)
def test_a_trace_gives_the_same_for_other_shapes(name: str, attention: str | None) -> None:
    config = tiny_config(torchscript=True, use_cache=False, scale_attn_by_inverse_layer_idx=True)
    model = getattr(formers_gpt2, name)(config).eval()
    model.set_attn_implementation(attention)
    traced = torch.jit.trace(model, example_kwarg_inputs=batch(2, 6))
    stored = io.BytesIO()
    torch.jit.save(traced, stored)
    stored.seek(0)
    for program in (traced, torch.jit.load(stored)):
        for shape in ((2, 6), (3, 9)):
            given = batch(*shape)
            for ours, theirs in zip(tensors(program(**given)), tensors(model(**given)), strict=True):
                assert torch.equal(ours, theirs)
        given["attention_mask"] = torch.ones_like(given["attention_mask"])
        torch.testing.assert_close(program(**given)[0], model(**given)[0])
