"""T5 is called as transformers 5.23 calls it: signatures, tuples, caches, masks, kinds of inputs, labels, numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from padded_batches import close, not_empty, same_gradients, same_signature
from t5_models import CONFIGURATIONS, NAMES, ROWS, SOURCES, TASKS, make_batch, make_pair
from torch import Tensor

import formers_t5
from formers.cache import DynamicCache, EncoderDecoderCache
from formers_t5.attention import relative_buckets

pytestmark = pytest.mark.parity

DECODERS = ("T5Model", "T5ForConditionalGeneration")
ENCODERS = ("T5EncoderModel", "T5ForTokenClassification")


def inputs_of(config: Any, name: str) -> dict[str, Tensor]:
    """Inputs without padding or labels."""
    tensors = make_batch(config, TASKS[name], "none").tensors
    return {key: value for key, value in tensors.items() if key.endswith("input_ids")}


@pytest.mark.parametrize("both_sides", [True, False])
@pytest.mark.parametrize(
    ("number", "farthest"), [(32, 128), (8, 20), (16, 100), (31, 77), (64, 512), (4, 3), (5, 1000)]
)
def test_buckets_of_distances(oracle: Any, number: int, farthest: int, both_sides: bool) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    distances = torch.arange(-700, 701)
    expected = T5Attention._relative_position_bucket(distances, both_sides, number, farthest)
    assert torch.equal(relative_buckets(distances, number, farthest, both_sides=both_sides), expected)


@pytest.mark.parametrize("name", NAMES)
def test_signature(oracle: Any, name: str) -> None:
    same_signature(getattr(formers_t5, name), getattr(oracle, name))


@pytest.mark.parametrize(
    "asked", [{}, {"output_hidden_states": True, "output_attentions": True}], ids=["plain", "all"]
)
@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_tuples(oracle: Any, name: str, labelled: bool, asked: dict[str, bool]) -> None:
    ours, theirs = make_pair(oracle, name)
    inputs = inputs_of(ours.config, name)
    if labelled:
        inputs = make_batch(ours.config, TASKS[name], "none").tensors
    found, expected = ours(**inputs, return_dict=False, **asked), theirs(**inputs, return_dict=False, **asked)
    assert isinstance(found, tuple)
    assert not_empty(found) == not_empty(expected)
    assert not_empty(ours(**inputs, **asked)) == not_empty(theirs(**inputs, **asked))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_when_a_cache_is_returned(oracle: Any, name: str, training: bool) -> None:
    ours, theirs = (model.train(training) for model in make_pair(oracle, name))
    labelled = make_batch(ours.config, TASKS[name], "none").tensors
    plain = inputs_of(ours.config, name)
    asked: list[dict[str, Any]] = (
        [{}] if name in ENCODERS else [{}, {"use_cache": False}, {"use_cache": True}]
    )
    for inputs in (plain, labelled):
        for choice in asked:
            found, expected = ours(**inputs, **choice), theirs(**inputs, **choice)
            assert ("past_key_values" in found) == ("past_key_values" in expected), (list(inputs), choice)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("configuration", ["v1.0", "v1.1", "shallower decoder"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_decoding_with_a_cache(oracle: Any, configuration: str, attention: str, padded: bool) -> None:
    """A prompt, a single token, a chunk: each call's scores, and the keys and values of both caches."""
    ours, theirs = make_pair(oracle, "T5ForConditionalGeneration", attention, **CONFIGURATIONS[configuration])
    ours.eval(), theirs.eval()
    batch = make_batch(ours.config, TASKS["T5EncoderModel"], "right" if padded else "none").tensors
    ids = torch.randint(1, ours.config.vocab_size, (len(ROWS), 30))
    our_cache = their_cache = None
    for first, last in ((0, 3), (3, 4), (4, 9), (9, 30)):
        given = {**batch, "decoder_input_ids": ids[:, first:last]}
        found = ours(**given, past_key_values=our_cache)
        expected = theirs(**given, past_key_values=their_cache)
        close(found.logits, expected.logits)
        our_cache, their_cache = found.past_key_values, expected.past_key_values
    assert type(our_cache).__name__ == type(their_cache).__name__ == "EncoderDecoderCache"
    real = batch.get("attention_mask", torch.ones(len(ROWS), max(SOURCES))).bool()
    assert len(our_cache.self_attention_cache) == ours.config.num_decoder_layers
    for layer in range(ours.config.num_decoder_layers):
        own, wanted = our_cache.self_attention_cache[layer], their_cache.self_attention_cache.layers[layer]
        close(own[0], wanted.keys)
        close(own[1], wanted.values)
        cross, wanted = (
            our_cache.cross_attention_cache[layer],
            their_cache.cross_attention_cache.layers[layer],
        )
        close(cross[0].transpose(1, 2)[real], wanted.keys.transpose(1, 2)[real])
        close(cross[1].transpose(1, 2)[real], wanted.values.transpose(1, 2)[real])


