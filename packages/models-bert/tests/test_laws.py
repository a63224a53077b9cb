"""Padding, batch-mates, packing and caches change no answer (architecture, section 6, laws 2 to 4)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import formers_bert
from formers.cache import DynamicCache, EncoderDecoderCache, StaticCache
from formers.layout import Layout
from formers_bert import BertForQuestionAnswering, BertForSequenceClassification, BertLMHeadModel, BertModel
from formers_bert.configuration import tiny_config

ATTENTIONS = ["eager", "sdpa"]
KINDS: list[dict[str, Any]] = [
    {},
    {"is_decoder": True},
    {"position_embedding_type": "relative_key"},
    {"position_embedding_type": "relative_key_query", "is_decoder": True},
]


def build(name: str, attention: str | None = None, **options: Any) -> Any:
    """A model in float64 whose biases and norms are random too, so that padding is not hidden by zeros."""
    model = getattr(formers_bert, name).from_config(tiny_config(**options), attn_implementation=attention)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.1, 0.3)
    return model.double().eval()


def tokens(*shape: int) -> Tensor:
    return torch.randint(1, 64, shape)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("attention", ATTENTIONS)
@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=4),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 1000),
)
def test_a_row_is_what_it_is_alone(
    attention: str, rows: list[tuple[int, int, int]], kind: dict[str, Any], seed: int
) -> None:
    """Any padding on either side of each row, with anything in it."""
    torch.manual_seed(seed)
    model = build("BertModel", attention, **kind)
    width = max(sum(row) for row in rows)
    ids, mask = tokens(len(rows), width), torch.zeros(len(rows), width, dtype=torch.int64)
    for index, (real, left, _) in enumerate(rows):
        mask[index, left : left + real] = 1
    together = model(ids, mask)
    for index, (real, left, _) in enumerate(rows):
        columns = slice(left, left + real)
        alone = model(ids[index : index + 1, columns])
        close(together.last_hidden_state[index, columns], alone.last_hidden_state[0])
        close(together.pooler_output[index], alone.pooler_output[0])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_has_no_gradient(attention: str) -> None:
    model = build("BertForSequenceClassification", attention)
    embedded = torch.randn(2, 5, 16, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]])
    model(inputs_embeds=embedded, attention_mask=mask, labels=torch.tensor([0, 1])).loss.backward()
    assert embedded.grad is not None
    assert not embedded.grad[mask == 0].any()
    assert embedded.grad[mask == 1].any(dim=-1).all()


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_tokens(attention: str, kind: dict[str, Any]) -> None:
    """Its values are finite, it passes nothing back, and its neighbours do not notice."""
    model = build("BertModel", attention, **kind)
    embedded = torch.randn(2, 4, 16, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0]])
    output = model(inputs_embeds=embedded, attention_mask=mask)
    assert output.last_hidden_state.isfinite().all()
    close(output.last_hidden_state[:1], model(inputs_embeds=embedded[:1]).last_hidden_state)
    output.last_hidden_state[0].sin().sum().backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())
    assert not embedded.grad[1].any()


def test_a_hole_in_the_mask_shifts_nothing() -> None:
    model = build("BertModel")
    ids = tokens(1, 6)
    mask = torch.tensor([[1, 1, 0, 1, 1, 1]])
    kept = [0, 1, 3, 4, 5]
    expected = model(ids[:, kept], position_ids=torch.tensor([kept]))[0]
    close(model(ids, mask)[0][:, kept], expected)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("is_decoder", [False, True])
def test_packed_documents_equal_padded_rows(attention: str, is_decoder: bool) -> None:
    lengths = [4, 1, 6]
    padded_ids, segments = tokens(3, 6), torch.randint(0, 2, (3, 6))
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    layout = Layout.packed(torch.tensor([0, 4, 5, 11]), max(lengths), sum(lengths))
    model = build("BertModel", attention, is_decoder=is_decoder)
    padded = model(padded_ids, mask, segments)
    packed = model(padded_ids[mask], layout, segments[mask], use_cache=False)
    close(packed.last_hidden_state, padded.last_hidden_state[mask])
    close(packed.pooler_output, padded.pooler_output)


@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertLMHeadModel", "BertForTokenClassification"])
def test_the_loss_of_packed_documents_equals_that_of_padded_rows(name: str) -> None:
    lengths = [4, 2, 6]
    ids = tokens(3, 6)
    labels = ids % 2
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    layout = Layout.packed(torch.tensor([0, 4, 6, 12]), max(lengths), sum(lengths))
    model = build(name, is_decoder=name == "BertLMHeadModel")
    options = {"use_cache": False} if name == "BertLMHeadModel" else {}
    packed = model(ids[mask], layout, labels=labels[mask], **options)
    close(packed.loss, model(ids, mask, labels=labels).loss)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"position_embedding_type": "relative_key"}, "needs absolute positions"),
        ({"is_decoder": True}, "use_cache=False"),
    ],
)
def test_what_cannot_be_packed_yet(options: dict[str, Any], message: str) -> None:
    model = build("BertModel", **options)
    with pytest.raises(ValueError, match=message):
        model(tokens(5), Layout.packed(torch.tensor([0, 2, 5]), 3, 5), use_cache=True)


def caches(model: Any) -> dict[str, Any]:
    return {
        "dynamic": DynamicCache(),
        "static": StaticCache(config=model.config, max_cache_len=12),
        "encoder-decoder": EncoderDecoderCache(DynamicCache(), DynamicCache()),
    }


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("steps", [[1] * 8, [3, 1, 4], [8], [7, 1]], ids=str)
@pytest.mark.parametrize("kind", ["dynamic", "static", "encoder-decoder"])
@pytest.mark.parametrize("positions", ["absolute", "relative_key_query"])
def test_cached_equals_uncached(attention: str, steps: list[int], kind: str, positions: str) -> None:
    model = build("BertLMHeadModel", attention, is_decoder=True, position_embedding_type=positions)
    ids = tokens(2, 8)
    cache, logits, start = caches(model)[kind], [], 0
    for step in steps:
        output = model(ids[:, start : start + step], past_key_values=cache)
        logits.append(output.logits)
        start += step
        assert cache.get_seq_length() == start
    close(torch.cat(logits, dim=1), model(ids, use_cache=False).logits)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_cached_rows_under_left_padding(attention: str) -> None:
    """Prompts of different lengths, aligned on the right, then step by step."""
    model = build("BertLMHeadModel", attention, is_decoder=True)
    ids, mask = tokens(2, 8), torch.ones(2, 8, dtype=torch.int64)
    mask[0, :3] = 0
    cache, logits = DynamicCache(), []
    for start, end in ((0, 5), (5, 6), (6, 8)):
        columns = torch.arange(start, end)
        output = model(ids[:, start:end], mask[:, :end], past_key_values=cache, cache_position=columns)
        logits.append(output.logits)
    found = torch.cat(logits, dim=1)
    close(found[0, 3:], model(ids[:1, 3:]).logits[0])
    close(found[1], model(ids[1:]).logits[0])


def test_cache_position_is_where_the_tokens_stand() -> None:
    model = build("BertLMHeadModel", is_decoder=True)
    ids = tokens(2, 6)
    prompt = model(ids[:, :4]).past_key_values
    rest = model(ids[:, 4:], past_key_values=prompt, cache_position=torch.tensor([4, 5]))
    close(rest.logits, model(ids).logits[:, 4:])


def test_a_prefix_of_keys_and_values_for_an_encoder() -> None:
    """Prefix tuning: learned keys and values before the tokens, which an encoder reads as well."""
    model = build("BertModel")
    prefix = [(torch.randn(2, 2, 3, 8).double(), torch.randn(2, 2, 3, 8).double()) for _ in range(2)]
    ids = tokens(2, 4)
    found = model(ids, past_key_values=DynamicCache(prefix))[0]
    assert not torch.allclose(found, model(ids)[0])
    positions = torch.arange(3, 7)[None]
    hidden = model(ids, past_key_values=DynamicCache(prefix), position_ids=positions)[0]
    close(found, hidden)


def test_heads_that_read_the_first_token_read_the_first_real_one() -> None:
    model: BertForSequenceClassification = build("BertForSequenceClassification")
    ids = tokens(1, 6)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1]])
    close(model(ids, mask).logits, model(ids[:, 2:]).logits)


def test_padding_is_never_an_answer() -> None:
    model: BertForQuestionAnswering = build("BertForQuestionAnswering")
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    output = model(tokens(2, 4), mask)
    lowest = torch.finfo(torch.float64).min
    assert (output.start_logits[mask == 0] == lowest).all()
    assert (output.end_logits[mask == 0] == lowest).all()


def test_a_causal_term_needs_two_real_tokens() -> None:
    model: BertLMHeadModel = build("BertLMHeadModel", is_decoder=True)
    ids = tokens(1, 6)
    mask = torch.tensor([[0, 0, 1, 1, 1, 0]])
    terms = model.loss_terms(input_ids=ids, attention_mask=mask, labels=ids)
    assert terms["next_token"].count.item() == 2
    close(terms["next_token"].mean(), model(ids[:, 2:5], labels=ids[:, 2:5]).loss)


def test_threads_of_one_batch_do_not_meet() -> None:
    """The same model, used for batches of different shapes, keeps nothing from one call to the next."""
    model: BertModel = build("BertModel")
    first, second = tokens(2, 6), tokens(3, 4)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    expected = model(first, mask)[0]
    model(second)
    assert torch.equal(model(first, mask)[0], expected)
