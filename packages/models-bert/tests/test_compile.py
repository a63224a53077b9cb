"""The whole model is one graph, compiled once for a shape and once more for all others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch._dynamo
from torch._dynamo.testing import CompileCounterWithBackend

import formers_bert
from formers_bert.configuration import tiny_config

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "encoder": ("BertModel", {}),
    "decoder": ("BertLMHeadModel", {"is_decoder": True}),
    "spans": ("BertForQuestionAnswering", {}),
    "relative positions": ("BertModel", {"position_embedding_type": "relative_key_query"}),
}


@pytest.fixture
def counter() -> Any:
    torch._dynamo.reset()
    yield CompileCounterWithBackend("aot_eager")
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("case", "masked"),
    [("encoder", False), ("encoder", True), ("decoder", True), ("spans", True), ("relative positions", True)],
)
def test_one_graph_per_kind_of_call(counter: Any, case: str, masked: bool) -> None:
    name, options = CASES[case]
    model = getattr(formers_bert, name)(tiny_config(num_hidden_layers=1, **options)).eval()
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    compilations = []
    for shape in ((2, 6), (2, 6), (3, 7), (5, 20)):
        ids = torch.randint(1, 64, shape)
        mask = None
        if masked:
            mask = torch.ones(shape, dtype=torch.int64)
            mask[-1, :2] = 0
        torch.testing.assert_close(compiled(ids, mask)[0], model(ids, mask)[0])
        compilations.append(counter.frame_count)
    assert compilations == [1, 1, 2, 2]


def test_training(counter: Any) -> None:
    """Forward and backward, with labels, in training and then in evaluation mode."""
    model = formers_bert.BertForMaskedLM(tiny_config(num_hidden_layers=1))
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    ids = torch.randint(1, 64, (2, 6))
    mask = torch.ones_like(ids)
    mask[0, 3:] = 0
    for _ in range(2):
        model.zero_grad()
        compiled(ids, mask, labels=ids).loss.backward()
        found = {key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None}
        model.zero_grad()
        model(ids, mask, labels=ids).loss.backward()
        for key, value in model.named_parameters():
            if value.grad is not None:
                torch.testing.assert_close(found[key], value.grad)
    assert counter.frame_count == 1
    compiled.eval()
    torch.testing.assert_close(compiled(ids, mask).logits, model(ids, mask).logits)
    assert counter.frame_count == 2


def test_a_check_of_values_is_left_out_of_the_graph(counter: Any) -> None:
    model = formers_bert.BertModel(tiny_config()).eval()
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    compiled(torch.ones(1, 4, dtype=torch.int64))
    with pytest.raises((IndexError, RuntimeError)):  # torch's own, when the graph runs
        compiled(torch.full((1, 4), 64))