def test_a_decoder_with_more_layers_than_the_encoder_has_a_cache(oracle: Any) -> None:
    """Theirs fails with one, so its scores are those of the whole text."""
    ours, theirs = make_pair(oracle, "T5ForConditionalGeneration", num_decoder_layers=4)
    inputs = inputs_of(ours.config, "T5ForConditionalGeneration")
    ids = inputs.pop("decoder_input_ids")
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    parts = [ours(**inputs, decoder_input_ids=part, past_key_values=cache).logits for part in ids.split(2, 1)]
    close(torch.cat(parts, dim=1), theirs(**inputs, decoder_input_ids=ids, use_cache=False).logits)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ENCODERS])
@pytest.mark.parametrize("form", ["output", "tuple"])
def test_outputs_of_the_encoder_are_given(oracle: Any, name: str, form: str) -> None:
    ours, theirs = make_pair(oracle, name)
    batch = make_batch(ours.config, TASKS[name], "right").tensors
    results = []
    for model in (ours, theirs):
        encoder = model.get_encoder() if name != "T5ForSequenceClassification" else model.transformer.encoder
        encoded = encoder(batch["input_ids"], batch["attention_mask"])
        given = encoded if form == "output" else (encoded.last_hidden_state,)
        results.append(model(**batch, encoder_outputs=given))
    found, expected = results
    whole = ours(**batch)
    assert sorted(found) == sorted(expected)
    for key in {"logits", "loss", "start_logits", "last_hidden_state", "encoder_last_hidden_state"} & set(
        whole
    ):
        close(found[key], whole[key])
    real = batch["attention_mask"].bool()
    close(found.encoder_last_hidden_state[real], expected.encoder_last_hidden_state[real])
    if name in DECODERS:
        real = batch["decoder_attention_mask"].bool()
        key = "logits" if "logits" in found else "last_hidden_state"
        close(found[key][real], expected[key][real])


@pytest.mark.parametrize("name", NAMES)
def test_embeddings_in_place_of_ids(oracle: Any, name: str) -> None:
    ours, theirs = make_pair(oracle, name)
    inputs = inputs_of(ours.config, name)
    table = ours.get_input_embeddings()
    embeds = table(inputs["input_ids"]).detach()
    if name == "T5ForSequenceClassification":  # theirs refuses them; ours finds the end in the ids
        with pytest.raises(NotImplementedError):
            theirs(inputs_embeds=embeds, decoder_inputs_embeds=embeds)
        close(ours(inputs["input_ids"], inputs_embeds=embeds).logits, ours(**inputs).logits)
        return
    given = {"inputs_embeds": embeds}
    if "decoder_input_ids" in inputs:
        given["decoder_inputs_embeds"] = table(inputs["decoder_input_ids"]).detach()
    elif name == "T5ForQuestionAnswering":
        given["decoder_inputs_embeds"] = embeds.flip(1)
    close(ours(**given)[0], theirs(**given)[0])


def test_labels_alone_feed_the_decoder(oracle: Any) -> None:
    ours, theirs = make_pair(oracle, "T5ForConditionalGeneration", decoder_start_token_id=5, pad_token_id=3)
    ids = inputs_of(ours.config, "T5EncoderModel")["input_ids"]
    labels = torch.randint(0, 61, (len(ROWS), 6))
    labels[0, 2:] = -100
    labels[1, 4] = -100
    found, expected = ours(ids, labels=labels), theirs(ids, labels=labels)
    close(found.loss, expected.loss)
    close(found.logits, expected.logits)
    prepared = ours.prepare_decoder_input_ids_from_labels(labels)
    assert torch.equal(prepared, theirs.prepare_decoder_input_ids_from_labels(labels))
    (found.loss.backward(), expected.loss.backward())
    same_gradients(ours, theirs)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["bool", "additive"])
