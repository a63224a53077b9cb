"""T5's ``generate`` gives transformers 5.23's tokens: the settings of every architecture, and those of an encoder.

In float64, so that no near tie of two scores can go either way.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from generation_settings import DETERMINISTIC, SAMPLED, prompts, same
from t5_models import make_lively, widen
from torch import Tensor

import formers_t5
from formers import LogitsProcessorList, StoppingCriteriaList
from formers.cache import EncoderDecoderCache, StaticCache

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

BASE: dict[str, Any] = {
    "vocab_size": 61, "d_model": 24, "d_kv": 5, "d_ff": 40, "num_layers": 2, "num_heads": 4, "bos_token_id": 57,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16, "eos_token_id": 58, "pad_token_id": 59,
    "decoder_start_token_id": 59,
}  # fmt: skip
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "v1.0": {},
    "v1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "decoder_start_token_id": 57},
    "deeper decoder": {"num_decoder_layers": 3, "d_kv": 7},
    "shallower decoder": {"num_layers": 3, "num_decoder_layers": 1, "vocab_size": 75},
}
SLOW = ("deeper decoder", "shallower decoder")
SETTINGS = DETERMINISTIC | {"minimum length": {"min_length": 9, "eos_token_id": [3, 9, 17]}}
del SETTINGS["guidance"]  # without a prompt there is nothing to leave out: a T5 cannot run without a source
EACH = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in CONFIGURATIONS]


def make_pair(configuration: str) -> tuple[Any, Any]:
    """The oracle's T5 and ours with the same weights."""
    import transformers

    settings = BASE | CONFIGURATIONS[configuration]
    torch.manual_seed(11)
    oracle = transformers.T5ForConditionalGeneration(transformers.T5Config(**settings)).double().eval()
    widen(oracle)
    ours = formers_t5.T5ForConditionalGeneration(formers_t5.T5Config(**settings)).double().eval()
    if configuration == "v1.1":
        for model in (oracle, ours):
            model.lm_head.weight = torch.nn.Parameter(torch.randn(61, 24).double())
    make_lively(oracle)
    ours.load_state_dict(oracle.state_dict())
    return oracle, ours


@pytest.fixture(scope="module", params=EACH)
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return make_pair(request.param)


@pytest.fixture(scope="module")
def one() -> tuple[Any, Any]:
    """Of the first configuration only, where no other would show more."""
    return make_pair("v1.0")


def sources(padding: str = "right") -> dict[str, Tensor]:
    """Three sources of different lengths."""
    inputs = prompts()
    if padding == "left":
        return inputs
    order = inputs["attention_mask"].argsort(dim=1, descending=True, stable=True)
    return {name: value.gather(1, order) for name, value in inputs.items()}


def compare(pair: tuple[Any, Any], inputs: dict[str, Any], settings: dict[str, Any], **of_oracle: Any) -> Any:
    """As ``same``; the oracle fails with a cache where the decoder is deeper than the encoder."""
    if pair[0].config.num_decoder_layers > pair[0].config.num_layers:
        of_oracle |= {"use_cache": False, "cache_implementation": None}
    return same(pair, inputs, settings, **of_oracle)


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("name", SETTINGS)
def test_deterministic_strategies_give_the_same_tokens(
    pair: tuple[Any, Any], name: str, padding: str
) -> None:
    compare(pair, sources(padding), SETTINGS[name])


@pytest.mark.parametrize("name", SAMPLED)
def test_sampling_gives_the_same_tokens_under_the_same_seed(pair: tuple[Any, Any], name: str) -> None:
    compare(pair, sources(), SAMPLED[name] | {"do_sample": True})


@pytest.mark.parametrize(
    "settings",
    [{}, {"num_beams": 3}, {"num_beams": 3, "num_return_sequences": 3}, {"do_sample": True, "top_p": 0.9}],
    ids=str,
)
@pytest.mark.parametrize("padding", ["right", "left"])
def test_a_row_of_a_batch_is_the_row_alone(
    pair: tuple[Any, Any], settings: dict[str, Any], padding: str
) -> None:
    """The oracle on each source by itself and unpadded; drawn tokens have no such counterpart beyond their scores."""
    inputs = sources(padding)
    oracle, ours = pair
    if settings.get("do_sample"):
        settings = {"max_new_tokens": 1} | settings
    together = ours.generate(**inputs, **{"max_new_tokens": 12, "output_scores": True, **settings},
                             return_dict_in_generate=True)  # fmt: skip
    use_cache = oracle.config.num_decoder_layers <= oracle.config.num_layers
    copies = settings.get("num_return_sequences", 1)
    for row, mask in enumerate(inputs["attention_mask"].bool()):
        ids = inputs["input_ids"][row, mask][None]
        alone = oracle.generate(
            ids, **{"max_new_tokens": 12, "output_scores": True, **settings},
            return_dict_in_generate=True, use_cache=use_cache,
        )  # fmt: skip
        length = alone.sequences.shape[1]
        if settings.get("do_sample"):
            torch.testing.assert_close(
                together.scores[0][row], alone.scores[0][0].float(), rtol=1e-5, atol=1e-5
            )
            continue
        own = together.sequences[row * copies : (row + 1) * copies]
        assert torch.equal(own[:, :length], alone.sequences)
        assert (own[:, length:] == 59).all()
        if "num_beams" in settings:
            scores = together.sequences_scores[row * copies : (row + 1) * copies]
            torch.testing.assert_close(scores, alone.sequences_scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}, {"do_sample": True}], ids=str)
