"""Diverse beam search: groups that keep away from each other, within one search."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toy_causal import ToyForCausalLM, toy_causal

from formers.errors import GenerationArgumentError, GenerationError
from formers.generation.criteria import StoppingCriteriaList
from formers.generation.processors import LogitsProcessor

END, PAD = 22, 23
IDS = torch.tensor([[3, 4, 5], [6, 7, 8]])
GROUPS = {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 5.5, "max_new_tokens": 6}


@pytest.fixture(scope="module")
def model() -> ToyForCausalLM:
    return toy_causal(seed=1, eos_token_id=END, pad_token_id=PAD, bos_token_id=1).double()


def test_groups_begin_with_different_tokens(model: ToyForCausalLM) -> None:
    found = model.generate(IDS, num_return_sequences=6, **GROUPS)
    for rows in found.view(2, 6, -1):
        assert len({int(row[3]) for row in rows}) == 3
    plain = model.generate(IDS, num_return_sequences=6, num_beams=6, max_new_tokens=6)
    assert any(len({int(row[3]) for row in rows}) < 3 for rows in plain.view(2, 6, -1))


def test_the_first_group_searches_alone(model: ToyForCausalLM) -> None:
    """No penalty reaches it: it is a beam search with fewer beams."""
    own = {"return_dict_in_generate": True, "output_scores": True, "max_new_tokens": 6}
    grouped = model.generate(IDS, num_return_sequences=6, **GROUPS | own)
    alone = model.generate(IDS, num_beams=2, num_return_sequences=2, **own)
    first = (grouped.beam_indices[:, 0] % 6) < 2
    torch.testing.assert_close(grouped.sequences[first], alone.sequences)
    torch.testing.assert_close(grouped.sequences_scores[first], alone.sequences_scores)


def test_a_penalty_of_nothing_is_refused(model: ToyForCausalLM) -> None:
    with pytest.raises(GenerationArgumentError, match="diversity_penalty"):
        model.generate(IDS, **GROUPS | {"diversity_penalty": 0.0})
    with pytest.raises(GenerationArgumentError, match="num_beam_groups"):
        model.generate(IDS, **GROUPS | {"num_beam_groups": 4})


@pytest.mark.parametrize("cache", [{"use_cache": False}, {"cache_implementation": "static"}])
def test_the_cache_changes_nothing(model: ToyForCausalLM, cache: dict[str, Any]) -> None:
    assert torch.equal(model.generate(IDS, **GROUPS, **cache), model.generate(IDS, **GROUPS))


def test_everything_can_be_returned(model: ToyForCausalLM) -> None:
    output = model.generate(
        IDS, num_return_sequences=4, return_dict_in_generate=True, output_scores=True, output_logits=True,
        output_hidden_states=True, output_attentions=True, **GROUPS,
    )  # fmt: skip
    steps = len(output.scores)
    assert output.sequences.shape == (8, 3 + steps)
    assert output.beam_indices.shape == (8, steps)
    assert {tuple(one.shape) for one in (*output.scores, *output.logits)} == {(12, 24)}
    assert [tuple(step[0].shape) for step in output.hidden_states] == [(12, 3, 16)] + [(12, 1, 16)] * (
        steps - 1
    )
    assert len(output.attentions) == steps
    items = output.beam_indices[:, 0] // 6
    assert items.tolist() == [0] * 4 + [1] * 4, "rows of all beams, not of a group"


class Recorder(LogitsProcessor):
    """Notes what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, tuple[int, ...], list[int]]] = []

    def __call__(  # type: ignore[override]
        self, input_ids: torch.Tensor, scores: torch.Tensor, current_tokens: torch.Tensor, beam_group_idx: int
    ) -> torch.Tensor:
        self.calls.append((beam_group_idx, tuple(input_ids.shape), current_tokens.tolist()))
        return scores


def test_processors_are_called_for_a_group_at_a_time(model: ToyForCausalLM) -> None:
    recorder = Recorder()
    model.generate(IDS, logits_processor=[recorder], **GROUPS | {"max_new_tokens": 2})
    assert [(group, shape) for group, shape, _ in recorder.calls] == [
        (group, (4, length)) for length in (3, 4) for group in (0, 1, 2)
    ]
    seen = torch.tensor([tokens for _, _, tokens in recorder.calls[:3]]).view(3, 2, 6)
    assert seen[0].sum() == 0, "nothing was chosen before the first group"
    assert (seen[1, :, :2] == seen[2, :, :2]).all()
    assert (seen[2, :, 2:4] > 0).all()


def test_a_prefix_function_sees_its_prompt(model: ToyForCausalLM) -> None:
    def allowed(item: int, tokens: torch.Tensor) -> list[int]:
        assert tokens[:3].tolist() == IDS[item].tolist()
        return [10 + item, 12 + item, 14 + item, 16 + item]

    found = model.generate(IDS, prefix_allowed_tokens_fn=allowed, num_return_sequences=6, **GROUPS)
    assert (found[:6, 3:] % 2 == 0).all()
    assert (found[6:, 3:] % 2 == 1).all()


def test_a_criterion_ends_the_search_when_every_row_meets_it(model: ToyForCausalLM) -> None:
    def long_enough(tokens: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return torch.full((tokens.shape[0],), tokens.shape[1] >= 6)

    found = model.generate(IDS, stopping_criteria=StoppingCriteriaList([long_enough]), **GROUPS)
    expected = model.generate(IDS, **GROUPS | {"max_new_tokens": 3})
    assert torch.equal(found, expected)


def test_the_prompt_stays_as_it_is(model: ToyForCausalLM) -> None:
    ids = IDS.clone()
    model.generate(ids, **GROUPS)
    assert torch.equal(ids, IDS)


def test_an_invalid_score_is_reported(model: ToyForCausalLM) -> None:
    def spoilt(tokens: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores if tokens.shape[1] < 5 else scores * float("nan")

    with pytest.raises(GenerationError, match="no finite score") as caught:
        model.generate(IDS, logits_processor=[spoilt], **GROUPS)
    assert caught.value.sequences.shape == (12, 5)
