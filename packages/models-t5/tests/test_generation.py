"""Generation by T5: prompts, caches and strategies agree with each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from formers.cache import DynamicCache, EncoderDecoderCache
from formers_t5.configuration import tiny_config
from formers_t5.heads import T5ForConditionalGeneration

IDS = torch.tensor([[5, 9, 33, 7, 12, 1], [8, 6, 4, 1, 0, 0]])
MASK = (IDS != 0).long()


@pytest.fixture
def model() -> T5ForConditionalGeneration:
    torch.manual_seed(1)
    made = T5ForConditionalGeneration(tiny_config(num_decoder_layers=3)).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}, {"num_beams": 4, "num_return_sequences": 2}])
@pytest.mark.parametrize("other", [{"use_cache": False}, {"cache_implementation": "static"}])
def test_every_cache_gives_the_same_tokens(
    model: T5ForConditionalGeneration, settings: dict[str, Any], other: dict[str, Any]
) -> None:
    settings = settings | {"max_new_tokens": 10, "attention_mask": MASK}
    wanted = model.generate(IDS, **settings)
    assert torch.equal(model.generate(IDS, **settings, **other), wanted)
    assert (wanted[:, 0] == 0).all()


def test_outputs_of_the_encoder_stand_for_its_input(model: T5ForConditionalGeneration) -> None:
    encoded = model.get_encoder()(input_ids=IDS, attention_mask=MASK)
    given = model.generate(encoder_outputs=encoded, attention_mask=MASK, max_new_tokens=8)
    assert torch.equal(given, model.generate(IDS, attention_mask=MASK, max_new_tokens=8))


def test_a_prompt_of_the_decoder_is_continued(model: T5ForConditionalGeneration) -> None:
    whole = model.generate(IDS, attention_mask=MASK, max_new_tokens=8, min_new_tokens=8)
    again = model.generate(
        IDS, attention_mask=MASK, decoder_input_ids=whole[:, :4], max_new_tokens=5, min_new_tokens=5
    )
    assert torch.equal(again, whole)


def test_the_encoder_runs_once(model: T5ForConditionalGeneration) -> None:
    calls: list[int] = []
    keys: list[int] = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    model.decoder.block[0].layer[1].EncDecAttention.k.register_forward_hook(lambda *_: keys.append(1))
    model.generate(IDS, attention_mask=MASK, max_new_tokens=6, min_new_tokens=6)
    assert (len(calls), len(keys)) == (1, 1)


class Watched(T5ForConditionalGeneration):
    """Notes, before each forward, what the decoder is given to read of the encoder, and where its keys are."""

    seen: list[Any]

    def forward(self, *args: Any, **given: Any) -> Any:
        cache = given["past_key_values"]
        if cache.cross_layer(0).is_filled:
            layers = [cache.cross_layer(index).read() for index in range(len(cache))]
            self.seen.append(
                (
                    {tensor.shape[0] for layer in layers for tensor in layer},
                    tuple(tensor.data_ptr() for layer in layers for tensor in layer),
                    given["encoder_outputs"].last_hidden_state.data_ptr(),
                    given["attention_mask"].data_ptr(),
                    given["decoder_input_ids"].shape[0],
                )
            )
        return super().forward(*args, **given)


MANY = [
    {"num_beams": 4},
    {"num_beams": 4, "cache_implementation": "static"},
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
    {"num_beams": 4, "do_sample": True},
    {"num_return_sequences": 4, "do_sample": True},
]


@pytest.mark.parametrize("settings", MANY)
def test_rows_of_a_prompt_read_one_copy_of_the_encoder(
    model: T5ForConditionalGeneration, settings: dict[str, Any]
) -> None:
    """The keys of cross-attention stay where they were made, with a row for each prompt, while beams come and go."""
    watched = Watched(model.config).double().eval()
    watched.load_state_dict(model.state_dict())
    watched.seen = []
    settings = settings | {"attention_mask": MASK, "max_new_tokens": 8, "min_new_tokens": 8}
    torch.manual_seed(5)
    found = watched.generate(IDS, **settings)
    assert len(watched.seen) == 7
    assert len({tuple(places) for _, *places, _ in watched.seen}) == 1
    assert all(rows == {2} and decoder == 8 for rows, *_, decoder in watched.seen)
    torch.manual_seed(5)
    model.shares_encoder_outputs = False  # type: ignore[misc]
    assert torch.equal(found, model.generate(IDS, **settings))


@pytest.mark.parametrize("settings", MANY)
def test_what_is_returned_has_a_row_for_each_beam(
    model: T5ForConditionalGeneration, settings: dict[str, Any]
) -> None:
    settings = settings | {"attention_mask": MASK, "max_new_tokens": 4, "min_new_tokens": 4}
    settings |= {"return_dict_in_generate": True, "output_attentions": True, "output_hidden_states": True}
    torch.manual_seed(5)
    shared = model.generate(IDS, **settings)
    torch.manual_seed(5)
    model.shares_encoder_outputs = False  # type: ignore[misc]
    alone = model.generate(IDS, **settings)
    assert torch.equal(shared.sequences, alone.sequences)
    for name in ("cross_attentions", "decoder_attentions", "decoder_hidden_states"):
        for one, other in zip(shared[name], alone[name], strict=True):
            torch.testing.assert_close(one, other)
    for one, other in zip(shared.past_key_values, alone.past_key_values, strict=True):
        torch.testing.assert_close(one, other)


def test_a_cache_of_the_caller_is_given_back_with_all_rows(model: T5ForConditionalGeneration) -> None:
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    settings: dict[str, Any] = {"attention_mask": MASK, "max_new_tokens": 4, "num_beams": 3}
    found = model.generate(IDS, past_key_values=cache, **settings)
    assert torch.equal(found, model.generate(IDS, **settings))
    assert (cache.batch_size, cache.cross_attention_cache.batch_size) == (6, 6)


def test_the_model_itself_reads_a_shared_source(model: T5ForConditionalGeneration) -> None:
    """Also where cross-attention itself is asked for its probabilities, and over several tokens at once."""
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache(), shares=True)
    cache.fork_rows(3)
    encoded = model.encoder(IDS, MASK)
    ids = torch.randint(2, 64, (6, 5))
    given = {"decoder_input_ids": ids, "output_attentions": True}
    with torch.no_grad():
        shared = model(None, MASK, encoder_outputs=encoded, past_key_values=cache, use_cache=True, **given)
        copied = encoded.last_hidden_state.repeat_interleave(3, dim=0)
        alone = model(None, MASK.repeat_interleave(3, dim=0), encoder_outputs=(copied,), **given)
    torch.testing.assert_close(shared.logits, alone.logits)
    torch.testing.assert_close(shared.cross_attentions, alone.cross_attentions)
