"""Padding, batch-mates, packing and caches change no answer (architecture, section 6, laws 2 to 4)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import formers_gpt2
from formers.cache import DynamicCache, EncoderDecoderCache, StaticCache
from formers.layout import Layout
from formers_gpt2 import GPT2ForQuestionAnswering, GPT2LMHeadModel
from formers_gpt2.configuration import tiny_config

ATTENTIONS = ["eager", "sdpa"]
KINDS: list[dict[str, Any]] = [
    {},
    {"scale_attn_weights": False},
    {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
]
HEADS = ["GPT2LMHeadModel", "GPT2ForTokenClassification"]


def build(name: str, attention: str | None = None, **options: Any) -> Any:
    """A model in float64 whose biases and norms are random too, so that padding is not hidden by zeros."""
    model = getattr(formers_gpt2, name).from_config(tiny_config(**options), attn_implementation=attention)
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
    model = build("GPT2LMHeadModel", attention, **kind)
    width = max(sum(row) for row in rows)
    ids, mask = tokens(len(rows), width), torch.zeros(len(rows), width, dtype=torch.int64)
    types = tokens(len(rows), width)
    for index, (real, left, _) in enumerate(rows):
        mask[index, left : left + real] = 1
    together = model(ids, None, mask, types).logits
    for index, (real, left, _) in enumerate(rows):
        row = slice(index, index + 1), slice(left, left + real)
        close(together[row], model(ids[row], token_type_ids=types[row]).logits)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_left_padding_in_lower_precision(attention: str, dtype: torch.dtype) -> None:
    """User-needs, item 21, for every length."""
    model = build("GPT2LMHeadModel", attention).to(dtype)
    ids = tokens(8, 8)
    mask = torch.ones(8, 8, dtype=torch.int64).triu()
    found = model(ids, attention_mask=mask).logits
    limit = 20 * torch.finfo(dtype).eps
    for length in range(1, 9):
        row = 8 - length
        expected = model(ids[row : row + 1, row:]).logits[0]
        error = (found[row, row:] - expected).float().norm() / expected.float().norm()
        assert error <= limit, length


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_has_no_gradient(attention: str) -> None:
    model = build("GPT2ForSequenceClassification", attention)
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
    model = build("GPT2Model", attention, **kind)
    embedded = torch.randn(2, 4, 16, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0]])
    output = model(inputs_embeds=embedded, attention_mask=mask)
    assert output.last_hidden_state.isfinite().all()
    close(output.last_hidden_state[:1], model(inputs_embeds=embedded[:1]).last_hidden_state)
    output.last_hidden_state[0].sin().sum().backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())
    assert not embedded.grad[1].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", ["none", "left", "right"])
def test_eager_and_sdpa_agree(kind: dict[str, Any], padding: str) -> None:
    """Forward and backward, in training mode; dropout would draw differently."""
    found = []
    for attention in ATTENTIONS:
        torch.manual_seed(5)
        model = build("GPT2LMHeadModel", attention, **kind).train()
        ids, mask = tokens(3, 6), torch.ones(3, 6, dtype=torch.int64)
        if padding != "none":
            mask[1, slice(0, 2) if padding == "left" else slice(4, None)] = 0
        output = model(ids, attention_mask=mask, labels=ids)
        output.loss.backward()
        found.append([output.logits[mask > 0], *(value.grad for value in model.parameters())])
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs)


def test_a_hole_in_the_mask_shifts_nothing() -> None:
    model = build("GPT2Model")
    ids = tokens(1, 6)
    mask = torch.tensor([[1, 1, 0, 1, 1, 1]])
    kept = [0, 1, 3, 4, 5]
    expected = model(ids[:, kept], position_ids=torch.tensor([kept]))[0]
    close(model(ids, attention_mask=mask)[0][:, kept], expected)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_packed_documents_equal_padded_rows(attention: str) -> None:
    lengths = [4, 1, 6]
    padded_ids, segments = tokens(3, 6), tokens(3, 6)
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    layout = Layout.packed(torch.tensor([0, 4, 5, 11]), max(lengths), sum(lengths))
    model = build("GPT2Model", attention)
    padded = model(padded_ids, None, mask, segments)
    packed = model(padded_ids[mask], None, layout, segments[mask])
    close(packed.last_hidden_state, padded.last_hidden_state[mask])
    assert packed.past_key_values is None


@pytest.mark.parametrize("name", HEADS)
def test_the_loss_of_packed_documents_equals_that_of_padded_rows(name: str) -> None:
    lengths = [4, 2, 6]
    ids = tokens(3, 6)
    labels = ids % 2
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    layout = Layout.packed(torch.tensor([0, 4, 6, 12]), max(lengths), sum(lengths))
    model = build(name)
    packed = model(ids[mask], attention_mask=layout, labels=labels[mask])
    close(packed.loss, model(ids, attention_mask=mask, labels=labels).loss)


def test_a_packed_batch_is_classified_by_its_last_tokens() -> None:
    model = build("GPT2ForSequenceClassification")
    ids = tokens(2, 4)
    layout = Layout.packed(torch.tensor([0, 4, 6]), 4, 6)
    packed = model(torch.cat([ids[0], ids[1, :2]]), attention_mask=layout).logits
    close(packed[0], model(ids[:1]).logits[0])
    close(packed[1], model(ids[1:, :2]).logits[0])


def test_a_packed_batch_has_no_cache() -> None:
    model = build("GPT2Model")
    with pytest.raises(ValueError, match="use_cache=False"):
        model(tokens(5), attention_mask=Layout.packed(torch.tensor([0, 2, 5]), 3, 5), use_cache=True)


def caches(model: Any) -> dict[str, Any]:
    return {
        "dynamic": DynamicCache(),
        "static": StaticCache(config=model.config, max_cache_len=12),
        "encoder-decoder": EncoderDecoderCache(DynamicCache(), DynamicCache()),
        "encoder-decoder, static": EncoderDecoderCache(
            StaticCache(config=model.config, max_cache_len=12), DynamicCache()
        ),
    }


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("steps", [[1] * 8, [3, 1, 4], [8], [7, 1]], ids=str)
@pytest.mark.parametrize("kind", ["dynamic", "static", "encoder-decoder", "encoder-decoder, static"])
def test_cached_equals_uncached(attention: str, steps: list[int], kind: str, grad: bool) -> None:
    model = build("GPT2LMHeadModel", attention, scale_attn_by_inverse_layer_idx=True)
    ids = tokens(2, 8)
    cache, logits, start = caches(model)[kind], [], 0
    with torch.set_grad_enabled(grad):
        for step in steps:
            output = model(ids[:, start : start + step], past_key_values=cache)
            assert output.past_key_values is cache
            logits.append(output.logits)
            start += step
            assert cache.get_seq_length() == start
    close(torch.cat(logits, dim=1), model(ids, use_cache=False).logits)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_cached_rows_under_left_padding(attention: str, kind: str) -> None:
    """Prompts of different lengths, aligned on the right, then step by step."""
    model = build("GPT2LMHeadModel", attention)
    ids, mask = tokens(2, 8), torch.ones(2, 8, dtype=torch.int64)
    mask[0, :3] = 0
    cache, logits = caches(model)[kind], []
    for start, end in ((0, 5), (5, 6), (6, 8)):
        output = model(ids[:, start:end], attention_mask=mask[:, :end], past_key_values=cache)
        logits.append(output.logits)
    found = torch.cat(logits, dim=1)
    close(found[0, 3:], model(ids[:1, 3:]).logits[0])
    close(found[1], model(ids[1:]).logits[0])


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("steps", [[1, 1, 1], [2, 1], [3]], ids=str)
@pytest.mark.parametrize("padded", [False, True])
def test_steps_of_fixed_shapes(attention: str, steps: list[int], padded: bool) -> None:
    """The whole room of a static cache in every step; then cropped, and begun anew."""
    model = build("GPT2LMHeadModel", attention)
    ids, room = tokens(2, 8), torch.ones(2, 12, dtype=torch.int64)
    if padded:
        room[0, :3] = 0
    expected = model(ids, attention_mask=room[:, :8]).logits
    cache = StaticCache(config=model.config, max_cache_len=12)
    for _ in range(2):
        model(ids[:, :5], attention_mask=room[:, :5], past_key_values=cache)
        cache.fix_shapes()
        for _ in range(2):
            start, logits = 5, []
            for step in steps:
                given = ids[:, start : start + step]
                mask = room if padded else None
                logits.append(model(given, attention_mask=mask, past_key_values=cache).logits)
                start += step
                assert cache.get_seq_length() == start
            close(torch.cat(logits, dim=1), expected[:, 5:])
            cache.crop(-3)
        cache.reset()
        assert cache.get_seq_length() == 0


def test_cache_position_is_where_the_tokens_stand() -> None:
    model = build("GPT2LMHeadModel")
    ids = tokens(2, 6)
    prompt = model(ids[:, :4]).past_key_values
    rest = model(ids[:, 4:], past_key_values=prompt, cache_position=torch.tensor([4, 5]))
    close(rest.logits, model(ids).logits[:, 4:])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_cross_attention_reads_the_cache_when_the_states_are_not_given_again(attention: str) -> None:
    model = build("GPT2LMHeadModel", attention, add_cross_attention=True)
    ids, source, mask = tokens(2, 6), torch.randn(2, 3, 16).double(), torch.tensor([[1, 1, 1], [1, 1, 0]])
    given = {"encoder_hidden_states": source, "encoder_attention_mask": mask}
    whole = model(ids, **given)
    assert isinstance(whole.past_key_values, EncoderDecoderCache)
    prompt = model(ids[:, :4], **given)
    rest = model(ids[:, 4:], encoder_attention_mask=mask, past_key_values=prompt.past_key_values)
    close(rest.logits, whole.logits[:, 4:])
    close(whole.logits[1], model(ids[1:], encoder_hidden_states=source[1:, :2]).logits[0])


def test_padding_is_never_an_answer() -> None:
    model: GPT2ForQuestionAnswering = build("GPT2ForQuestionAnswering")
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    output = model(tokens(2, 4), mask)
    lowest = torch.finfo(torch.float64).min
    assert (output.start_logits[mask == 0] == lowest).all()
    assert (output.end_logits[mask == 0] == lowest).all()


def test_a_causal_term_needs_two_real_tokens() -> None:
    model: GPT2LMHeadModel = build("GPT2LMHeadModel")
    ids = tokens(1, 6)
    mask = torch.tensor([[0, 0, 1, 1, 1, 0]])
    terms = model.loss_terms(input_ids=ids, attention_mask=mask, labels=ids)
    assert terms["next_token"].count.item() == 2
    close(terms["next_token"].mean(), model(ids[:, 2:5], labels=ids[:, 2:5]).loss)