def test_masks_of_four_dimensions(oracle: Any, attention: str, kind: str) -> None:
    ours, theirs = make_pair(oracle, "T5EncoderModel", "sdpa")  # its eager adds True as 1
    ours.set_attn_implementation(attention)
    ids = inputs_of(ours.config, "T5EncoderModel")["input_ids"]
    length = ids.shape[1]
    mask = (torch.rand(len(ROWS), 1, length, length) < 0.6) | torch.eye(length, dtype=torch.bool)
    if kind == "additive":
        mask = torch.where(mask, torch.randn(mask.shape), -1e30).double()
    close(ours(ids, mask)[0], theirs(ids, mask)[0])


@pytest.mark.parametrize(
    "problem", [None, "regression", "single_label_classification", "multi_label_classification"]
)
@pytest.mark.parametrize("num_labels", [1, 3])
def test_problem_types(oracle: Any, problem: str | None, num_labels: int) -> None:
    if problem == "single_label_classification":
        num_labels += 1  # their configuration refuses a single class
    ours, theirs = make_pair(
        oracle, "T5ForSequenceClassification", num_labels=num_labels, problem_type=problem
    )
    ids = inputs_of(ours.config, "T5ForSequenceClassification")["input_ids"]
    labels = torch.rand(len(ROWS), num_labels).double()
    if num_labels == 1 and problem != "multi_label_classification":
        labels = labels.squeeze(1)
    if problem == "single_label_classification" or (problem is None and num_labels > 1):
        labels = torch.randint(0, num_labels, (len(ROWS),))
    close(ours(ids, labels=labels).loss, theirs(ids, labels=labels).loss)


def test_the_last_of_several_ends_is_read(oracle: Any) -> None:
    ours, theirs = make_pair(oracle, "T5ForSequenceClassification")
    ids = inputs_of(ours.config, "T5ForSequenceClassification")["input_ids"]
    ids[:, 2] = ours.config.eos_token_id
    close(ours(ids).logits, theirs(ids).logits)
    ids[0, 2] = 7  # now rows hold different numbers of them, which theirs refuses
    with pytest.raises(ValueError, match="same number of <eos>"):
        theirs(ids)
    close(ours(ids).logits[:1], theirs(ids[:1]).logits)
    close(ours(ids).logits[1:], theirs(ids[1:]).logits)


def test_spans_that_end_behind_the_sequence(oracle: Any) -> None:
    ours, theirs = make_pair(oracle, "T5ForQuestionAnswering")
    ids = inputs_of(ours.config, "T5ForQuestionAnswering")["input_ids"]
    positions = {
        "start_positions": torch.tensor([1, 2, 7, 0]),
        "end_positions": torch.tensor([[3], [99], [7], [6]]),
    }
    close(ours(ids, **positions).loss, theirs(ids, **positions).loss)


@pytest.mark.parametrize("configuration", ["v1.0", "v1.1", "deeper decoder"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_beside_the_oracle_as_it_is(oracle: Any, name: str, dtype: torch.dtype, configuration: str) -> None:
    """Without widening its norms, which are taken in float32 whatever the dtype."""
    ours, theirs = make_pair(oracle, name, "sdpa", wide=False, **CONFIGURATIONS[configuration])
    ours.to(dtype), theirs.to(dtype)
    batch = make_batch(ours.config, TASKS[name], "none").tensors
    if name not in ENCODERS:
        batch["use_cache"] = False
    found, expected = ours(**batch), theirs(**batch)
    for key, value in expected.items():
        if isinstance(value, Tensor):
            assert found[key].dtype == value.dtype == dtype
            close(found[key], value, 2e-5)
    totals = [output.get("loss", output[next(iter(output))].sin().sum()) for output in (found, expected)]
    for total in totals:
        total.backward()
    same_gradients(ours, theirs, 5e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("configuration", ["v1.0", "v1.1"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_lower_precision(oracle: Any, dtype: torch.dtype, configuration: str, attention: str) -> None:
    """No further from the float64 result than twice the oracle in the same precision."""
    ours, theirs = make_pair(
        oracle, "T5ForConditionalGeneration", attention, wide=False, **CONFIGURATIONS[configuration]
    )
    batch = make_batch(ours.config, TASKS["T5ForConditionalGeneration"], "right").tensors
    real = batch["decoder_attention_mask"].bool()
    expected = ours(**batch).logits[real]
    found = ours.to(dtype)(**batch).logits[real].double()
    reference = theirs.to(dtype)(**batch).logits[real].double()
    assert (found - expected).norm() <= 2 * (reference - expected).norm()
