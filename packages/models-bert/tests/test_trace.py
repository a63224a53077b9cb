"""``torch.jit.trace``, as code for transformers uses it: a configuration with ``torchscript=True``."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import formers_bert
from formers_bert.configuration import tiny_config

# Torch 2.13 calls the tracer itself deprecated, and warns of each check of a shape, which it takes to hold for good.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


def batch(rows: int, length: int) -> tuple[Tensor, Tensor]:
    """Ids and a mask, with padding on the left of the last row."""
    ids = torch.randint(1, 64, (rows, length))
    mask = torch.ones_like(ids)
    mask[-1, :2] = 0
    return ids, mask


def tensors(values: Any) -> list[Tensor]:
    return [value for value in values if isinstance(value, Tensor)]


@pytest.mark.parametrize("attention", ["eager", "sdpa", None])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("BertModel", {}),
        ("BertForMaskedLM", {}),
        ("BertLMHeadModel", {"is_decoder": True, "use_cache": False}),
        ("BertForQuestionAnswering", {}),
    ],
)
def test_a_trace_gives_the_same_for_other_shapes(
    name: str, options: dict[str, Any], attention: str | None
) -> None:
    model = getattr(formers_bert, name)(tiny_config(torchscript=True, **options)).eval()
    model.set_attn_implementation(attention)
    traced = torch.jit.trace(model, batch(2, 6))
    stored = io.BytesIO()
    torch.jit.save(traced, stored)
    stored.seek(0)
    for program in (traced, torch.jit.load(stored)):
        for shape in ((2, 6), (3, 9)):
            ids, mask = batch(*shape)
            for ours, theirs in zip(tensors(program(ids, mask)), tensors(model(ids, mask)), strict=True):
                assert torch.equal(ours, theirs)
        everything = torch.ones_like(ids)
        torch.testing.assert_close(program(ids, everything)[0], model(ids)[0])


def test_a_loaded_model_keeps_tied_weights_apart(tmp_path: Path) -> None:
    formers_bert.BertForMaskedLM(tiny_config()).save_pretrained(tmp_path)
    model = formers_bert.BertForMaskedLM.from_pretrained(tmp_path, torchscript=True)
    scores, words = model.cls.predictions.decoder.weight, model.bert.embeddings.word_embeddings.weight
    assert scores.data_ptr() != words.data_ptr()
    assert torch.equal(scores, words)
    ids, mask = batch(2, 6)
    traced = torch.jit.trace(model, (ids, mask))
    assert torch.equal(traced(ids, mask)[0], model(ids, mask)[0])
