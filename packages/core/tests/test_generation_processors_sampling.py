from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from formers.generation.processors import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    LogitsProcessor,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopHLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

IDS = torch.zeros(1, 1, dtype=torch.int64)
INFINITY = float("inf")
# Below and above the size from which on the CPU looks at a few candidates first, and no multiple of anything.
VOCABULARIES = [1, 2, 37, 9001]


def drawn(seed: int, vocabulary: int, spread: float, rows: int = 2) -> Tensor:
    """Scores without ties."""
    torch.manual_seed(seed)
    places = torch.stack([torch.randperm(vocabulary) for _ in range(rows)])
    normal: Tensor = torch.special.ndtri((places.double() + 0.5) / vocabulary)
    return spread * normal


def kept(processor: LogitsProcessor, scores: Tensor) -> Tensor:
    """What stays; that it stays as it is, is checked here for all."""
    result = processor(IDS, scores)
    stays = result > -INFINITY
    assert torch.equal(result[stays], scores[stays])
    return stays


cases = {
    "seed": st.integers(0, 10**6),
    "vocabulary": st.sampled_from(VOCABULARIES),
    "spread": st.floats(0.1, 8.0),
    "keep": st.integers(1, 3),
}


@given(**cases, top_p=st.floats(0.0, 1.0))
@settings(max_examples=25, deadline=None)
def test_top_p_keeps_the_smallest_set_that_reaches_it(
    seed: int, vocabulary: int, spread: float, keep: int, top_p: float
) -> None:
    scores = drawn(seed, vocabulary, spread)
    stays = kept(TopPLogitsWarper(top_p, min_tokens_to_keep=keep), scores)
    probabilities = scores.softmax(dim=-1)
    for row in range(scores.shape[0]):
        inside, outside = probabilities[row][stays[row]], probabilities[row][~stays[row]]
        assert outside.numel() == 0 or inside.min() > outside.max()
        assert inside.sum() >= top_p - 1e-9
        assert inside.numel() >= min(keep, vocabulary)
        if inside.numel() > keep:
            assert inside.sum() - inside.min() <= top_p + 1e-9


@given(**cases, top_k=st.integers(1, 200))
@settings(max_examples=25, deadline=None)
def test_top_k_keeps_the_k_best(seed: int, vocabulary: int, spread: float, keep: int, top_k: int) -> None:
    scores = drawn(seed, vocabulary, spread)
    stays = kept(TopKLogitsWarper(top_k, min_tokens_to_keep=keep), scores)
    size = min(max(top_k, keep), vocabulary)
    expected = torch.zeros_like(stays).scatter_(1, scores.argsort(dim=-1)[:, -size:], True)
    assert torch.equal(stays, expected)


@given(seed=st.integers(0, 10**6), vocabulary=st.sampled_from(VOCABULARIES[2:]), top_k=st.integers(1, 200))
@settings(max_examples=25, deadline=None)
def test_top_k_keeps_what_is_as_likely_as_the_last(seed: int, vocabulary: int, top_k: int) -> None:
    """Scores that were computed in half precision have many equals."""
    scores = drawn(seed, vocabulary, 2.0).to(torch.bfloat16).float()
    stays = kept(TopKLogitsWarper(top_k), scores)
    lowest = scores.sort(dim=-1, descending=True).values[:, min(top_k, vocabulary) - 1, None]
    assert torch.equal(stays, scores >= lowest)


@given(seed=st.integers(0, 10**6), vocabulary=st.sampled_from(VOCABULARIES), top_p=st.floats(0.05, 0.95))
@settings(max_examples=25, deadline=None)
def test_top_p_with_equals_is_smallest_too(seed: int, vocabulary: int, top_p: float) -> None:
    scores = drawn(seed, vocabulary, 1.0).to(torch.bfloat16).double()
    stays = kept(TopPLogitsWarper(top_p), scores)
    probabilities = scores.softmax(dim=-1)
    for row in range(scores.shape[0]):
        inside = probabilities[row][stays[row]]
        assert inside.sum() >= top_p - 1e-9
        assert inside.numel() == 1 or inside.sum() - inside.min() <= top_p + 1e-9


