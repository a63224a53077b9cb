"""Assisted decoding gives transformers 5.23's tokens: with an assistant and with guesses copied from the text.

Drawn tokens are equal under the same seed as well, because both draw the guesses, then a number for each guess, then
one token. In float64, so that no near tie of two scores can go either way.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from assisting import NOISE, PROCESSED, SAMPLED, Pair, same

import formers_gpt2

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

SETTINGS: dict[str, Any] = {
    "vocab_size": 61, "n_positions": 96, "n_embd": 24, "n_layer": 2, "n_head": 4, "bos_token_id": 57,
    "eos_token_id": 58, "pad_token_id": 58, "initializer_range": 0.4, "attn_implementation": "eager",
}  # fmt: skip
PROMPTS = {"once": [[5, 6, 7, 8, 9]], "repeating": [[1, 2, 3, 4, 5, 1, 2, 3, 9, 1, 2]], "one token": [[11]]}


def make() -> tuple[Any, Any]:
    """The oracle's GPT-2 and ours with the same weights."""
    import transformers

    torch.manual_seed(11)
    oracle, ours = (
        library.GPT2LMHeadModel(library.GPT2Config(**SETTINGS)).double().eval()
        for library in (transformers, formers_gpt2)
    )
    ours.load_state_dict(oracle.state_dict())
    return oracle, ours


@pytest.fixture(scope="module", params=NOISE)
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(make, NOISE[request.param])


@pytest.fixture(scope="module")
def copying() -> Pair:
    return Pair(make, 0.0)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("name", PROCESSED)
def test_an_assistant_gives_the_same_tokens_and_no_more_forwards(pair: Pair, name: str, prompt: str) -> None:
    same(pair.generate(PROMPTS[prompt], **PROCESSED[name]))
    assert len(pair.lengths[1]) <= len(pair.lengths[0])


@pytest.mark.parametrize("longest", [1, 2, 3])
@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("name", PROCESSED)
def test_prompt_lookup_gives_the_same_tokens(copying: Pair, name: str, prompt: str, longest: int) -> None:
    lookup = {"prompt_lookup_num_tokens": 3, "max_matching_ngram_size": longest}
    same(copying.generate(PROMPTS[prompt], **PROCESSED[name], **lookup))


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("name", SAMPLED)
def test_drawn_tokens_are_the_same_under_the_same_seed(pair: Pair, name: str, prompt: str) -> None:
    same(pair.generate(PROMPTS[prompt], do_sample=True, **SAMPLED[name]))


@pytest.mark.parametrize("name", [name for name in SAMPLED if name != "repetition penalty"])
def test_drawn_tokens_with_prompt_lookup_are_the_same_under_the_same_seed(copying: Pair, name: str) -> None:
    settings = SAMPLED[name] | {"do_sample": True, "prompt_lookup_num_tokens": 3}
    same(copying.generate(PROMPTS["repeating"], **settings))


def test_attentions_and_hidden_states_are_split_as_there(pair: Pair) -> None:
    asked = {"output_attentions": True, "output_hidden_states": True, "return_dict_in_generate": True}
    oracle, ours = pair.generate(PROMPTS["once"], **asked)
    # Of the first forward its assisted search gives rows of the prompt, so the values are those of its greedy search.
    greedy = pair.models[0].generate(torch.tensor(PROMPTS["once"]), max_new_tokens=25, **asked)
    for name in ("attentions", "hidden_states"):
        steps = zip(getattr(oracle, name), getattr(greedy, name), getattr(ours, name), strict=True)
        for theirs, alone, mine in steps:
            for shaped, expected, actual in zip(theirs, alone, mine, strict=True):
                assert actual.shape == shaped.shape
                torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-7)
    assert ours.past_key_values.get_seq_length() == oracle.past_key_values.get_seq_length()


@pytest.mark.parametrize("schedule", ["heuristic", "heuristic_transient"])
def test_schedules_run_ahead_as_far(pair: Pair, schedule: str) -> None:
    for assistant in pair.assistants:
        assistant.generation_config.num_assistant_tokens_schedule = schedule
        assistant.generation_config.num_assistant_tokens = 4
    for _ in range(2):  # the second call begins where the first one ended, or anew
        same(pair.generate(PROMPTS["once"]))
        assert len(pair.lengths[1]) <= len(pair.lengths[0])
    for assistant in pair.assistants:
        assistant.generation_config.num_assistant_tokens_schedule = "constant"
        assistant.generation_config.num_assistant_tokens = 4
