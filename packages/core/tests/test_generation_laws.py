"""Laws of ``generate``: caches, padding and batch-mates change nothing, and samples follow the distribution."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from toy_causal import ToyForCausalLM, toy_causal

from formers.cache import StaticCache
from formers.errors import FormersWarning

STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "processed": {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "min_new_tokens": 3},
    "beams": {"num_beams": 3},
    "beams to return": {"num_beams": 4, "num_return_sequences": 2, "length_penalty": 0.3},
}
PROMPTS = [[3, 4, 5, 6, 7], [8], [9, 10, 11]]
PAD, END = 23, 22


@pytest.fixture(scope="module")
def model() -> ToyForCausalLM:
    return toy_causal(seed=1).double()


def padded(prompts: list[list[int]], side: str = "left") -> dict[str, Tensor]:
    width = max(map(len, prompts))
    ids, mask = torch.full((len(prompts), width), PAD), torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        place = slice(width - len(prompt), None) if side == "left" else slice(len(prompt))
        ids[row, place], mask[row, place] = torch.tensor(prompt), 1
    return {"input_ids": ids, "attention_mask": mask}


def new_tokens(rows: Tensor, prompt_length: int) -> list[list[int]]:
    """What was generated, without padding behind the end."""
    texts = rows[:, prompt_length:].tolist()
    return [row[: row.index(END) + 1] if END in row else row for row in texts]


def run(model: ToyForCausalLM, inputs: dict[str, Tensor], **options: Any) -> list[list[int]]:
    options = {"max_new_tokens": 8, "eos_token_id": END, "pad_token_id": PAD} | options
    return new_tokens(model.generate(**inputs, **options), inputs["input_ids"].shape[1])


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("cache", [{"use_cache": False}, {"cache_implementation": "static"}])
def test_cached_is_uncached(model: ToyForCausalLM, name: str, cache: dict[str, Any]) -> None:
    inputs = padded(PROMPTS)
    assert run(model, inputs, **STRATEGIES[name], **cache) == run(model, inputs, **STRATEGIES[name])


@pytest.mark.parametrize("name", STRATEGIES)
def test_batch_mates_and_padding_change_nothing(model: ToyForCausalLM, name: str) -> None:
    options = STRATEGIES[name]
    together = run(model, padded(PROMPTS), **options)
    alone = [
        row for prompt in PROMPTS for row in run(model, {"input_ids": torch.tensor([prompt])}, **options)
    ]
    assert together == alone


@settings(max_examples=25, deadline=None)
@given(
    prompts=st.lists(st.lists(st.integers(0, 21), min_size=1, max_size=6), min_size=1, max_size=4),
    seed=st.integers(0, 5),
    beams=st.integers(1, 3),
)
def test_a_row_is_what_it_would_be_alone(prompts: list[list[int]], seed: int, beams: int) -> None:
    model = toy_causal(seed=seed).double()
    together = run(model, padded(prompts), num_beams=beams)
    for prompt, row in zip(prompts, together, strict=True):
        assert run(model, {"input_ids": torch.tensor([prompt])}, num_beams=beams) == [row]


def test_padding_behind_a_prompt_is_moved_to_the_front_with_a_warning(model: ToyForCausalLM) -> None:
    with pytest.warns(FormersWarning, match="padding_side"):
        right = run(model, padded(PROMPTS, side="right"))
    assert right == run(model, padded(PROMPTS))


def test_a_hole_in_the_mask_is_not_counted(model: ToyForCausalLM) -> None:
    holed = {
        "input_ids": torch.tensor([[3, 4, PAD, 5, 6]]),
        "attention_mask": torch.tensor([[1, 1, 0, 1, 1]]),
    }
    assert run(model, holed) == run(model, {"input_ids": torch.tensor([[3, 4, 5, 6]])})


def test_padding_is_seen_without_a_mask(model: ToyForCausalLM) -> None:
    inputs = padded(PROMPTS)
    assert run(model, {"input_ids": inputs["input_ids"]}) == run(model, inputs)


def test_a_prompt_may_be_given_as_embeddings(model: ToyForCausalLM) -> None:
    inputs = padded(PROMPTS)
    embeds = model.embeddings(inputs["input_ids"]).detach()
    for options in ({}, {"use_cache": False}, {"num_beams": 2}):
        wanted = run(model, inputs, **options)
        rows = model.generate(
            inputs_embeds=embeds, attention_mask=inputs["attention_mask"], max_new_tokens=8,
            eos_token_id=END, pad_token_id=PAD, **options,
        )  # fmt: skip
        assert new_tokens(rows, 0) == wanted


def test_a_static_cache_serves_many_calls_without_new_room(model: ToyForCausalLM) -> None:
    cache = StaticCache(model.config, max_cache_len=32)
    rooms = set()
    for length in range(1, 12):
        inputs = {"input_ids": torch.arange(length)[None]}
        cache.reset()
        assert run(model, inputs, past_key_values=cache) == run(model, inputs)
        rooms.add(cache.layers[0].room[0].data_ptr())  # type: ignore[union-attr, index]
    assert len(rooms) == 1


def test_chunks_of_a_conversation_equal_the_whole(model: ToyForCausalLM) -> None:
    first = model.generate(
        torch.tensor([[3, 4, 5]]), max_new_tokens=4, return_dict_in_generate=True, pad_token_id=PAD
    )
    longer = torch.cat((first.sequences, torch.tensor([[6, 7]])), dim=1)
    again = model.generate(longer, past_key_values=first.past_key_values, max_new_tokens=4, pad_token_id=PAD)
    assert torch.equal(again, model.generate(longer, max_new_tokens=4, pad_token_id=PAD))


@pytest.mark.parametrize(
    ("options", "change"),
    [({"top_k": 0}, lambda s: s), ({"top_k": 0, "temperature": 0.5}, lambda s: s / 0.5)],
)
def test_samples_follow_the_distribution(model: ToyForCausalLM, options: dict[str, Any], change: Any) -> None:
    ids, draws = torch.tensor([[3, 4, 5]]), 6000
    with torch.no_grad():
        expected = change(model(ids).logits[0, -1].float()).softmax(dim=-1) * draws
    torch.manual_seed(0)
    rows = model.generate(
        ids, do_sample=True, max_new_tokens=1, num_return_sequences=draws, pad_token_id=PAD, **options
    )
    observed = torch.bincount(rows[:, -1], minlength=24).double()
    frequent = expected >= 5
    parts = [(observed[frequent], expected[frequent])]
    if not bool(frequent.all()):
        parts.append((observed[~frequent].sum()[None], expected[~frequent].sum()[None]))
    statistic = sum(((o - e) ** 2 / e).sum().item() for o, e in parts)
    freedom = int(frequent.sum()) - 1 + len(parts) - 1
    # 99.9 % of the chi-square distribution, by Wilson and Hilferty's approximation.
    limit = freedom * (1 - 2 / (9 * freedom) + 3.09 * (2 / (9 * freedom)) ** 0.5) ** 3
    assert statistic < limit


def test_top_k_is_50_by_default_and_the_plan_says_so() -> None:
    model = toy_causal(vocab_size=200)
    output = model.generate(
        torch.tensor([[1, 2]]), do_sample=True, max_new_tokens=1, return_dict_in_generate=True, output_scores=True,
        pad_token_id=0,
    )  # fmt: skip
    assert int(output.scores[0].isfinite().sum()) == 50
    plan = model.generation_plan(do_sample=True)
    assert (plan.top_k, plan.origin("top_k")) == (50, "default")


def test_no_gradients_are_tracked(model: ToyForCausalLM) -> None:
    output = model.generate(
        torch.tensor([[1, 2]]),
        max_new_tokens=2,
        return_dict_in_generate=True,
        output_logits=True,
        pad_token_id=0,
    )
    assert not any(step.requires_grad for step in output.logits)
    assert torch.is_grad_enabled()


def test_without_padding_a_row_that_has_ended_goes_on_beside_the_others(model: ToyForCausalLM) -> None:
    ids = torch.tensor([[3, 4], [4, 5]])
    alone = model.generate(ids, max_new_tokens=7)
    assert not torch.equal(alone[0, 2:], alone[1, 2:])
    last = alone[1, 2]

    def ends(input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return input_ids[:, -1] == last

    rows = model.generate(ids, max_new_tokens=7, stopping_criteria=[ends])
    assert torch.equal(rows, alone[:, : rows.shape[1]])
