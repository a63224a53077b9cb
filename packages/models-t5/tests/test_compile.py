"""Encoder and decoder are one graph, compiled once for a shape and once more for all others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch._dynamo
from torch._dynamo.testing import CompileCounterWithBackend

import formers_t5
from formers.cache import DynamicCache, EncoderDecoderCache, StaticCache
from formers_t5.configuration import tiny_config


@pytest.fixture
def counter() -> Any:
    torch._dynamo.reset()
    yield CompileCounterWithBackend("aot_eager")
    torch._dynamo.reset()


def source(*shape: int) -> dict[str, torch.Tensor]:
    ids = torch.randint(2, 64, shape)
    ids[:, -1] = 1
    mask = torch.ones_like(ids)
    mask[-1, :2] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize(
    "name", ["T5EncoderModel", "T5ForConditionalGeneration", "T5ForSequenceClassification"]
)
def test_one_graph_per_kind_of_call(counter: Any, name: str) -> None:
    model = getattr(formers_t5, name)(tiny_config(num_layers=1)).eval()
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    compilations = []
    for shape in ((2, 6), (2, 6), (3, 7), (5, 20)):
        given = source(*shape)
        if name == "T5ForConditionalGeneration":
            given["decoder_input_ids"] = torch.randint(2, 64, (shape[0], shape[1] + 1))
        torch.testing.assert_close(compiled(**given)[0], model(**given)[0])
        compilations.append(counter.frame_count)
    assert compilations == [1, 1, 2, 2]


def test_training(counter: Any) -> None:
    """Forward and backward, with labels; the first call of all is a traced one."""
    model = formers_t5.T5ForConditionalGeneration(tiny_config(num_layers=2))
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    given = {**source(2, 6), "labels": torch.randint(1, 64, (2, 4)), "use_cache": False}
    for _ in range(2):
        model.zero_grad()
        compiled(**given).loss.backward()
        found = {key: value.grad.clone() for key, value in model.named_parameters()}
        model.zero_grad()
        model(**given).loss.backward()
        for key, value in model.named_parameters():
            torch.testing.assert_close(found[key], value.grad)
    assert counter.frame_count == 1


@pytest.mark.parametrize("padded", [False, True])
def test_one_graph_for_every_step_of_a_static_cache(counter: Any, padded: bool) -> None:
    model = formers_t5.T5ForConditionalGeneration(tiny_config()).eval()
    own = StaticCache(config=model.config, max_cache_len=64)
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    given, ids = source(2, 6), torch.randint(2, 64, (2, 60))
    room = torch.ones(2, 64, dtype=torch.int64)
    if padded:
        room[0, :3] = 0
    with torch.no_grad():
        expected = model(
            **given, decoder_input_ids=ids, decoder_attention_mask=room[:, :60], use_cache=False
        ).logits
        encoded = model.encoder(**given)
        cache = EncoderDecoderCache(own, DynamicCache())
        step = {
            "attention_mask": given["attention_mask"],
            "encoder_outputs": encoded,
            "past_key_values": cache,
        }
        model(**step, decoder_input_ids=ids[:, :7], decoder_attention_mask=room[:, :7], use_cache=True)
        own.fix_shapes()
        if padded:
            step["decoder_attention_mask"] = room
        for column in range(7, 60):
            output = compiled(**step, decoder_input_ids=ids[:, column : column + 1], use_cache=True)
            torch.testing.assert_close(output.logits[:, 0], expected[:, column])
    assert counter.frame_count == 1


def test_generation_with_a_compiled_step(counter: Any) -> None:
    model = formers_t5.T5ForConditionalGeneration(tiny_config()).eval()
    given = {**source(2, 6), "max_new_tokens": 12, "min_new_tokens": 12}
    compiled = {"cache_implementation": "static", "compile_config": {"backend": counter}}
    assert torch.equal(model.generate(**given, **compiled), model.generate(**given))
    assert counter.frame_count == 1
