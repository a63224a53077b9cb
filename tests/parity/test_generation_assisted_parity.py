"""Assisted decoding gives transformers 5.23's tokens: with an assistant and with guesses copied from the text.

Drawn tokens are equal under the same seed as well, because both draw the guesses, then a number for each guess, then
one token. In float64, so that no near tie of two scores can go either way.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

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
NOISE = {"the model itself": 0.0, "good": 0.02, "fair": 0.08, "another": 1.0}
PROMPTS = {"once": [[5, 6, 7, 8, 9]], "repeating": [[1, 2, 3, 4, 5, 1, 2, 3, 9, 1, 2]], "one token": [[11]]}
PROCESSED: dict[str, dict[str, Any]] = {
    "plain": {},
    "several ends": {"eos_token_id": [3, 9, 17, 58]},
    "minimum length": {"min_length": 15, "eos_token_id": [3, 9, 17]},
    "repetition penalty": {"repetition_penalty": 1.7},
    "no repeated n-grams": {"no_repeat_ngram_size": 2},
    "forced end": {"forced_eos_token_id": 58},
    "bad words": {"bad_words_ids": [[3], [4, 5], [9, 1, 2]]},
    "maximum length": {"max_length": 30, "max_new_tokens": None},
}
# The oracle shapes an assistant's distribution twice, which shows with any filter that changes what is left.
SAMPLED: dict[str, dict[str, Any]] = {
    "all tokens": {"top_k": 0},
    "top-k": {"top_k": 5},
    "min-p": {"top_k": 0, "min_p": 0.1},
    "ends": {"top_k": 0, "eos_token_id": [3, 9, 17, 58]},
    "repetition penalty": {"top_k": 0, "repetition_penalty": 1.3},
}


class Pair:
    """Models of both libraries with the same weights, and how often each model ran."""

    def __init__(self, noise: float) -> None:
        import transformers

        torch.manual_seed(11)
        shared, assistants = [], []
        for library in (transformers, formers_gpt2):
            for models in (shared, assistants):
                models.append(library.GPT2LMHeadModel(library.GPT2Config(**SETTINGS)).double().eval())
        weights = shared[0].state_dict()
        noisy = {name: value + noise * torch.randn_like(value) for name, value in weights.items()}
        noisy["lm_head.weight"] = noisy["transformer.wte.weight"]
        shared[1].load_state_dict(weights)
        for assistant in assistants:
            assistant.load_state_dict(noisy)
            assistant.generation_config.num_assistant_tokens = 4
            assistant.generation_config.assistant_confidence_threshold = 0.0
            assistant.generation_config.num_assistant_tokens_schedule = "constant"
        self.models, self.assistants = shared, assistants
        self.lengths: list[list[int]] = [[], []]
        for model, lengths in zip(shared, self.lengths, strict=True):
            model.register_forward_pre_hook(_counter(lengths), with_kwargs=True)

    def generate(self, prompt: list[list[int]], **settings: Any) -> list[Any]:
        """What both return, the oracle first."""
        results = []
        for model, assistant, lengths in zip(self.models, self.assistants, self.lengths, strict=True):
            given = {} if "prompt_lookup_num_tokens" in settings else {"assistant_model": assistant}
            lengths.clear()
            torch.manual_seed(5)
            asked = {"max_new_tokens": 25, "return_dict_in_generate": True, "output_scores": True, **settings}
            results.append(model.generate(torch.tensor(prompt), output_logits=True, **asked, **given))
        return results


def _counter(lengths: list[int]) -> Any:
    def count(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        lengths.append(kwargs["input_ids"].shape[1])

    return count


@pytest.fixture(scope="module", params=NOISE)
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(NOISE[request.param])


@pytest.fixture(scope="module")
def copying() -> Pair:
    return Pair(0.0)


def same(results: list[Any]) -> None:
    oracle, ours = results
    assert ours.sequences.tolist() == oracle.sequences.tolist()
    for name in ("scores", "logits"):
        theirs, mine = getattr(oracle, name), getattr(ours, name)
        for expected, actual in zip(theirs, mine, strict=False):
            torch.testing.assert_close(actual, expected.float(), rtol=1e-5, atol=1e-5)
        # The oracle may keep scores of guesses that the end of the text cut off.
        assert len(theirs) >= len(mine)


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
