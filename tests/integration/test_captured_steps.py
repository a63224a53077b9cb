"""Decode steps that are captured once and replayed, with a stand-in for the device.

That CUDA captures the step only the last test tries, on a GPU.
"""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from captured_device import Recorder
from torch import Tensor

import formers_gpt2
import formers_t5
from formers import GenerationArgumentError, GenerationError, StaticCache
from formers.generation import captured, stopping
from formers.generation.state import Decoding

CAPTURED: dict[str, Any] = {"cache_implementation": "static", "compile_config": {"backend": "cudagraph"}}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr(captured, "recorder_for", lambda device: made)
    return made


def gpt2(**changes: Any) -> Any:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 40,
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 128,
        "initializer_range": 0.4,
    }
    return formers_gpt2.GPT2LMHeadModel(formers_gpt2.GPT2Config(**{**sizes, **changes})).eval()


def settings(new: int = 12, **changes: Any) -> dict[str, Any]:
    return {"max_new_tokens": new, "pad_token_id": 0, "eos_token_id": None, "bos_token_id": 1, **changes}


def prompts(rows: int = 2, length: int = 5, seed: int = 0) -> Tensor:
    return torch.randint(2, 40, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"attention_mask": torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])},
        {"do_sample": True, "num_return_sequences": 2},
        {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
    ],
    ids=["greedy", "padded", "sampled", "processed"],
)
def test_the_tokens_are_those_of_the_plain_path(recorder: Recorder, more: dict[str, Any]) -> None:
    model = gpt2()
    torch.manual_seed(1)
    wanted = model.generate(prompts(), **settings(), **more)
    torch.manual_seed(1)
    assert torch.equal(model.generate(prompts(), **settings(), **more, **CAPTURED), wanted)
    assert (recorder.captures, recorder.replays) == (1, 11)  # the prompt gives the first token


def test_what_is_recorded_stays(recorder: Recorder) -> None:
    """A replay overwrites the tensors of the one before, but nothing that was handed out."""
    model = gpt2()
    wanted = {"return_dict_in_generate": True, "output_logits": True, "output_hidden_states": True}
    plain = model.generate(prompts(), **settings(), **wanted)
    found = model.generate(prompts(), **settings(), **wanted, **CAPTURED)
    torch.testing.assert_close(found.logits, plain.logits)
    torch.testing.assert_close(found.hidden_states, plain.hidden_states)
    assert found.past_key_values.cursor is None
    assert found.past_key_values.get_seq_length() == plain.past_key_values.get_seq_length()
    for (key, value), (own_key, own_value) in zip(plain.past_key_values, found.past_key_values, strict=True):
        torch.testing.assert_close(own_key, key)
        torch.testing.assert_close(own_value, value)
    before = own_key.clone()
    model.generate(prompts(seed=5), **settings(), **wanted, **CAPTURED)
    assert torch.equal(own_key, before)
    assert recorder.captures == 1


def test_one_capture_for_every_call_of_a_kind(recorder: Recorder) -> None:
    model = gpt2()
    for seed, length in enumerate((5, 9, 5)):
        given = prompts(length=length, seed=seed)
        assert torch.equal(
            model.generate(given, **settings(), **CAPTURED), model.generate(given, **settings())
        )
    assert recorder.captures == 1
    for changed in (
        {"inputs": prompts(rows=3)},
        {"max_new_tokens": 70},  # a larger room
        {"output_hidden_states": True, "return_dict_in_generate": True},
        {"attention_mask": torch.ones(2, 5, dtype=torch.int64).index_fill(1, torch.tensor([0]), 0)},
    ):
        before = recorder.captures
        for _ in range(2):
            model.generate(**{**settings(), "inputs": prompts(), **CAPTURED, **changed})
        assert recorder.captures == before + 1, changed
    model.set_attn_implementation("eager")
    model.generate(prompts(), **settings(), **CAPTURED)
    with torch.inference_mode():
        model.generate(prompts(), **settings(), **CAPTURED)
    assert recorder.captures == 7


