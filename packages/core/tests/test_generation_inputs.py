"""What ``generate`` refuses, and that an exception on the way carries what was generated."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from toy_causal import ToyForCausalLM, toy_causal

from formers.errors import GenerationArgumentError, GenerationError

IDS = torch.tensor([[1, 2, 3, 4]])


@pytest.fixture(scope="module")
def model() -> ToyForCausalLM:
    return toy_causal()


class Counting:
    """Counts the forwards of a model."""

    def __init__(self, model: ToyForCausalLM) -> None:
        self.count = 0
        self._handle = model.register_forward_pre_hook(self._notice)

    def _notice(self, *_: Any) -> None:
        self.count += 1

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"inputs": [[1, 2]]}, ("input_ids", "tensor", "return_tensors")),
        ({"inputs": torch.tensor([1, 2])}, ("input_ids", "(2,)", "[batch, length]")),
        ({"inputs": torch.ones(0, 3, dtype=torch.long)}, ("(0, 3)",)),
        ({"inputs": torch.ones(1, 0, dtype=torch.long)}, ("(1, 0)",)),
        ({"inputs": torch.ones(1, 3)}, ("float32", "int64")),
        ({"inputs": torch.tensor([[1, 24]])}, ("24", "[0, 1]", "0 to 23", "vocab_size")),
        ({"inputs": torch.tensor([[-1, 2]])}, ("-1", "[0, 0]")),
        ({"inputs": IDS, "input_ids": IDS}, ("both",)),
        ({"inputs": IDS, "attention_mask": torch.ones(1, 3)}, ("attention_mask", "(1, 3)", "(1, 4)")),
        ({"inputs": IDS, "attention_mask": torch.ones(1, 5)}, ("(1, 5)", "(1, 4)")),
        ({"inputs": IDS, "attention_mask": torch.ones(2, 4)}, ("(2, 4)", "(1, 4)")),
        ({"inputs": IDS, "max_new_tokens": 0}, ("max_new_tokens", "0")),
        ({"inputs": IDS, "max_new_tokens": 2.5}, ("max_new_tokens", "2.5")),
        ({"inputs": IDS, "max_new_tokens": True}, ("max_new_tokens", "True")),
        ({"inputs": IDS, "max_new_tokens": 61}, ("61", "64 positions", "60")),
        ({"inputs": IDS, "num_beams": 0}, ("num_beams", "0")),
        ({"inputs": IDS, "num_return_sequences": 2}, ("num_return_sequences",)),
        ({"inputs": IDS, "num_beams": 2, "num_return_sequences": 3}, ("num_return_sequences", "num_beams")),
        ({"inputs": IDS, "do_sample": True, "temperature": 1e-40}, ("temperature",)),
        ({"inputs": IDS, "do_sample": True, "temperature": 0.0}, ("temperature", "do_sample")),
        ({"inputs": IDS, "attn_mask": IDS}, ("attn_mask", "attention_mask")),
        ({"inputs": IDS, "max_new_token": 3}, ("max_new_token", "max_new_tokens")),
        ({"inputs": IDS, "custom_generate": "greedy_serch"}, ("greedy_serch", "greedy_search")),
        ({"inputs": IDS, "cache_implementation": "quantum"}, ("quantum", "static")),
        ({"inputs": IDS, "stop_strings": "x"}, ("stop_strings", "tokenizer")),
        ({}, ("bos_token_id",)),
    ],
)
def test_a_wrong_call_is_refused_before_the_model_runs(
    model: ToyForCausalLM, arguments: dict[str, Any], words: tuple[str, ...]
) -> None:
    with Counting(model) as forwards, pytest.raises(GenerationArgumentError) as caught:
        model.generate(**arguments)
    assert forwards.count == 0
    assert isinstance(caught.value, ValueError)
    for word in words:
        assert word in str(caught.value)


def test_a_prompt_that_the_cache_already_holds_is_refused(model: ToyForCausalLM) -> None:
    first = model.generate(IDS, max_new_tokens=2, return_dict_in_generate=True, pad_token_id=0)
    with pytest.raises(GenerationArgumentError, match="holds 5 positions"):
        model.generate(IDS, past_key_values=first.past_key_values, max_new_tokens=2, pad_token_id=0)


def broken_at(length: int, row: int, value: float) -> Any:
    def processor(input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[1] == length:
            scores = scores.clone()
            scores[row] = value
        return scores

    return processor


@pytest.mark.parametrize(
    "options", [{}, {"do_sample": True}, {"num_beams": 2}, {"num_beams": 2, "do_sample": True}]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_scores_without_a_choice_raise_with_what_was_generated(
    model: ToyForCausalLM, options: dict[str, Any], value: float
) -> None:
    ids = torch.tensor([[1, 2], [3, 4]])
    row = 1 if "num_beams" not in options else slice(2, 4)
    with pytest.raises(GenerationError) as caught:
        model.generate(
            ids, max_new_tokens=6, pad_token_id=0, logits_processor=[broken_at(5, row, value)], **options
        )
    assert caught.value.row == 1
    assert caught.value.step == 3
    assert caught.value.sequences is not None
    assert caught.value.sequences.shape[1] == 5
    assert "Row 1" in str(caught.value)


def test_invalid_values_are_removed_on_request() -> None:
    model = toy_causal()
    model.head.register_forward_hook(
        lambda module, args, output: output.index_fill(-1, torch.tensor([3]), torch.nan)
    )
    with pytest.raises(GenerationError):
        model.generate(IDS, max_new_tokens=3, pad_token_id=0)
    assert model.generate(IDS, max_new_tokens=3, pad_token_id=0, remove_invalid_values=True).shape == (1, 7)


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_any_exception_carries_what_was_generated(model: ToyForCausalLM, error: BaseException) -> None:
    def fails(input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[1] == 6:
            raise error
        return scores

    whole = model.generate(IDS, max_new_tokens=2, pad_token_id=0)
    with pytest.raises(type(error)) as caught:
        model.generate(IDS, max_new_tokens=6, pad_token_id=0, logits_processor=[fails])
    assert torch.equal(caught.value.sequences, whole)  # type: ignore[attr-defined]
    assert "2 tokens" in caught.value.__notes__[0]


def test_a_limit_from_a_file_stops_at_the_last_position(model: ToyForCausalLM) -> None:
    short = toy_causal(max_position_embeddings=10)
    short.generation_config.max_new_tokens = 40
    assert short.generate(IDS, pad_token_id=0).shape == (1, 10)


def test_hooks_of_a_subclass_are_honoured() -> None:
    class Doubled(ToyForCausalLM):
        calls = 0

        def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:
            self.calls += 1
            return {"input_ids": input_ids, "use_cache": False}

    plain = toy_causal()
    model = Doubled(plain.config).eval()
    model.load_state_dict(plain.state_dict())
    assert torch.equal(
        model.generate(IDS, max_new_tokens=5, pad_token_id=0),
        plain.generate(IDS, max_new_tokens=5, pad_token_id=0),
    )
    assert model.calls == 5
