"""The whole model is one graph, compiled once for a shape and once more for all others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch._dynamo
from torch._dynamo.testing import CompileCounterWithBackend

import formers_gpt2
from formers.cache import StaticCache
from formers_gpt2.configuration import tiny_config

NAMES = ["GPT2LMHeadModel", "GPT2ForSequenceClassification", "GPT2ForQuestionAnswering"]


@pytest.fixture
def counter() -> Any:
    torch._dynamo.reset()
    yield CompileCounterWithBackend("aot_eager")
    torch._dynamo.reset()


@pytest.mark.parametrize(("name", "masked"), [("GPT2LMHeadModel", False), *((name, True) for name in NAMES)])
def test_one_graph_per_kind_of_call(counter: Any, name: str, masked: bool) -> None:
    model = getattr(formers_gpt2, name)(tiny_config(n_layer=1, pad_token_id=0)).eval()
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    compilations = []
    for shape in ((2, 6), (2, 6), (3, 7), (5, 20)):
        given = {"input_ids": torch.randint(1, 64, shape)}
        if masked:
            given["attention_mask"] = torch.ones(shape, dtype=torch.int64)
            given["attention_mask"][-1, :2] = 0
        torch.testing.assert_close(compiled(**given)[0], model(**given)[0])
        compilations.append(counter.frame_count)
    assert compilations == [1, 1, 2, 2]


def test_training(counter: Any) -> None:
    """Forward and backward, with labels, in training and then in evaluation mode."""
    model = formers_gpt2.GPT2LMHeadModel(tiny_config(n_layer=1))
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    ids = torch.randint(1, 64, (2, 6))
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids, "use_cache": False}
    given["attention_mask"][0, 3:] = 0
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
    """A hundred tokens, and a second text of another length in the same cache."""
    model = formers_gpt2.GPT2LMHeadModel(tiny_config(n_positions=128)).eval()
    cache = StaticCache(config=model.config, max_cache_len=128)
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    ids, room = torch.randint(1, 64, (2, 120)), torch.ones(2, 128, dtype=torch.int64)
    if padded:
        room[0, :4] = 0
    with torch.no_grad():
        for prompt, length in ((7, 107), (20, 60)):
            expected = model(ids[:, :length], attention_mask=room[:, :length], use_cache=False).logits
            cache.reset()
            model(ids[:, :prompt], attention_mask=room[:, :prompt], past_key_values=cache)
            cache.fix_shapes()
            for column in range(prompt, length):
                given = {"input_ids": ids[:, column : column + 1], "past_key_values": cache}
                if padded:
                    given["attention_mask"] = room
                output = compiled(**given)
                torch.testing.assert_close(output.logits[:, 0], expected[:, column])
            assert cache.get_seq_length() == length
    assert counter.frame_count == 1


def test_a_cache_whose_length_the_host_counts(counter: Any) -> None:
    """Without ``fix_shapes`` the length becomes a symbol: compiled again once, then never."""
    model = formers_gpt2.GPT2LMHeadModel(tiny_config(n_positions=64)).eval()
    cache = StaticCache(config=model.config, max_cache_len=64)
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    ids = torch.randint(1, 64, (2, 40))
    with torch.no_grad():
        expected = model(ids, use_cache=False).logits
        model(ids[:, :3], past_key_values=cache)
        for column in range(3, 40):
            output = compiled(ids[:, column : column + 1], past_key_values=cache)
            torch.testing.assert_close(output.logits[:, 0], expected[:, column])
            assert cache.get_seq_length() == column + 1
    assert counter.frame_count <= 3


def test_an_encoder_to_read(counter: Any) -> None:
    """The first call of all is a traced one, which asks for self- and for cross-attention; forward and backward."""
    model = formers_gpt2.GPT2LMHeadModel(tiny_config(n_layer=1, add_cross_attention=True))
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    ids, states, mask = torch.randint(1, 64, (2, 6)), torch.randn(2, 4, 16), torch.ones(2, 4)
    mask[1, 2:] = 0
    given = {"input_ids": ids, "encoder_hidden_states": states, "encoder_attention_mask": mask, "labels": ids}
    compiled(**given, use_cache=False).loss.backward()
    found = {key: value.grad.clone() for key, value in model.named_parameters()}
    model.zero_grad()
    model(**given, use_cache=False).loss.backward()
    for key, value in model.named_parameters():
        torch.testing.assert_close(found[key], value.grad)
    assert counter.frame_count == 1
