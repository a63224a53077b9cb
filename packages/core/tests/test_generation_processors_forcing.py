from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from formers.generation.processors import (
    ForcedBOSTokenLogitsProcessor,
    ForcedEOSTokenLogitsProcessor,
    LogitsProcessor,
    MinLengthLogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
)

VOCABULARY = 6


def after(processor: LogitsProcessor, length: int) -> Tensor:
    ids = torch.zeros(2, length, dtype=torch.int64)
    return processor(ids, torch.ones(2, VOCABULARY))


def allowed(processor: LogitsProcessor, length: int) -> set[int]:
    result = after(processor, length)
    assert torch.equal(result[0], result[1])
    return set(result[0].isfinite().nonzero().flatten().tolist())


EVERYTHING = set(range(VOCABULARY))
ends = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=3)


@given(minimum=st.integers(0, 9), length=st.integers(0, 12), eos=ends)
@settings(max_examples=60, deadline=None)
def test_no_end_before_the_minimum(minimum: int, length: int, eos: list[int]) -> None:
    expected = EVERYTHING - set(eos) if length < minimum else EVERYTHING
    for given_as in (eos, tuple(eos), torch.tensor(eos)):
        assert allowed(MinLengthLogitsProcessor(minimum, given_as), length) == expected


@given(prompt=st.integers(0, 5), minimum=st.integers(0, 9), new=st.integers(0, 12), eos=ends)
@settings(max_examples=60, deadline=None)
def test_no_end_before_enough_new_tokens(prompt: int, minimum: int, new: int, eos: list[int]) -> None:
    expected = EVERYTHING - set(eos) if new < minimum else EVERYTHING
    assert allowed(MinNewTokensLengthLogitsProcessor(prompt, minimum, eos), prompt + new) == expected


def test_the_first_token_is_forced() -> None:
    processor = ForcedBOSTokenLogitsProcessor(3)
    assert allowed(processor, 1) == {3}
    assert after(processor, 1)[0, 3] == 0
    assert allowed(processor, 2) == EVERYTHING


def test_the_last_token_is_forced() -> None:
    processor = ForcedEOSTokenLogitsProcessor(5, [2, 4])
    assert allowed(processor, 4) == {2, 4}
    assert allowed(processor, 3) == allowed(processor, 5) == EVERYTHING


def test_suppressed_tokens() -> None:
    assert allowed(SuppressTokensLogitsProcessor([1, 5]), 7) == EVERYTHING - {1, 5}
    at_begin = SuppressTokensAtBeginLogitsProcessor([1, 5], 2)
    assert allowed(at_begin, 2) == EVERYTHING - {1, 5}
    assert allowed(at_begin, 3) == EVERYTHING
    at_begin.set_begin_index(3)
    assert allowed(at_begin, 3) == EVERYTHING - {1, 5}


def test_an_id_without_a_score_cannot_be_chosen_anyway() -> None:
    """Configurations of tiny models often keep the end token of a large vocabulary."""
    assert allowed(MinLengthLogitsProcessor(9, [2, 50256]), 1) == EVERYTHING - {2}
    assert allowed(SuppressTokensLogitsProcessor([50256]), 1) == EVERYTHING


@pytest.mark.parametrize(
    ("processor", "name"),
    [
        (ForcedBOSTokenLogitsProcessor(50256), "bos_token_id"),
        (ForcedEOSTokenLogitsProcessor(2, [1, 50256]), "eos_token_id"),
    ],
)
def test_an_id_without_a_score_cannot_be_forced(processor: LogitsProcessor, name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` holds 50256, but the scores end at 5"):
        after(processor, 1)
