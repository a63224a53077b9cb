"""Assisted decoding of T5 gives transformers 5.23's tokens: with an assistant, and with guesses copied from the text.

The oracle's assistants read the whole text anew in each round, behind the text that their cache holds; here they forget
it first, so that both libraries draw from the same guesses.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from assisting import NOISE, PROCESSED, SAMPLED, Pair, same
from test_t5_generation_parity import make_pair

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

SOURCES = {"once": [[5, 6, 7, 8, 9]], "repeating": [[1, 2, 3, 4, 5, 1, 2, 3, 9, 1, 2]], "one token": [[11]]}
CASES = [name for name in PROCESSED if name != "minimum length"]


def forget(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Empty the cache of an assistant that is given a text from its beginning."""
    cache = kwargs.get("past_key_values")
    if kwargs["decoder_input_ids"].shape[1] > 1 and cache is not None and cache.get_seq_length():
        for layer in cache.self_attention_cache.layers:
            layer.keys, layer.values = layer.keys[:, :, :0], layer.values[:, :, :0]


def make(configuration: str) -> tuple[Any, Any]:
    """As for other strategies; a text ends with its padding token, which the oracle's assistants ask for."""
    models = make_pair(configuration)
    for model in models:
        model.set_attn_implementation("eager")
        model.generation_config.pad_token_id = 58
    return models


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[] if name == "fair" else pytest.mark.slow) for name in NOISE],
)
def pair(request: pytest.FixtureRequest) -> Pair:
    made = Pair(partial(make, "v1.1"), NOISE[request.param])
    made.assistants[0].register_forward_pre_hook(forget, with_kwargs=True)
    return made


@pytest.fixture(scope="module", params=["v1.0", pytest.param("shallower decoder", marks=pytest.mark.slow)])
def copying(request: pytest.FixtureRequest) -> Pair:
    return Pair(partial(make, request.param), 0.0)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", CASES)
def test_an_assistant_gives_the_same_tokens_and_no_more_forwards(pair: Pair, name: str, source: str) -> None:
    same(pair.generate(SOURCES[source], **PROCESSED[name]))
    assert len(pair.lengths[1]) <= len(pair.lengths[0])


@pytest.mark.parametrize("longest", [1, 2])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", CASES)
def test_prompt_lookup_gives_the_same_tokens(copying: Pair, name: str, source: str, longest: int) -> None:
    lookup = {"prompt_lookup_num_tokens": 3, "max_matching_ngram_size": longest}
    same(copying.generate(SOURCES[source], **PROCESSED[name], **lookup))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", SAMPLED)
def test_drawn_tokens_are_the_same_under_the_same_seed(pair: Pair, name: str, source: str) -> None:
    same(pair.generate(SOURCES[source], do_sample=True, **SAMPLED[name]))


def test_a_prompt_of_the_decoder_is_continued(pair: Pair) -> None:
    prompt = torch.tensor([[57, 9, 4, 9]])
    same(pair.generate(SOURCES["once"], decoder_input_ids=prompt))
    same(pair.generate(SOURCES["repeating"], decoder_input_ids=prompt, prompt_lookup_num_tokens=2))


def test_a_padded_source_is_the_source_alone(pair: Pair) -> None:
    alone = pair.generate(SOURCES["once"])[0].sequences
    for row, mask in (([5, 6, 7, 8, 9, 59, 59], [1] * 5 + [0] * 2), ([59, 5, 6, 7, 8, 9], [0] + [1] * 5)):
        _, ours = pair.generate([row], attention_mask=torch.tensor([mask]))
        assert torch.equal(ours.sequences, alone)


def test_attentions_and_hidden_states_are_split_as_those_of_greedy_search(pair: Pair) -> None:
    asked = {"output_attentions": True, "output_hidden_states": True}
    _, ours = pair.generate(SOURCES["once"], **asked)
    greedy = pair.models[0].generate(
        torch.tensor(SOURCES["once"]), max_new_tokens=25, return_dict_in_generate=True, **asked
    )
    for name in ("decoder_attentions", "cross_attentions", "decoder_hidden_states"):
        for alone, mine in zip(getattr(greedy, name), getattr(ours, name), strict=True):
            for expected, actual in zip(alone, mine, strict=True):
                torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-7)
