"""What the laws mean for this architecture in particular; the laws themselves are in ``test_conformance.py``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import formers_gpt2
from formers.cache import EncoderDecoderCache, StaticCache
from formers.layout import Layout
from formers_gpt2.configuration import tiny_config

ATTENTIONS = ["eager", "sdpa"]


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


def test_a_packed_batch_has_no_cache() -> None:
    model = build("GPT2Model")
    with pytest.raises(ValueError, match="use_cache=False"):
        model(tokens(5), attention_mask=Layout.packed(torch.tensor([0, 2, 5]), 3, 5), use_cache=True)


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