def test_the_kept_graphs_are_few(recorder: Recorder) -> None:
    model = gpt2()
    for rows in range(1, 12):
        model.generate(prompts(rows=rows), **settings(2), **CAPTURED)
    assert len(model.compiled_steps.graphs) == 8
    model.generate(prompts(rows=11), **settings(2), **CAPTURED)
    assert recorder.captures == 11
    model.generate(prompts(rows=1), **settings(2), **CAPTURED)
    assert recorder.captures == 12


def test_weights_that_change_in_place_count_and_those_that_move_capture_again(recorder: Recorder) -> None:
    model = gpt2()
    first = model.generate(prompts(), **settings(), **CAPTURED)
    with torch.no_grad():
        model.transformer.wpe.weight.normal_()
        model.transformer.wte.weight.normal_()
    second = model.generate(prompts(), **settings(), **CAPTURED)
    assert recorder.captures == 1
    assert not torch.equal(first, second)
    assert torch.equal(second, model.generate(prompts(), **settings()))
    model.transformer.wpe.weight.data = model.transformer.wpe.weight.data * -1
    third = model.generate(prompts(), **settings(), **CAPTURED)
    assert recorder.captures == 2
    assert torch.equal(third, model.generate(prompts(), **settings()))
    assert len(model.compiled_steps.graphs) == 1
    model.double().generate(prompts(), **settings(), **CAPTURED)
    assert (recorder.captures, len(model.compiled_steps.graphs)) == (3, 1)


def test_copies_begin_without_graphs(recorder: Recorder) -> None:
    model = gpt2()
    model.generate(prompts(), **settings(), **CAPTURED)
    assert len(model.compiled_steps.graphs) == 1
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert len(other.compiled_steps.graphs) == 0


def test_two_runs_at_a_time_have_a_graph_each(recorder: Recorder) -> None:
    model = gpt2()
    given = [prompts(seed=seed) for seed in range(2)]
    runs = [model.stream(one, **settings(), **CAPTURED) for one in given]
    steps = zip(*runs, strict=True)
    found = zip(*([step.ids for step in pair] for pair in steps), strict=True)
    for one, columns in zip(given, found, strict=True):
        assert torch.equal(torch.cat([one, *columns], dim=1), model.generate(one, **settings()))
    assert (recorder.captures, len(model.compiled_steps.graphs)) == (2, 1)


def test_a_stream_that_is_closed_leaves_its_graph_to_others(recorder: Recorder) -> None:
    model = gpt2()
    steps = model.stream(prompts(), **settings(), **CAPTURED)
    for _ in range(3):
        next(steps)
    steps.close()
    wanted = model.generate(prompts(seed=3), **settings())
    assert torch.equal(model.generate(prompts(seed=3), **settings(), **CAPTURED), wanted)
    assert recorder.captures == 1


