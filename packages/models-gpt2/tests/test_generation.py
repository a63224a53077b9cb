"""What ``generate`` does on GPT-2 beside what the conformance kit checks. Strategies are tested in the core."""

from __future__ import annotations

import pytest
import torch

from formers_gpt2 import GPT2DoubleHeadsModel, GPT2LMHeadModel, GPT2Model
from formers_gpt2.configuration import tiny_config

NEW = 12


@pytest.fixture
def model() -> GPT2LMHeadModel:
    """In float64 and with weights that leave no near ties."""
    model = GPT2LMHeadModel(tiny_config(initializer_range=0.5, eos_token_id=None, pad_token_id=0))
    return model.double().eval()


def test_token_types_are_continued(model: GPT2LMHeadModel) -> None:
    ids, types = torch.randint(3, 64, (1, 5)), torch.tensor([[7, 7, 8, 8, 8]])
    settings = {"max_new_tokens": NEW, "do_sample": False}
    found = model.generate(ids, token_type_ids=types, **settings)
    every = torch.cat((types, types[:, -1:].expand(-1, NEW - 1)), dim=1)
    logits = model(found[:, :-1], token_type_ids=every).logits
    assert torch.equal(logits[:, 4:].argmax(-1), found[:, 5:])


def test_which_classes_can() -> None:
    assert GPT2LMHeadModel.can_generate()
    assert GPT2DoubleHeadsModel.can_generate()
    assert not GPT2Model.can_generate()
