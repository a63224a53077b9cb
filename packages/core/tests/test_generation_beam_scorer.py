"""``BeamSearchScorer`` by itself: which beams go on, what is kept, and when a prompt is done."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from formers.generation.beam_hypotheses import BeamHypotheses
from formers.generation.beam_scorer import BeamScorer, BeamSearchScorer

END, PAD = 2, 0
TEXT = torch.tensor([5, 6, 7])


def scorer(batch: int = 1, beams: int = 2, **options: Any) -> BeamSearchScorer:
    return BeamSearchScorer(batch_size=batch, num_beams=beams, device="cpu", **options)


def step(
    one: BeamSearchScorer, ids: list[list[int]], scores: Any, tokens: Any, beams: Any, **options: Any
) -> dict[str, list[Any]]:
    options = {"pad_token_id": PAD, "eos_token_id": END} | options
    found = one.process(
        torch.tensor(ids), torch.tensor(scores), torch.tensor(tokens), torch.tensor(beams), **options
    )
    return {name.removeprefix("next_beam_"): value.tolist() for name, value in found.items()}


def kept(hypotheses: BeamHypotheses) -> list[tuple[float, list[int]]]:
    return [(one.score, one.tokens.tolist()) for one in hypotheses.beams]


def test_the_best_candidates_go_on() -> None:
    found = step(
        scorer(batch=2), [[5], [6], [7], [8]], [[-1.0, -2.0, -3.0, -4.0], [-0.5, -1.5, -2.5, -3.5]],
        [[9, 8, 7, 6], [3, 4, 5, 6]], [[1, 0, 0, 1], [1, 1, 0, 0]],
    )  # fmt: skip
    assert found == {
        "scores": [-1.0, -2.0, -0.5, -1.5], "tokens": [9, 8, 3, 4], "indices": [1, 0, 3, 3],
    }  # fmt: skip


def test_what_ends_is_kept_and_the_next_best_go_on() -> None:
    one = scorer()
    found = step(one, [[5, 6], [5, 7]], [[-1.0, -2.0, -3.0, -4.0]], [[9, END, 8, 7]], [[0, 1, 1, 0]])
    assert found["tokens"] == [9, 8]
    assert kept(one._beam_hyps[0]) == [(-2.0 / 3, [5, 7])]
    assert not one.is_done


def test_what_ends_behind_the_beams_is_dropped() -> None:
    one = scorer()
    found = step(one, [[5], [6]], [[-1.0, -2.0, -3.0, -4.0]], [[9, 8, END, 7]], [[0, 1, 1, 0]])
    assert found["tokens"] == [9, 8]
    assert kept(one._beam_hyps[0]) == []


@pytest.mark.parametrize("end", [[END, 4], torch.tensor([END, 4]), (4, END)])
def test_several_tokens_may_end(end: Any) -> None:
    one = scorer()
    found = step(
        one, [[5], [6]], [[-1.0, -2.0, -3.0, -4.0]], [[4, END, 8, 7]], [[0, 1, 1, 0]], eos_token_id=end
    )
    assert found["tokens"] == [8, 7]
    assert len(one._beam_hyps[0]) == 2


def test_the_end_in_the_result_is_the_one_that_was_chosen() -> None:
    one = scorer(num_beam_hyps_to_keep=2)
    step(one, [[5], [6]], [[-1.0, -2.0, -9.0, -9.5]], [[4, END, 8, 7]], [[0, 1, 1, 0]], eos_token_id=[END, 4])
    result = finalized(one, torch.tensor([[6, 8], [5, 7]]), [-9.0, -9.5], eos_token_id=[END, 4])
    assert result["sequences"].tolist() == [[5, 4], [6, END]]


def finalized(one: BeamSearchScorer, ids: Tensor, scores: list[float], **options: Any) -> dict[str, Any]:
    options = {"pad_token_id": PAD, "eos_token_id": END, "max_length": 5} | options
    rows = torch.zeros(ids.shape[0], dtype=torch.long)
    return one.finalize(ids, torch.tensor(scores), rows, rows, **options)


def test_a_prompt_that_is_done_gets_padding() -> None:
    one = scorer(batch=2, do_early_stopping=True)
    ids = [[5], [6], [7], [8]]
    step(one, ids, [[-1.0, -2.0, -3.0, -4.0]] * 2, [[END, END, 8, 7], [9, 8, 7, 6]], [[0, 1, 1, 0]] * 2)
    assert one._done == [True, False]
    found = step(one, ids, [[-1.0, -2.0, -3.0, -4.0]] * 2, [[9, 8, 7, 6]] * 2, [[0, 1, 1, 0]] * 2)
    assert found["tokens"] == [PAD, PAD, 9, 8]
    assert found["scores"] == [0.0, 0.0, -1.0, -2.0]
    assert not one.is_done
    with pytest.raises(ValueError, match="pad_token_id"):
        step(
            one,
            ids,
            [[-1.0, -2.0, -3.0, -4.0]] * 2,
            [[9, 8, 7, 6]] * 2,
            [[0, 1, 1, 0]] * 2,
            pad_token_id=None,
        )


def test_the_result_is_best_first_padded_and_as_long_as_needed() -> None:
    one = scorer(num_beam_hyps_to_keep=3, beams=3, length_penalty=0.0)
    step(
        one,
        [[5], [6], [7]],
        [[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]],
        [[END, 8, 9, 3, 4, 6]],
        [[1, 0, 1, 0, 2, 2]],
    )
    ids = torch.tensor([[5, 8, 3], [6, 9, 3], [6, 9, 4]])
    result = finalized(one, ids, [-2.5, -0.5, -9.0])
    assert result["sequences"].tolist() == [[6, 9, 3], [6, END, PAD], [5, 8, 3]]
    assert result["sequence_scores"].tolist() == [-0.5, -1.0, -2.5]
    assert result["beam_indices"] is None


def test_a_text_that_did_not_end_gets_no_end() -> None:
    result = finalized(scorer(), torch.tensor([[5, 8], [6, 9]]), [-1.0, -2.0], max_length=9)
    assert result["sequences"].tolist() == [[5, 8]]


def test_the_way_of_each_text_can_be_followed() -> None:
    one = scorer(num_beam_hyps_to_keep=2)
    step(one, [[5], [6]], [[-0.1, -2.0, -3.0, -4.0]], [[END, 8, 9, 3]], [[1, 0, 0, 1]], beam_indices=((), ()))
    ways = torch.tensor([[0, 0], [0, 1]])
    result = finalized(one, torch.tensor([[5, 8, 3], [5, 9, 3]]), [-2.0, -1.0], beam_indices=ways)
    assert result["sequences"].tolist() == [[6, END, PAD], [5, 9, 3]]
    assert result["beam_indices"].tolist() == [[1, -1, -1], [0, 1, -1]]


def test_rows_of_a_group_are_numbered_among_all_beams() -> None:
    one = scorer(batch=2, beams=4, num_beam_groups=2)
    ids = [[5], [6], [7], [8]]
    step(
        one, ids, [[-1.0, -2.0, -3.0, -4.0]] * 2, [[END, 8, 9, 3]] * 2, [[1, 0, 0, 1]] * 2,
        group_index=1, beam_indices=((), (), (), ()),
    )  # fmt: skip
    assert [hypotheses.beams[0].beam_indices for hypotheses in one._beam_hyps[1::2]] == [(3,), (7,)]
    assert not any(hypotheses.beams for hypotheses in one._beam_hyps[::2])


def test_only_the_best_are_kept() -> None:
    one = BeamHypotheses(num_beams=2, length_penalty=1.0, early_stopping=False)
    for score in (-3.0, -6.0, -1.5, -9.0, -3.0):
        one.add(TEXT, score)
    assert [score for score, _ in kept(one)] == [-1.0, -0.5]
    assert (len(one), one.worst_score) == (2, -1.0)


@pytest.mark.parametrize(
    ("early", "penalty", "expected"),
    [
        (True, 1.0, [True, True, True]),
        (False, 1.0, [False, True, True]),  # -0.9 against -3.0 / 4, -3.6 / 4 and -5.4 / 4
        (False, 0.0, [False, True, True]),  # -3.6 against the sums
        ("never", 1.0, [False, False, True]),  # -0.9 against the sums / 5
        ("never", 0.0, [False, True, True]),
    ],
)
def test_when_a_prompt_is_done(early: Any, penalty: float, expected: list[bool]) -> None:
    one = BeamHypotheses(2, penalty, early, max_length=7)
    one.add(TEXT, -1.0, generated_len=4)
    assert not one.is_done(-100.0, cur_len=6, decoder_prompt_len=2), "one of two places is free"
    one.add(TEXT, -3.6, generated_len=4)
    found = [one.is_done(best, cur_len=6, decoder_prompt_len=2) for best in (-3.0, -3.6, -5.4)]
    assert found == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beams": 1}, "greedy_search"),
        ({"beams": 3, "num_beam_groups": 2}, "divisor"),
        ({"beams": 3, "num_beam_groups": 0}, "num_beam_groups"),
        ({"batch": 0}, "batch_size"),
        ({"do_early_stopping": "never"}, "max_length"),
        ({"num_beam_hyps_to_keep": -1}, "num_beam_hyps_to_keep"),
    ],
)
def test_numbers_that_do_not_fit(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        scorer(**options)


def test_rows_and_candidates_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="input_ids has 3 rows; expected 2"):
        step(scorer(), [[5], [6], [7]], [[-1.0] * 4], [[9, 8, 7, 6]], [[0, 1, 0, 1]])
    with pytest.raises(ValueError, match="Of 4 candidates of a prompt 1 do not end"):
        step(scorer(), [[5], [6]], [[-1.0] * 4], [[END, END, END, 6]], [[0, 1, 0, 1]])


def test_a_scorer_defines_both_methods() -> None:
    class Half(BeamScorer):
        def process(self, *arguments: Any, **options: Any) -> dict[str, Tensor]:
            return {}

    with pytest.raises(TypeError, match="finalize"):
        Half()  # type: ignore[abstract]
