from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from formers.generation.processors import NoBadWordsLogitsProcessor, SequenceBiasLogitsProcessor

VOCABULARY = 5
tokens = st.integers(0, VOCABULARY - 1)
sequences = st.lists(tokens, min_size=1, max_size=4).map(tuple)


def total(biases: dict[tuple[int, ...], float], text: list[int], token: int) -> float:
    """The plain reference."""
    return sum(
        bias
        for sequence, bias in biases.items()
        if sequence[-1] == token
        and len(text) >= len(sequence) - 1
        and text[len(text) - len(sequence) + 1 :] == list(sequence[:-1])
    )


@given(
    biases=st.dictionaries(sequences, st.floats(-8, 8), min_size=1, max_size=12),
    rows=st.integers(1, 3),
    length=st.integers(0, 6),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_biases_of_what_a_token_completes_add_up(
    biases: dict[tuple[int, ...], float], rows: int, length: int, data: st.DataObject
) -> None:
    text = [data.draw(st.lists(tokens, min_size=length, max_size=length)) for _ in range(rows)]
    ids = torch.tensor(text, dtype=torch.int64).view(rows, length)
    scores = torch.randn(rows, VOCABULARY, dtype=torch.float64)
    result = SequenceBiasLogitsProcessor(biases)(ids, scores) - scores
    expected = [[total(biases, row, token) for token in range(VOCABULARY)] for row in text]
    torch.testing.assert_close(result, torch.tensor(expected, dtype=torch.float64))
    as_pairs: Any = [[list(sequence), bias] for sequence, bias in biases.items()]
    assert torch.equal(SequenceBiasLogitsProcessor(as_pairs)(ids, scores), result + scores)


@given(words=st.lists(sequences, min_size=1, max_size=6), seed=st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_bad_words_never_occur(words: list[tuple[int, ...]], seed: int) -> None:
    torch.manual_seed(seed)
    end = 0
    processor = NoBadWordsLogitsProcessor([list(word) for word in words], eos_token_id=end)
    ids = torch.tensor([[end]])
    for _ in range(20):
        scores = processor(ids, torch.randn(1, VOCABULARY))
        if not scores.isfinite().any():
            break
        ids = torch.cat((ids, scores.argmax(dim=-1, keepdim=True)), dim=1)
    text = ids[0].tolist()
    for word in words:
        starts = range(len(text) - len(word) + 1)
        assert word == (end,) or not any(text[start : start + len(word)] == list(word) for start in starts)


def test_a_list_that_only_names_the_end_bans_nothing() -> None:
    scores = torch.randn(1, VOCABULARY)
    processor = NoBadWordsLogitsProcessor([[3], [4]], eos_token_id=[3, 4])
    assert torch.equal(processor(torch.tensor([[1]]), scores), scores)


def test_a_word_that_ends_with_the_end_is_banned() -> None:
    processor = NoBadWordsLogitsProcessor([[1, 3]], eos_token_id=torch.tensor([3]))
    result = processor(torch.tensor([[1], [2]]), torch.zeros(2, VOCABULARY))
    assert result.isinf().nonzero().tolist() == [[0, 3]]


def test_ids_that_the_model_does_not_have_are_named() -> None:
    processor = SequenceBiasLogitsProcessor({(1, 99): 1.0, (98,): 2.0})
    with pytest.raises(ValueError, match=r"hold \[98, 99\], but the scores end at 4"):
        processor(torch.tensor([[1]]), torch.zeros(1, VOCABULARY))


def test_one_processor_serves_several_vocabularies_and_dtypes() -> None:
    processor = SequenceBiasLogitsProcessor({(1, 2): 1.5, (0,): -1.0})
    ids = torch.tensor([[1]])
    for scores in (torch.zeros(1, 5), torch.zeros(1, 7), torch.zeros(1, 7, dtype=torch.float16)):
        result = processor(ids, scores)
        assert result.dtype == scores.dtype
        assert result[0, :3].tolist() == [-1.0, 0.0, 1.5]