def test_the_callers_cache_goes_on(recorder: Recorder) -> None:
    model = gpt2()
    cache = StaticCache(model.config, max_cache_len=64)
    del (once := dict(CAPTURED))["cache_implementation"]
    text = model.generate(prompts(), **settings(), past_key_values=cache, **once)
    assert cache.get_seq_length() == text.shape[1] - 1
    longer = torch.cat((text, prompts(length=4, seed=7)), dim=1)
    found = model.generate(longer, **settings(), past_key_values=cache, **once)
    assert torch.equal(found, model.generate(longer, **settings()))
    assert recorder.captures == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_rows_that_end_inside_a_block(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    """On an accelerator flags are read once in a block; what was begun behind the end is taken away."""
    model = gpt2()
    free = model.generate(prompts(1), **settings(30))[0].tolist()
    ends = next(column for column in range(5 + 9, 5 + 15) if free[column] not in free[5:column])
    given = settings(30, eos_token_id=free[ends])
    wanted = model.generate(prompts(1), **given)
    assert wanted.shape[1] == ends + 1
    monkeypatch.setattr(Decoding, "device", property(lambda run: SimpleNamespace(type="cuda")))
    if streamed:
        found = torch.cat(
            [prompts(1), *(step.ids for step in model.stream(prompts(1), **given, **CAPTURED))], dim=1
        )
    else:
        found = model.generate(prompts(1), **given, **CAPTURED)
    assert torch.equal(found, wanted)
    assert recorder.replays == 2 * stopping.BLOCK - 1


class Peeking(formers_gpt2.GPT2LMHeadModel):
    """Looks at a value on the device in every step."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        if bool(output.logits[0, 0, 0].isnan()):
            raise AssertionError
        return output


def test_a_step_that_cannot_be_captured(recorder: Recorder) -> None:
    model = Peeking(gpt2().config).eval()
    with pytest.raises(
        GenerationError, match=r"step of Peeking cannot be captured: operation not permitted"
    ) as error:
        model.generate(prompts(), **settings(), **CAPTURED)
    assert error.value.sequences.shape == (2, 6)
    assert isinstance(error.value.__cause__, RuntimeError)
    assert len(model.compiled_steps.graphs) == 0
    assert model.generate(prompts(), **settings()).shape == (2, 17)


def test_memory_that_runs_out_is_no_error_of_the_step(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(work: Any) -> Any:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(recorder, "capture", full)
    with pytest.raises(torch.OutOfMemoryError) as error:
        gpt2().generate(prompts(), **settings(), **CAPTURED)
    assert error.value.sequences.shape == (2, 6)  # type: ignore[attr-defined]


def test_where_nothing_can_be_captured() -> None:
    model = gpt2()
    with pytest.raises(GenerationArgumentError, match="only a CUDA device records graphs, and this is cpu"):
        model.generate(prompts(), **settings(), **CAPTURED)
    assert torch.equal(
        model.generate(prompts(), **settings(), **CAPTURED, disable_compile=True),
        model.generate(prompts(), **settings()),
    )
    with pytest.raises(GenerationArgumentError, match="takes no other arguments, but 'mode' is given"):
        model.generate(
            prompts(),
            **settings(),
            **{**CAPTURED, "compile_config": {"backend": "cudagraph", "mode": "default"}},
        )
    with pytest.raises(GenerationArgumentError, match="compile_config needs fixed shapes"):
        model.generate(prompts(), **settings(), compile_config={"backend": "cudagraph"})
    with torch.enable_grad(), pytest.raises(GenerationArgumentError, match="no gradients"):
        captured.recorder_for(torch.device("cuda"))


@pytest.mark.parametrize("padded", [False, True])
def test_an_encoder_decoder(recorder: Recorder, padded: bool) -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    config = formers_t5.T5Config(**sizes, decoder_start_token_id=0, initializer_factor=5.0)
    model = formers_t5.T5ForConditionalGeneration(config).eval()
    more: dict[str, Any] = settings(num_return_sequences=2, do_sample=True)
    if padded:
        more["attention_mask"] = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    for seed in range(2):
        for captured_too in ({}, CAPTURED):
            torch.manual_seed(1)
            found = model.generate(prompts(seed=seed), **more, **captured_too)
            if not captured_too:
                wanted = found
        assert torch.equal(found, wanted)
    assert (recorder.captures, recorder.replays) == (1, 22)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures on a CUDA device")
@pytest.mark.parametrize("padded", [False, True])
def test_on_a_gpu(padded: bool) -> None:
    model = gpt2().cuda()
    more = {"attention_mask": torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]).cuda()} if padded else {}
    for seed in range(3):
        given = prompts(seed=seed).cuda()
        found = model.generate(given, **settings(40), **more, **CAPTURED)
        assert torch.equal(found, model.generate(given, **settings(40), **more))
    assert len(model.compiled_steps.graphs) == 1
