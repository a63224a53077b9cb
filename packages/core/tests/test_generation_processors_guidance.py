from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.generation.processors import (
    ClassifierFreeGuidanceLogitsProcessor,
    UnbatchedClassifierFreeGuidanceLogitsProcessor,
)

VOCABULARY = 7


class CountingModel:
    """The logits of a position depend on all real tokens up to it; the cache is their sum so far."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.table = torch.randn(VOCABULARY, VOCABULARY)
        self.calls: list[tuple[int, ...]] = []

    def __call__(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool = True,
        return_dict: bool = True,
    ) -> Any:
        self.calls.append(tuple(input_ids.shape))
        values = self.table[input_ids]
        if attention_mask is not None:
            values = values * attention_mask[:, -input_ids.shape[1] :, None]
        totals = values.cumsum(dim=1)
        if past_key_values is not None:
            totals = totals + past_key_values
        return SimpleNamespace(logits=totals, past_key_values=totals[:, -1:] if use_cache else None)


def expected(model: CountingModel, scores: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    without = model.table[unconditional].sum(dim=1).log_softmax(dim=-1)
    return without + scale * (scores.log_softmax(dim=-1) - without)


def written(
    processor: UnbatchedClassifierFreeGuidanceLogitsProcessor, ids: Tensor, steps: int
) -> list[Tensor]:
    """The scores of some steps, each of which adds a token."""
    torch.manual_seed(1)
    results = []
    for _ in range(steps):
        results.append(processor(ids, torch.randn(ids.shape[0], VOCABULARY)))
        ids = torch.cat((ids, torch.randint(0, VOCABULARY, (ids.shape[0], 1))), dim=1)
    return results


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("negative", [None, [[5, 6], [0, 1]]])
def test_scores_lead_away_from_the_unconditional_text(use_cache: bool, negative: Any) -> None:
    model = CountingModel()
    start = None if negative is None else torch.tensor(negative)
    prompt = torch.tensor([[1, 2, 3], [4, 5, 6]])
    processor = UnbatchedClassifierFreeGuidanceLogitsProcessor(1.7, model, start, use_cache=use_cache)
    results = written(processor, prompt, 4)
    torch.manual_seed(1)
    text = prompt[:, -1:] if start is None else start
    for result in results:
        scores = torch.randn(2, VOCABULARY)
        torch.testing.assert_close(result, expected(model, scores, text, 1.7))
        text = torch.cat((text, torch.randint(0, VOCABULARY, (2, 1))), dim=1)
    lengths = [length for _, length in model.calls]
    assert lengths == (
        [text.shape[1] - 4, 1, 1, 1] if use_cache else list(range(text.shape[1] - 4, text.shape[1]))
    )


def test_padding_of_the_negative_prompt_does_not_count() -> None:
    model = CountingModel()
    padded = UnbatchedClassifierFreeGuidanceLogitsProcessor(
        2.0, model, torch.tensor([[9 % VOCABULARY, 5], [3, 4]]), torch.tensor([[0, 1], [1, 1]])
    )
    alone = UnbatchedClassifierFreeGuidanceLogitsProcessor(2.0, model, torch.tensor([[5]]))
    prompt = torch.tensor([[1, 2], [1, 2]])
    scores = torch.randn(2, VOCABULARY)
    torch.testing.assert_close(padded(prompt, scores)[:1], alone(prompt[:1], scores[:1]))
    longer = torch.tensor([[1, 2, 3], [1, 2, 3]])
    torch.testing.assert_close(padded(longer, scores)[:1], alone(longer[:1], scores[:1]))


def test_one_negative_prompt_serves_every_beam() -> None:
    model = CountingModel()
    processor = UnbatchedClassifierFreeGuidanceLogitsProcessor(
        2.0, model, torch.tensor([[5], [6]]), use_cache=False
    )
    scores = torch.randn(4, VOCABULARY)
    result = processor(torch.zeros(4, 2, dtype=torch.int64), scores)
    start = torch.tensor([[5], [5], [6], [6]])
    torch.testing.assert_close(result, expected(model, scores, start, 2.0))


def test_another_text_starts_anew() -> None:
    model = CountingModel()
    processor = UnbatchedClassifierFreeGuidanceLogitsProcessor(1.5, model)
    prompt = torch.tensor([[1, 2, 3]])
    first, second = written(processor, prompt, 3), written(processor, prompt, 3)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def test_a_scale_of_one_needs_no_second_forward() -> None:
    scores = torch.randn(1, VOCABULARY)
    result = UnbatchedClassifierFreeGuidanceLogitsProcessor(1.0, None)(torch.tensor([[1]]), scores)
    assert torch.equal(result, scores.log_softmax(dim=-1))


def test_halves_of_a_batch_are_mixed() -> None:
    scores = torch.tensor([[1.0, 2.0], [0.0, 4.0]])
    processor = ClassifierFreeGuidanceLogitsProcessor(3.0)
    assert processor(torch.zeros(1, 1, dtype=torch.int64), scores).tolist() == [[3.0, -2.0]]
    with pytest.raises(ValueError, match="2 rows of scores for 2 rows of ids; expected 4"):
        processor(torch.zeros(2, 1, dtype=torch.int64), scores)
