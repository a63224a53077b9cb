from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.errors import GenerationWarning
from formers.generation.criteria import (
    ConfidenceCriteria,
    EosTokenCriteria,
    MaxLengthCriteria,
    MaxTimeCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
)

IDS = torch.tensor([[1, 2, 3], [1, 2, 4], [3, 3, 5]])


def test_lengths_count_the_prompt() -> None:
    assert MaxLengthCriteria(3)(IDS, None).tolist() == [True] * 3
    assert MaxLengthCriteria(4)(IDS, None).tolist() == [False] * 3


def test_positions_that_run_out_are_said_once() -> None:
    criterion = MaxLengthCriteria(9, max_position_embeddings=3)
    with pytest.warns(GenerationWarning, match="reached 3 tokens, and the model has 3 positions"):
        criterion(IDS, None)
    criterion(IDS, None)


def test_time_counts_from_the_start() -> None:
    assert MaxTimeCriteria(1000)(IDS, None).tolist() == [False] * 3
    assert MaxTimeCriteria(1000, initial_timestamp=time.time() - 1001)(IDS, None).tolist() == [True] * 3


@pytest.mark.parametrize("eos", [[3, 5], torch.tensor([5, 3]), (3, 5)])
def test_end_tokens_end_their_rows(eos: Any) -> None:
    assert EosTokenCriteria(eos)(IDS, None).tolist() == [True, False, True]
    assert EosTokenCriteria(4)(IDS, None).tolist() == [False, True, False]


def test_several_new_tokens_are_looked_at() -> None:
    assert EosTokenCriteria(2)(IDS, None, new_token_length=2).tolist() == [True, True, False]
    assert StoppingCriteriaList([EosTokenCriteria(2)])(IDS, None, new_token_length=2).tolist() == [
        True,
        True,
        False,
    ]


def test_drafts_end_where_confidence_does() -> None:
    scores = torch.full((3, 6), -10.0)
    scores[0, 3], scores[1, 0], scores[2, 5] = 10.0, 10.0, 10.0
    criterion = ConfidenceCriteria(0.4)
    assert criterion(IDS, (torch.zeros(3, 6), scores)).tolist() == [False, True, False]
    assert criterion(IDS, scores).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="needs the scores that the newest token was chosen by"):
        criterion(IDS, None)


class Spells(StoppingCriteria):
    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        return input_ids[:, -1] == 4


def test_a_row_ends_when_any_member_says_so() -> None:
    assert StoppingCriteriaList()(IDS, None).tolist() == [False] * 3
    members = StoppingCriteriaList([EosTokenCriteria(5), Spells()])
    assert members(IDS, None).tolist() == [False, True, True]
    assert StoppingCriteriaList([*members, lambda ids, scores: True])(IDS, None).tolist() == [True] * 3
    assert StoppingCriteriaList([*members, lambda ids, scores: False])(IDS, None).tolist() == [
        False,
        True,
        True,
    ]


def test_a_list_knows_its_limit() -> None:
    assert StoppingCriteriaList([Spells()]).max_length is None
    assert StoppingCriteriaList([Spells(), MaxLengthCriteria(7), MaxLengthCriteria(5)]).max_length == 7


def test_the_base_class_says_what_is_missing() -> None:
    class Empty(StoppingCriteria):
        pass

    with pytest.raises(NotImplementedError, match="Empty does not define __call__"):
        Empty()(IDS, None)


def test_nothing_is_read_from_the_device() -> None:
    members = StoppingCriteriaList([MaxLengthCriteria(3), MaxTimeCriteria(9), EosTokenCriteria([3, 4])])
    assert members(IDS.to("meta"), None).device.type == "meta"
    assert ConfidenceCriteria(0.1)(IDS.to("meta"), torch.zeros(3, 6, device="meta")).shape == (3,)


@pytest.mark.parametrize(
    ("construct", "message"),
    [
        (lambda: MaxLengthCriteria(-1), "`max_length` is -1; expected an integer of at least 0"),
        (lambda: MaxTimeCriteria(-1), "`max_time` is -1; expected a finite number from 0: leave it out"),
        (lambda: EosTokenCriteria([-1]), r"`eos_token_id` is \[-1\]; expected a token id or several"),
        (lambda: EosTokenCriteria([]), "`eos_token_id` is"),
        (lambda: ConfidenceCriteria(2), "`assistant_confidence_threshold` is 2"),
    ],
)
def test_a_wrong_argument_is_named_with_value_range_and_remedy(
    construct: Callable[[], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        construct()
