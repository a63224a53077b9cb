"""``generate`` gives transformers 5.23's tokens: deterministic strategies, and sampling under the same seed.

In float64, so that no near tie of two scores can go either way.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from generation_settings import DETERMINISTIC, SAMPLED, prompts, same

import formers_bert
import formers_gpt2
from formers.cache import StaticCache

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

BASE = {
    "vocab_size": 61, "n_positions": 64, "n_embd": 24, "n_layer": 2, "n_head": 4, "bos_token_id": 57,
    "eos_token_id": 58, "pad_token_id": 59, "initializer_range": 0.4,
}  # fmt: skip
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "small": {},
    "scaled": {"scale_attn_by_inverse_layer_idx": True, "n_layer": 3},
    "odd": {"n_embd": 33, "n_head": 3, "n_inner": 17, "activation_function": "relu", "vocab_size": 75},
}


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """The oracle's GPT-2 and ours with the same weights."""
    import transformers

    settings = BASE | CONFIGURATIONS[request.param]
    torch.manual_seed(11)
    oracle = transformers.GPT2LMHeadModel(transformers.GPT2Config(**settings)).double().eval()
    ours = formers_gpt2.GPT2LMHeadModel(formers_gpt2.GPT2Config(**settings)).double().eval()
    ours.load_state_dict(oracle.state_dict())
    return oracle, ours


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_strategies_give_the_same_tokens(pair: tuple[Any, Any], name: str) -> None:
    same(pair, prompts(), DETERMINISTIC[name])


@pytest.mark.parametrize("name", SAMPLED)
def test_sampling_gives_the_same_tokens_under_the_same_seed(pair: tuple[Any, Any], name: str) -> None:
    same(pair, prompts(), SAMPLED[name] | {"do_sample": True})


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}, {"do_sample": True, "num_return_sequences": 2}])
def test_a_prompt_without_padding(pair: tuple[Any, Any], settings: dict[str, Any]) -> None:
    same(pair, {"input_ids": torch.tensor([[5, 6, 7, 8]])}, settings)


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}])
def test_no_prompt_begins_with_bos(pair: tuple[Any, Any], settings: dict[str, Any]) -> None:
    same(pair, {}, settings)


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}])
def test_embeddings_in_place_of_ids(pair: tuple[Any, Any], settings: dict[str, Any]) -> None:
    inputs = prompts()
    embeds = pair[1].get_input_embeddings()(inputs.pop("input_ids")).detach()
    same(pair, {"inputs_embeds": embeds, **inputs}, settings)


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}, {"num_beams": 2, "do_sample": True}])
def test_attentions_and_hidden_states(pair: tuple[Any, Any], settings: dict[str, Any]) -> None:
    results = []
    for model in pair:
        model.set_attn_implementation("eager")
        torch.manual_seed(5)
        results.append(
            model.generate(
                **prompts(),
                **settings,
                max_new_tokens=4,
                return_dict_in_generate=True,
                output_attentions=True,
                output_hidden_states=True,
            )
        )
        model.set_attn_implementation("sdpa")
    oracle, ours = results
    for name in ("attentions", "hidden_states"):
        theirs, mine = getattr(oracle, name), getattr(ours, name)
        assert [len(step) for step in mine] == [len(step) for step in theirs]
        for step, (expected, actual) in enumerate(zip(theirs, mine, strict=True)):
            for one, other in zip(expected, actual, strict=True):
                assert other.shape == one.shape, (name, step)
                real = prompts()["attention_mask"].bool().repeat_interleave(one.shape[0] // 3, dim=0)
                if step == 0:
                    one, other = (
                        (x.transpose(1, 2) if name == "attentions" else x)[real] for x in (one, other)
                    )
                torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-6)


def test_a_prompt_is_continued_from_a_cache(pair: tuple[Any, Any]) -> None:
    ids = torch.tensor([[5, 6, 7, 8], [9, 8, 7, 6]])
    results = []
    for model in pair:
        first = model.generate(ids, max_new_tokens=3, return_dict_in_generate=True)
        longer = torch.cat((first.sequences, torch.tensor([[1, 2], [3, 4]])), dim=1)
        results.append(model.generate(longer, past_key_values=first.past_key_values, max_new_tokens=5))
    assert torch.equal(*results)


def test_a_static_cache_is_used_again(pair: tuple[Any, Any]) -> None:
    oracle, ours = pair
    cache = StaticCache(ours.config, max_cache_len=32)
    rooms = set()
    for seed in range(3):
        ids = torch.randint(0, 56, (2, 5 + seed), generator=torch.Generator().manual_seed(seed))
        expected = oracle.generate(ids, max_new_tokens=6, attention_mask=torch.ones_like(ids))
        cache.reset()
        assert torch.equal(ours.generate(ids, past_key_values=cache, max_new_tokens=6), expected)
        rooms.add(cache.layers[0].room[0].data_ptr())
    assert len(rooms) == 1


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}, {"do_sample": True}, {"use_cache": False}])
@pytest.mark.parametrize("padded", [False, True])
def test_bert_as_a_decoder(settings: dict[str, Any], padded: bool) -> None:
    import transformers

    sizes = {
        "vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "is_decoder": True,
        "intermediate_size": 40, "max_position_embeddings": 40, "initializer_range": 0.4, "pad_token_id": 59,
        "bos_token_id": 57, "eos_token_id": 58,
    }  # fmt: skip
    torch.manual_seed(2)
    oracle = transformers.BertLMHeadModel(transformers.BertConfig(**sizes)).double().eval()
    ours = formers_bert.BertLMHeadModel(formers_bert.BertConfig(**sizes)).double().eval()
    ours.load_state_dict(oracle.state_dict())
    inputs = prompts()
    if not padded:
        inputs = {"input_ids": inputs["input_ids"] % 56, "attention_mask": torch.ones(3, 7, dtype=torch.long)}
    same((oracle, ours), inputs, settings)
