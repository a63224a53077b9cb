"""``torch.jit.trace``, as code for transformers uses it: a configuration with ``torchscript=True``."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor

import formers_t5
from formers_t5.configuration import tiny_config

# Torch 2.13 calls the tracer itself deprecated, and warns of each check of a shape, which it takes to hold for good.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


def batch(rows: int, length: int, name: str) -> dict[str, Tensor]:
    """Ids and a mask, with padding on the left of the last row."""
    ids = torch.randint(2, 64, (rows, length))
    ids[:, -1] = 1
    mask = torch.ones_like(ids)
    mask[-1, :2] = 0
    given = {"input_ids": ids, "attention_mask": mask}
    if name in ("T5Model", "T5ForConditionalGeneration"):
        given["decoder_input_ids"] = torch.randint(2, 64, (rows, length + 1))
    return given


def tensors(values: Any) -> list[Tensor]:
    return [value for value in values if isinstance(value, Tensor)]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(
    "name", ["T5EncoderModel", "T5ForConditionalGeneration", "T5ForSequenceClassification"]
)
def test_a_trace_gives_the_same_for_other_shapes(name: str, attention: str) -> None:
    config = tiny_config(torchscript=True, use_cache=False, relative_attention_max_distance=8)
    model = getattr(formers_t5, name)(config).eval()
    model.set_attn_implementation(attention)
    traced = torch.jit.trace(model, example_kwarg_inputs=batch(2, 6, name))
    stored = io.BytesIO()
    torch.jit.save(traced, stored)
    stored.seek(0)
    for program in (traced, torch.jit.load(stored)):
        for shape in ((2, 6), (3, 9), (2, 30)):
            given = batch(*shape, name)
            for ours, theirs in zip(tensors(program(**given)), tensors(model(**given)), strict=True):
                torch.testing.assert_close(ours, theirs)
