"""What the conformance kit does not ask of T5: long distances, fixed shapes, packed sources, padded targets."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from formers.cache import DynamicCache, EncoderDecoderCache, StaticCache
from formers.layout import Layout
from formers_t5.configuration import tiny_config
from formers_t5.heads import T5ForConditionalGeneration

SOURCE = torch.tensor([[5, 9, 33, 7, 12, 1], [8, 6, 4, 1, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
TARGET = torch.randint(2, 64, (2, 30), generator=torch.Generator().manual_seed(3))


@pytest.fixture(params=["eager", "sdpa"])
def model(request: pytest.FixtureRequest) -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    made = T5ForConditionalGeneration(tiny_config(num_decoder_layers=3)).double().eval()
    made.set_attn_implementation(request.param)
    return made


def logits(model: T5ForConditionalGeneration, *args: object, **kwargs: object) -> Tensor:
    with torch.no_grad():
        return model(*args, **kwargs).logits  # type: ignore[no-any-return]


@pytest.mark.parametrize("chunks", [[1] * 30, [3, 17, 1, 9], [30]])
@pytest.mark.parametrize("static", [False, True])
def test_cached_is_uncached(model: T5ForConditionalGeneration, chunks: Sequence[int], static: bool) -> None:
    own = StaticCache(model.config, max_cache_len=30) if static else DynamicCache()
    cache = EncoderDecoderCache(own, DynamicCache())
    encoded = model.encoder(SOURCE, MASK)
    parts, start = [], 0
    for new in chunks:
        ids = TARGET[:, start : start + new]
        parts.append(
            logits(model, None, MASK, ids, encoder_outputs=encoded, past_key_values=cache, use_cache=True)
        )
        start += new
    torch.testing.assert_close(torch.cat(parts, dim=1), logits(model, SOURCE, MASK, TARGET))


def test_fixed_shapes_are_uncached(model: T5ForConditionalGeneration) -> None:
    own = StaticCache(model.config, max_cache_len=40)
    cache = EncoderDecoderCache(own, DynamicCache())
    encoded = model.encoder(SOURCE, MASK)
    parts = [logits(model, SOURCE, MASK, TARGET[:, :4], past_key_values=cache, use_cache=True)]
    own.fix_shapes()
    for at in range(4, 20):
        one = TARGET[:, at : at + 1]
        parts.append(
            logits(model, None, MASK, one, encoder_outputs=encoded, past_key_values=cache, use_cache=True)
        )
    torch.testing.assert_close(torch.cat(parts, dim=1), logits(model, SOURCE, MASK, TARGET[:, :20]))


def test_padding_in_front_of_the_target_changes_nothing(model: T5ForConditionalGeneration) -> None:
    alone = logits(model, SOURCE[1:, :4], None, TARGET[1:])
    late = torch.cat((TARGET.new_full((1, 3), 7), TARGET[1:]), dim=1)
    mask = torch.ones_like(late)
    mask[:, :3] = 0
    torch.testing.assert_close(logits(model, SOURCE[1:, :4], None, late, mask)[:, 3:], alone)


def test_a_packed_source_is_a_padded_one(model: T5ForConditionalGeneration) -> None:
    packed = Layout.packed(torch.tensor([0, 6, 10]), 6, 10)
    ids = SOURCE[MASK.bool()]
    torch.testing.assert_close(logits(model, ids, packed, TARGET), logits(model, SOURCE, MASK, TARGET))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_gives_the_same_gradients(model: T5ForConditionalGeneration, reentrant: bool) -> None:
    def gradients() -> list[Tensor]:
        model.zero_grad()
        model(SOURCE, MASK, labels=TARGET, use_cache=False).loss.backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    model.train()
    plain = gradients()
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    for one, other in zip(gradients(), plain, strict=True):
        torch.testing.assert_close(one, other)