@pytest.mark.parametrize("starts", [False, True])
def test_a_prompt_of_the_decoder(pair: tuple[Any, Any], settings: dict[str, Any], starts: bool) -> None:
    """With or without the start token, which is put before a prompt that lacks it."""
    ids = torch.tensor([[9, 4, 7], [3, 8, 5], [1, 2, 6]])
    if starts:
        ids[:, 0] = pair[0].config.decoder_start_token_id
    found = compare(pair, sources() | {"decoder_input_ids": ids}, settings)
    assert found.sequences.shape[1] <= 12 + 3 + (not starts)


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}], ids=str)
def test_prompts_of_the_decoder_with_padding(pair: tuple[Any, Any], settings: dict[str, Any]) -> None:
    start = pair[0].config.decoder_start_token_id
    ids = torch.tensor([[start, 4, 7, 2], [59, start, 5, 9], [59, 59, start, 6]])
    mask = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]])
    inputs = sources()
    together = pair[1].generate(
        **inputs, decoder_input_ids=ids, decoder_attention_mask=mask, max_new_tokens=8, **settings,
        decoder_start_token_id=[start, 59, 59],
    )  # fmt: skip
    use_cache = pair[0].config.num_decoder_layers <= pair[0].config.num_layers
    for row in range(3):
        alone = pair[0].generate(
            inputs["input_ids"][row : row + 1], attention_mask=inputs["attention_mask"][row : row + 1],
            decoder_input_ids=ids[row : row + 1, row:], max_new_tokens=8, use_cache=use_cache, **settings,
        )  # fmt: skip
        assert torch.equal(together[row : row + 1, row : row + alone.shape[1]], alone)


@pytest.mark.parametrize(
    "settings", [{}, {"num_beams": 3}, {"num_beams": 2, "num_return_sequences": 2}], ids=str
)
@pytest.mark.parametrize("form", ["outputs", "tuple"])
def test_outputs_of_the_encoder_are_given(pair: tuple[Any, Any], settings: dict[str, Any], form: str) -> None:
    inputs = sources()
    expected = compare(pair, inputs, settings).sequences
    for model in pair:
        given = model.get_encoder()(**inputs)
        if form == "tuple":
            if model is pair[0]:
                continue  # theirs takes outputs only
            given = (given.last_hidden_state,)
        use_cache = model is pair[1] or model.config.num_decoder_layers <= model.config.num_layers
        mask = inputs["attention_mask"]
        found = model.generate(
            encoder_outputs=given, attention_mask=mask, max_new_tokens=12, use_cache=use_cache, **settings
        )
        assert torch.equal(found, expected)


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}], ids=str)
def test_embeddings_in_place_of_ids(pair: tuple[Any, Any], settings: dict[str, Any]) -> None:
    inputs = sources()
    embeds = pair[1].get_input_embeddings()(inputs.pop("input_ids")).detach()
    compare(pair, {"inputs_embeds": embeds, **inputs}, settings)


def test_padding_without_a_mask_is_not_read(pair: tuple[Any, Any]) -> None:
    """As transformers 4.53; 5.23 reads it."""
    inputs = sources()
    expected = compare(pair, inputs, {})
    assert torch.equal(pair[1].generate(inputs["input_ids"], max_new_tokens=12), expected.sequences)


