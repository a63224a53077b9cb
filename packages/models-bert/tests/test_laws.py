"""What the laws mean for this architecture in particular; the laws themselves are in ``test_conformance.py``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import formers_bert
from formers.cache import DynamicCache
from formers.layout import Layout
from formers_bert.configuration import tiny_config

ATTENTIONS = ["eager", "sdpa"]


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
