from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from formers.generation.processors import PrefixConstrainedLogitsProcessor

IDS = torch.tensor([[0, 1], [0, 2], [3, 1], [3, 2]])
SCORES = torch.arange(20.0).view(4, 5)


def test_each_row_is_asked_for_with_its_item_and_tokens() -> None:
    asked = []

    def allow(item: int, tokens: Tensor) -> list[int]:
        asked.append((item, tokens.tolist()))
        return [int(tokens[-1]), 4]

    result = PrefixConstrainedLogitsProcessor(allow, num_beams=2)(IDS, SCORES)
    assert asked == [(0, [0, 1]), (0, [0, 2]), (1, [3, 1]), (1, [3, 2])]
    finite = result.isfinite()
    assert finite.nonzero().tolist() == [[0, 1], [0, 4], [1, 2], [1, 4], [2, 1], [2, 4], [3, 2], [3, 4]]
    assert torch.equal(result[finite], SCORES[finite])


@pytest.mark.parametrize("answer", [[1, 3], (3, 1), {1, 3}, torch.tensor([1, 3]), [1, 3, 3]])
def test_ids_may_come_in_any_form(answer: Any) -> None:
    result = PrefixConstrainedLogitsProcessor(lambda item, tokens: answer, 1)(IDS, SCORES)
    assert result.isfinite().sum(dim=-1).tolist() == [2] * 4


@pytest.mark.parametrize(
    ("allow", "message"),
    [
        (
            lambda item, tokens: [],
            "allows no token for batch item 0 after 2 tokens; a constraint that is fulfilled",
        ),
        (lambda item, tokens: None, "allows no token"),
        (lambda item, tokens: [1, 5], "allows token 5 for batch item 0; expected ids from 0 to 4"),
        (lambda item, tokens: [-1], "allows token -1"),
    ],
)
def test_what_cannot_be_allowed_is_refused(allow: Callable[[int, Tensor], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PrefixConstrainedLogitsProcessor(allow, 1)(IDS, SCORES)