@pytest.mark.parametrize(
    "settings", [{}, {"num_beams": 3}, {"num_beams": 2, "do_sample": True}, {"use_cache": False}], ids=str
)
def test_attentions_and_hidden_states(settings: dict[str, Any]) -> None:
    pair = make_pair("shallower decoder")
    asked = {"output_attentions": True, "output_hidden_states": True, "return_dict_in_generate": True}
    results = []
    for model in pair:
        model.set_attn_implementation("eager")
        torch.manual_seed(5)
        results.append(model.generate(**sources(), **settings, max_new_tokens=4, **asked))
    oracle, ours = results
    assert sorted(ours) == sorted(oracle)
    assert type(ours).__name__ == type(oracle).__name__
    real = sources()["attention_mask"].bool()
    for name in ("encoder_attentions", "encoder_hidden_states"):
        for expected, actual in zip(oracle[name], ours[name], strict=True):
            assert actual.shape == expected.shape
            if name == "encoder_attentions":
                actual, expected = actual.transpose(1, 2), expected.transpose(1, 2)
            torch.testing.assert_close(actual[real], expected[real], rtol=1e-6, atol=1e-6)
    for name in ("decoder_attentions", "cross_attentions", "decoder_hidden_states"):
        theirs, mine = getattr(oracle, name), getattr(ours, name)
        assert [len(step) for step in mine] == [len(step) for step in theirs]
        for step, (expected, actual) in enumerate(zip(theirs, mine, strict=True)):
            for one, other in zip(expected, actual, strict=True):
                assert other.shape == one.shape, (name, step)
                torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}], ids=str)
def test_tokens_that_a_function_allows(one: tuple[Any, Any], settings: dict[str, Any]) -> None:
    def allowed(row: int, ids: Tensor) -> list[int]:
        return [3 + row, 9, int(ids[-1]) // 2, 58] if len(ids) % 2 else list(range(10, 20))

    compare(one, sources(), settings | {"prefix_allowed_tokens_fn": allowed})


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}], ids=str)
def test_processors_and_criteria_of_the_caller(one: tuple[Any, Any], settings: dict[str, Any]) -> None:
    def favour(ids: Tensor, scores: Tensor) -> Tensor:
        return scores + torch.arange(scores.shape[1]) % 7 * 0.3

    def odd(ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return (ids[:, -1] % 11 == 0) & (ids.shape[1] > 3)

    compare(
        one,
        sources(),
        settings
        | {
            "logits_processor": LogitsProcessorList([favour]),
            "stopping_criteria": StoppingCriteriaList([odd]),
        },
    )


@pytest.mark.parametrize("settings", [{}, {"num_beams": 2}, {"do_sample": True}], ids=str)
def test_starts_of_each_row(one: tuple[Any, Any], settings: dict[str, Any]) -> None:
    compare(one, sources(), settings | {"decoder_start_token_id": [5, 6, 7]})


def test_a_static_cache_is_used_again(one: tuple[Any, Any]) -> None:
    oracle, ours = one
    cache = EncoderDecoderCache(
        StaticCache(ours.config, max_cache_len=32), StaticCache(ours.config, max_cache_len=9)
    )
    for seed in range(3):
        ids = torch.randint(0, 56, (2, 5 + seed), generator=torch.Generator().manual_seed(seed))
        expected = oracle.generate(ids, max_new_tokens=6)
        cache.reset()
        assert torch.equal(ours.generate(ids, past_key_values=cache, max_new_tokens=6), expected)


@pytest.fixture(scope="module")
def words(oracle: Any) -> Any:
    """A tokenizer whose tokens are words of two letters, as SentencePiece spells them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    spelling = {f"▁{'abcdefgh'[token // 8]}{'klmnopqr'[token % 8]}": token for token in range(60)}
    spelling["▁abcdef"] = 60  # the oracle puts this before each token to see how it is spelt behind another
    tokenizer = Tokenizer(models.WordLevel(spelling, unk_token="▁ak"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return oracle.PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.mark.parametrize("settings", [{}, {"num_beams": 3}], ids=str)
@pytest.mark.parametrize("strings", [["gk"], ["m g", "hq ep"], ["k a"]], ids=str)
def test_strings_that_stop(
    one: tuple[Any, Any], words: Any, strings: list[str], settings: dict[str, Any]
) -> None:
    found = compare(one, sources(), settings | {"stop_strings": strings, "tokenizer": words})
    text = " ".join(words.batch_decode(found.sequences))
    assert any(string in text for string in strings) or settings


def test_guidance_is_refused(one: tuple[Any, Any]) -> None:
    """What it compares with is the answer to no prompt, which an encoder-decoder has not."""
    for model in one:
        with pytest.raises(ValueError, match="exactly one of"):
            model.generate(**sources(), guidance_scale=1.6, max_new_tokens=4)


def test_the_models_write_different_tokens(pair: tuple[Any, Any]) -> None:
    """Guards this file: settings are told apart by texts that vary, and that depend on their sources."""
    rows = pair[1].generate(**sources(), max_new_tokens=12).tolist()
    assert len({token for row in rows for token in row}) > 8
    assert len({tuple(row) for row in rows}) == 3
