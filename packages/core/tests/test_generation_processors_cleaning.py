from __future__ import annotations

import torch

from formers.generation.processors import InfNanRemoveLogitsProcessor, LogitNormalization

IDS = torch.zeros(1, 1, dtype=torch.int64)


def test_invalid_values_are_replaced() -> None:
    infinity = float("inf")
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        scores = torch.tensor([[1.5, float("nan"), infinity, -infinity]], dtype=dtype)
        limits = torch.finfo(dtype)
        assert InfNanRemoveLogitsProcessor()(IDS, scores).tolist() == [[1.5, 0.0, limits.max, limits.min]]


def test_normalised_scores_are_logarithms_of_probabilities() -> None:
    scores = torch.randn(3, 9)
    result = LogitNormalization()(IDS, scores)
    torch.testing.assert_close(result.exp().sum(dim=-1), torch.ones(3))
    torch.testing.assert_close(result.softmax(dim=-1), scores.softmax(dim=-1))