@pytest.mark.parametrize("vocabulary", [100, 9001])
def test_the_ends_of_top_p(vocabulary: int) -> None:
    scores = drawn(0, vocabulary, 1.0)
    assert torch.equal(TopPLogitsWarper(1.0)(IDS, scores), scores)
    assert kept(TopPLogitsWarper(0.0), scores).sum() == 2
    assert kept(TopPLogitsWarper(0.0), scores).gather(1, scores.argmax(dim=-1, keepdim=True)).all()
    level = torch.zeros(1, vocabulary)
    assert kept(TopPLogitsWarper(0.5), level).sum().item() in (vocabulary // 2, vocabulary // 2 + 1)


@given(**cases, min_p=st.floats(0.0, 1.0))
@settings(max_examples=25, deadline=None)
def test_min_p_is_relative_to_the_best(
    seed: int, vocabulary: int, spread: float, keep: int, min_p: float
) -> None:
    scores = drawn(seed, vocabulary, spread)
    stays = kept(MinPLogitsWarper(min_p, min_tokens_to_keep=keep), scores)
    probabilities = scores.softmax(dim=-1)
    best = scores >= scores.sort(dim=-1).values[:, -min(keep, vocabulary), None]
    expected = (probabilities >= min_p * probabilities.amax(dim=-1, keepdim=True)) | best
    assert torch.equal(stays, expected)


@given(**cases, epsilon=st.floats(1e-6, 0.5))
@settings(max_examples=25, deadline=None)
def test_epsilon_is_a_floor(seed: int, vocabulary: int, spread: float, keep: int, epsilon: float) -> None:
    scores = drawn(seed, vocabulary, spread)
    stays = kept(EpsilonLogitsWarper(epsilon, min_tokens_to_keep=keep), scores)
    best = scores >= scores.sort(dim=-1).values[:, -min(keep, vocabulary), None]
    assert torch.equal(stays, (scores.softmax(dim=-1) >= epsilon) | best)


@given(**cases, epsilon=st.floats(1e-6, 0.5))
@settings(max_examples=25, deadline=None)
def test_eta_sinks_with_the_entropy(
    seed: int, vocabulary: int, spread: float, keep: int, epsilon: float
) -> None:
    scores = drawn(seed, vocabulary, spread)
    stays = kept(EtaLogitsWarper(epsilon, min_tokens_to_keep=keep), scores)
    probabilities = scores.softmax(dim=-1)
    entropy = torch.special.entr(probabilities).sum(dim=-1, keepdim=True)
    eta = (math.sqrt(epsilon) * torch.exp(-entropy)).clamp(max=epsilon)
    best = scores >= scores.sort(dim=-1).values[:, -min(keep, vocabulary), None]
    clear = (probabilities / eta - 1).abs() > 1e-6
    assert torch.equal(stays[clear], ((probabilities >= eta) | best)[clear])


@given(**cases, mass=st.floats(0.05, 0.95))
@settings(max_examples=25, deadline=None)
def test_typical_keeps_what_surprises_as_expected(
    seed: int, vocabulary: int, spread: float, keep: int, mass: float
) -> None:
    scores = drawn(seed, vocabulary, spread)
    stays = kept(TypicalLogitsWarper(mass, min_tokens_to_keep=keep), scores)
    probabilities = scores.softmax(dim=-1)
    entropy = torch.special.entr(probabilities).sum(dim=-1, keepdim=True)
    distance = (-probabilities.log() - entropy).abs()
    for row in range(scores.shape[0]):
        inside, outside = distance[row][stays[row]], distance[row][~stays[row]]
        assert outside.numel() == 0 or inside.max() <= outside.min() + 1e-9
        assert probabilities[row][stays[row]].sum() >= mass - 1e-9
        assert inside.numel() >= min(keep, vocabulary)


@given(
    seed=st.integers(0, 10**6),
    vocabulary=st.sampled_from(VOCABULARIES),
    spread=st.floats(0.1, 8),
    top_h=st.floats(0.01, 1),
)
@settings(max_examples=25, deadline=None)
def test_top_h_keeps_a_share_of_the_entropy(seed: int, vocabulary: int, spread: float, top_h: float) -> None:
    scores = drawn(seed, vocabulary, spread)
    stays = kept(TopHLogitsWarper(top_h), scores)
    for row in range(scores.shape[0]):
        best = scores[row].sort(descending=True).values[:100]
        share = torch.special.entr(best.softmax(dim=-1)).cumsum(dim=-1)
        count = int(stays[row].sum())
        assert scores[row][stays[row]].min() == best[count - 1]
        assert count == 1 or share[count - 1] <= top_h * share[-1] + 1e-9
        assert count == best.numel() or share[count] > top_h * share[-1] - 1e-9


@given(seed=st.integers(0, 10**6), temperature=st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_temperature_scales_the_odds(seed: int, temperature: float) -> None:
    scores = drawn(seed, 20, 2.0)
    logs = TemperatureLogitsWarper(temperature)(IDS, scores).log_softmax(dim=-1)
    torch.testing.assert_close(
        (logs[:, 0] - logs[:, 1]) * temperature, scores[:, 0] - scores[:, 1], rtol=1e-6, atol=1e-6
    )


FILTERS: list[Callable[[], LogitsProcessor]] = [
    lambda: TopKLogitsWarper(7),
    lambda: TopPLogitsWarper(0.7),
    lambda: MinPLogitsWarper(0.1),
    lambda: TypicalLogitsWarper(0.7),
    lambda: EpsilonLogitsWarper(0.01),
    lambda: EtaLogitsWarper(0.01),
    lambda: TopHLogitsWarper(0.7),
]


@pytest.mark.parametrize("make", FILTERS)
@pytest.mark.parametrize("vocabulary", [50, 9001])
def test_not_a_number_stays_in_sight(make: Callable[[], LogitsProcessor], vocabulary: int) -> None:
    """Whoever draws from the row must be able to see that it is broken; other rows are as without it."""
    scores = drawn(0, vocabulary, 3.0)
    good = make()(IDS, scores)
    scores[0, 3] = float("nan")
    result = make()(IDS, scores)
    assert result[0].amax().isnan()
    assert torch.equal(result[1], good[1])


@pytest.mark.parametrize("make", FILTERS)
@pytest.mark.parametrize("vocabulary", [50, 9001])
def test_forbidden_tokens_stay_forbidden(make: Callable[[], LogitsProcessor], vocabulary: int) -> None:
    scores = drawn(0, vocabulary, 3.0)
    forbidden = torch.rand(scores.shape) < 0.9
    result = make()(IDS, scores.masked_fill(forbidden, -INFINITY))
    assert result[forbidden].eq(-INFINITY).all()
    assert result.gt(-INFINITY).any(dim=-1).all()


@pytest.mark.parametrize("spread", [0.01, 0.3, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.95, 0.9999])
def test_a_large_vocabulary_is_treated_like_a_small_one(
    spread: float, top_p: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The candidates that the CPU looks at first lead to what sorting everything leads to."""
    from formers.generation.processors import selection

    scores = drawn(1, 20011, spread, rows=3)
    distance = (scores - 0.3 * spread).abs()

    def results() -> list[Tensor]:
        return [
            selection.keep_nucleus(scores, top_p, 2, -1.0),
            selection.farthest_needed(distance, scores, top_p, 2),
            *(selection.keep_largest(scores, k, -1.0) for k in (1, 50, 300)),
        ]

    by_candidates = results()
    monkeypatch.setattr(selection, "LARGE", 10**9)
    monkeypatch.setattr(selection, "LARGE_FOR_TABLE", 10**9)
    for one, other in zip(by_candidates, results(), strict=True):
        assert torch.equal(one, other)
