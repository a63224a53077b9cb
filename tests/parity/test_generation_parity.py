"""``generate`` gives transformers 5.23's tokens: deterministic strategies, and sampling under the same seed.

In float64, so that no near tie of two scores can go either way.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

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
DETERMINISTIC: dict[str, dict[str, Any]] = {
    "greedy": {},
    "without a cache": {"use_cache": False},
    "static cache": {"cache_implementation": "static"},
    "several ends": {"eos_token_id": [3, 9, 17, 58]},
    "an end that is the padding": {"eos_token_id": 7, "pad_token_id": 7},
    "minimum length": {"min_length": 15, "eos_token_id": [3, 9, 17]},
    "minimum of new tokens": {"min_new_tokens": 6, "eos_token_id": [3, 9, 17]},
    "repetition penalty": {"repetition_penalty": 1.7},
    "no repeated n-grams": {"no_repeat_ngram_size": 2},
    "no n-grams of the prompt": {"encoder_no_repeat_ngram_size": 2},
    "encoder repetition penalty": {"encoder_repetition_penalty": 1.4},
    "bad words": {"bad_words_ids": [[3], [4, 5], [9, 1, 2]]},
    "sequence bias": {"sequence_bias": [[[5], 4.0], [[8, 6], -3.0]]},
    "forced beginning": {"forced_bos_token_id": 5, "forced_eos_token_id": 58},
    "suppressed tokens": {"suppress_tokens": [1, 2, 3], "begin_suppress_tokens": [4, 5]},
    "longer is costly": {"exponential_decay_length_penalty": (4, 1.3)},
    "invalid values removed": {"remove_invalid_values": True, "renormalize_logits": True},
    "maximum length": {"max_length": 17, "max_new_tokens": None},
    "guidance": {"guidance_scale": 1.6},
    "beams": {"num_beams": 3},
    "beams without a cache": {"num_beams": 3, "use_cache": False},
    "beams in a static cache": {"num_beams": 3, "cache_implementation": "static"},
    "several of the beams": {"num_beams": 4, "num_return_sequences": 3},
    "short beams": {"num_beams": 3, "length_penalty": -1.0, "eos_token_id": [3, 9, 17, 20, 21]},
    "long beams": {"num_beams": 3, "length_penalty": 2.0, "eos_token_id": [3, 9, 17, 20, 21]},
    "beams that stop early": {"num_beams": 3, "early_stopping": True, "eos_token_id": [3, 9, 17]},
    "beams that never stop early": {
        "num_beams": 3, "early_stopping": "never", "length_penalty": 1.5, "eos_token_id": [3, 9, 17],
    },
    "beams with processors": {"num_beams": 4, "no_repeat_ngram_size": 3, "repetition_penalty": 1.2, "min_length": 12},
}  # fmt: skip
SAMPLED: dict[str, dict[str, Any]] = {
    "plain": {},
    "all tokens": {"top_k": 0},
    "top-k": {"top_k": 5, "temperature": 0.7},
    "top-p": {"top_k": 0, "top_p": 0.7},
    "min-p": {"top_k": 0, "min_p": 0.1},
    "typical": {"top_k": 0, "typical_p": 0.6},
    "epsilon": {"top_k": 0, "epsilon_cutoff": 0.02},
    "eta": {"top_k": 0, "eta_cutoff": 0.05},
    "several": {"num_return_sequences": 3, "temperature": 1.5},
    "beams": {"num_beams": 3},
    "beams with warpers": {"num_beams": 3, "top_p": 0.8, "temperature": 1.3, "num_return_sequences": 2},
    "an end": {"eos_token_id": [3, 9, 17, 20], "repetition_penalty": 1.2},
    "without a cache": {"use_cache": False},
    "static cache": {"cache_implementation": "static"},
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


def prompts() -> dict[str, Tensor]:
    """Three prompts of different lengths, padded on the left."""
    ids = torch.randint(0, 56, (3, 7), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    for row, padding in ((1, 3), (2, 1)):
        ids[row, :padding], mask[row, :padding] = 59, 0
    return {"input_ids": ids, "attention_mask": mask}


def same(pair: tuple[Any, Any], inputs: dict[str, Any], settings: dict[str, Any]) -> None:
    """Both generate the same, and return the same beside it."""
    wanted = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    results = []
    for model in pair:
        torch.manual_seed(5)
        results.append(model.generate(**inputs, **{"max_new_tokens": 12, **settings, **wanted}))
    oracle, ours = results
    torch.testing.assert_close(ours.sequences, oracle.sequences, rtol=0, atol=0)
    for name in ("scores", "logits"):
        theirs, mine = getattr(oracle, name), getattr(ours, name)
        assert len(mine) == len(theirs)
        for expected, actual in zip(theirs, mine, strict=True):
            # Guidance leaves the oracle's scores in the dtype of its model.
            torch.testing.assert_close(actual, expected.float(), rtol=1e-5, atol=1e-5)
    if "beam_indices" in oracle:
        assert torch.equal(ours.beam_indices, oracle.beam_indices)
        torch.testing.assert_close(ours.sequences_scores, oracle.sequences_scores, rtol=1e-5, atol=1e-6)
    transitions = [
        model.compute_transition_scores(
            result.sequences, result.scores, result.get("beam_indices"), normalize_logits=False
        )
        for model, result in zip(pair, results, strict=True)
    ]
    torch.testing.assert_close(transitions[1], transitions[0].float(), rtol=1e-5, atol=1e-5)


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
