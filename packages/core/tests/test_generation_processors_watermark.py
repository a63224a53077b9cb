from __future__ import annotations

import pytest
import torch

from formers.errors import GenerationWarning
from formers.generation.processors import WatermarkLogitsProcessor

VOCABULARY = 40
SCORES = torch.zeros(2, VOCABULARY)


def test_a_part_of_the_vocabulary_is_raised() -> None:
    processor = WatermarkLogitsProcessor(VOCABULARY, "cpu", greenlist_ratio=0.3, bias=1.5)
    result = processor(torch.tensor([[1, 2], [1, 3]]), SCORES)
    assert result.eq(1.5).sum(dim=-1).tolist() == [12, 12]
    assert result.eq(0).sum(dim=-1).tolist() == [28, 28]
    assert not torch.equal(result[0], result[1])


def test_the_last_token_and_the_key_decide() -> None:
    processor = WatermarkLogitsProcessor(VOCABULARY, "cpu", hashing_key=99991)
    result = processor(torch.tensor([[1, 2], [7, 2]]), SCORES)
    assert torch.equal(result[0], result[1])
    assert torch.equal(result, processor(torch.tensor([[2, 2], [5, 2]]), SCORES))
    other = WatermarkLogitsProcessor(VOCABULARY, "cpu", hashing_key=99989)
    assert not torch.equal(result, other(torch.tensor([[1, 2], [7, 2]]), SCORES))


def test_a_token_can_choose_itself() -> None:
    processor = WatermarkLogitsProcessor(VOCABULARY, "cpu", seeding_scheme="selfhash", context_width=3)
    torch.manual_seed(0)
    result = processor(torch.randint(0, VOCABULARY, (2, 6)), torch.randn(2, VOCABULARY))
    assert result.shape == (2, VOCABULARY)
    again = processor(torch.tensor([[1, 2, 3], [1, 2, 3]]), SCORES)
    assert torch.equal(again[0], again[1])
    assert 0 < again[0].eq(2.0).sum() < VOCABULARY


def test_no_mark_before_there_is_a_context() -> None:
    processor = WatermarkLogitsProcessor(VOCABULARY, "cpu", context_width=3)
    with pytest.warns(GenerationWarning, match="2 tokens, but the watermark's context_width is 3"):
        assert torch.equal(processor(torch.tensor([[1, 2], [1, 3]]), SCORES), SCORES)
