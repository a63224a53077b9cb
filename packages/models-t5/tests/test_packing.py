"""A source that runs without its padding gives what it gives with it, and what each row gives alone (law 2)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import formers_t5
from formers.layout import Layout
from formers_t5.configuration import tiny_config

ATTENTIONS = [None, "eager", "sdpa"]
LENGTH = 9


def build(name: str, packing: str, attention: str | None = None, **options: Any) -> Any:
    """A model in float64 with random weights; the same at each call."""
    torch.manual_seed(0)
    model = getattr(formers_t5, name).from_config(tiny_config(**options), attn_implementation=attention)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.1, 0.3)
    model.set_packing(packing)
    return model.double().eval()


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


def was_packed(model: Any) -> bool:
    return "packed" in model.attention_report().packing


@st.composite
def masks(draw: st.DrawFn) -> Tensor:
    """Padding on either side or both; rows without any token, rows without padding."""
    spans = draw(st.lists(st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)), min_size=1, max_size=4))
    columns = torch.arange(LENGTH)
    return torch.stack([(columns >= min(span)) & (columns < max(span)) for span in spans]).long()


def gradients(model: Any, total: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    total.backward()
    return {key: value.grad for key, value in model.named_parameters() if value.grad is not None}


def same_gradients(packed: Any, padded: Any, totals: list[Tensor]) -> None:
    ours, theirs = (gradients(model, total) for model, total in zip((packed, padded), totals, strict=True))
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        close(ours[key], value)


@pytest.mark.parametrize("attention", ATTENTIONS)
@settings(max_examples=25, deadline=None)
@given(mask=masks(), seed=st.integers(0, 1000), trained=st.booleans())
def test_a_packed_encoder_is_a_padded_one(
    attention: str | None, mask: Tensor, seed: int, trained: bool
) -> None:
    packed, padded = (build("T5EncoderModel", mode, attention) for mode in ("always", "never"))
    torch.manual_seed(seed)
    ids, real = torch.randint(1, 60, mask.shape), mask.bool()
    with torch.set_grad_enabled(trained):
        found, expected = (
            model(ids, attention_mask=mask, output_hidden_states=True) for model in (packed, padded)
        )
    assert was_packed(packed) == bool(mask.any() and not mask.all())
    for ours, theirs in zip(found.hidden_states, expected.hidden_states, strict=True):
        close(ours[real], theirs[real])
        assert ours.isfinite().all()
    if was_packed(packed):
        assert not found.last_hidden_state[~real].any()
    if trained and real.any():
        same_gradients(
            packed, padded, [output.last_hidden_state[real].sin().sum() for output in (found, expected)]
        )


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_packed_is_alone(attention: str | None) -> None:
    model = build("T5EncoderModel", "always", attention)
    ids = torch.randint(1, 60, (3, LENGTH))
    mask = torch.tensor([[1] * 4 + [0] * 5, [0] * 3 + [1] * 6, [1] * 9])
    together = model(ids, attention_mask=mask).last_hidden_state
    assert was_packed(model)
    for index, row in enumerate(mask.bool()):
        close(together[index, row], model(ids[index : index + 1, row]).last_hidden_state[0])


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_decoder_reads_a_packed_source(attention: str | None, cached: bool, side: str) -> None:
    """Outputs, loss and gradients; with a cache also what follows."""
    packed, padded = (build("T5ForConditionalGeneration", mode, attention) for mode in ("always", "never"))
    lengths = torch.tensor([[4], [9], [1]])
    columns = torch.arange(LENGTH)
    mask = (columns < lengths if side == "right" else columns >= LENGTH - lengths).long()
    ids, labels = torch.randint(1, 60, mask.shape), torch.randint(1, 60, (3, 5))
    own = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    outputs = [
        model(ids, mask, labels=labels, decoder_attention_mask=own, use_cache=cached)
        for model in (packed, padded)
    ]
    assert packed.attention_report().packing == {"packed": 2}  # the source, and what the decoder is given
    found, expected = outputs
    close(found.loss, expected.loss)
    real = own.bool()
    close(found.logits[real], expected.logits[real])
    close(found.encoder_last_hidden_state[mask.bool()], expected.encoder_last_hidden_state[mask.bool()])
    if cached:
        following = [
            model(
                encoder_outputs=(output.encoder_last_hidden_state,),
                attention_mask=mask,
                decoder_input_ids=labels[:, :1],
                decoder_attention_mask=torch.cat((own, own[:, :1]), dim=1),
                past_key_values=output.past_key_values,
            ).logits
            for model, output in zip((packed, padded), outputs, strict=True)
        ]
        close(following[0], following[1])
    same_gradients(packed, padded, [output.loss for output in outputs])


def test_generated_tokens_are_the_same() -> None:
    packed, padded = (build("T5ForConditionalGeneration", mode) for mode in ("always", "never"))
    ids = torch.randint(1, 60, (3, LENGTH))
    mask = (torch.arange(LENGTH) < torch.tensor([[4], [9], [2]])).long()
    for options in ({}, {"num_beams": 3}):
        found, expected = (
            model.generate(ids, attention_mask=mask, max_new_tokens=6, do_sample=False, **options)
            for model in (packed, padded)
        )
        assert torch.equal(found, expected)
    assert was_packed(packed)


def test_holes_in_a_row_keep_their_distances() -> None:
    packed, padded = (build("T5EncoderModel", mode) for mode in ("always", "never"))
    ids, mask = torch.randint(1, 60, (2, 6)), torch.tensor([[1, 1, 0, 1, 1, 0], [1] * 6])
    found, expected = (model(ids, attention_mask=mask).last_hidden_state for model in (packed, padded))
    close(found[mask.bool()], expected[mask.bool()])
    assert not was_packed(packed)
    assert "in the middle of a row" in str(packed.attention_report())


@pytest.mark.parametrize("name", ["T5ForTokenClassification", "T5ForSequenceClassification"])
def test_heads(name: str) -> None:
    packed, padded = (build(name, mode) for mode in ("always", "never"))
    ids = torch.randint(2, 60, (3, LENGTH))
    mask = (torch.arange(LENGTH) < torch.tensor([[4], [9], [2]])).long()
    ids[torch.arange(3), mask.sum(dim=1) - 1] = packed.config.eos_token_id
    tokens = name == "T5ForTokenClassification"
    labels = torch.randint(0, 2, (3, LENGTH) if tokens else (3,))
    found, expected = (model(ids, mask, labels=labels) for model in (packed, padded))
    assert was_packed(packed)
    close(found.loss, expected.loss)
    real = mask.bool() if tokens else slice(None)
    close(found.logits[real], expected.logits[real])
    same_gradients(packed, padded, [found.loss, expected.loss])


@pytest.mark.parametrize("flat", [False, True])
def test_documents_that_the_caller_packed(flat: bool) -> None:
    model = build("T5ForTokenClassification", "auto")
    ids, labels = torch.randint(1, 60, (1, 7)), torch.randint(0, 2, (1, 7))
    layout = Layout.packed(torch.tensor([0, 3, 7]))
    output = model(ids[0], layout, labels=labels[0]) if flat else model(ids, layout, labels=labels)
    alone = torch.cat([model(ids[:, :3]).logits, model(ids[:, 3:]).logits], dim=1)
    close(output.logits, alone[0] if flat else alone)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing(reentrant: bool) -> None:
    ids, mask = torch.randint(1, 60, (2, 6)), torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6])
    packed, padded = (build("T5EncoderModel", mode, dropout_rate=0.0).train() for mode in ("always", "never"))
    packed.gradient_checkpointing_enable({"use_reentrant": reentrant})
    embedded = torch.randn(2, 6, packed.config.d_model, dtype=torch.float64, requires_grad=True)
    totals = [
        model(inputs_embeds=embedded, attention_mask=mask).last_hidden_state[mask.bool()].sin().sum()
        for model in (packed, padded)
    ]
    assert was_packed(packed)
    same_gradients(packed, padded, totals)
    assert ids.shape == (2, 6)


def test_the_bias_is_not_made_for_each_layer_or_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the longest row serves every layer and every document."""
    from formers_t5.attention import PositionBias

    made = []
    dense = PositionBias.dense
    monkeypatch.setattr(PositionBias, "dense", lambda bias: made.append(dense(bias)) or made[-1])
    model = build("T5EncoderModel", "always", num_layers=4)
    mask = (torch.arange(LENGTH) < torch.tensor([[4], [6], [2]])).long()
    model(torch.randint(1, 60, (3, LENGTH)), attention_mask=mask)
    assert model.attention_report().names() == ["varlen_cpu"]
    assert [tuple(bias.shape) for bias in made] == [(1, model.config.num_heads, 6, 6)]
