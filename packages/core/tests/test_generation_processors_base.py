from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from formers.generation import processors
from formers.generation.processors import LogitsProcessor, LogitsProcessorList, LogitsWarper

IDS = torch.tensor([[1, 2, 3]])
SCORES = torch.zeros(1, 4)


class Add(LogitsProcessor):
    def __init__(self, amount: float) -> None:
        self.amount = amount

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores + self.amount


class AddTimes(LogitsProcessor):
    def __call__(  # type: ignore[override]
        self, input_ids: Tensor, scores: Tensor, amount: float, times: int = 1
    ) -> Tensor:
        return scores + amount * times


class AddAnything(LogitsProcessor):
    def __call__(self, input_ids: Tensor, scores: Tensor, **extra: float) -> Tensor:
        return scores + sum(extra.values())


def double(input_ids: Tensor, scores: Tensor) -> Tensor:
    return scores * 2


def test_members_are_called_in_order() -> None:
    assert LogitsProcessorList([Add(1), double])(IDS, SCORES)[0, 0] == 2
    assert LogitsProcessorList([double, Add(1)])(IDS, SCORES)[0, 0] == 1
    assert LogitsProcessorList()(IDS, SCORES) is SCORES


def test_further_parameters_are_filled_by_name() -> None:
    members = LogitsProcessorList([AddTimes(), AddAnything(), Add(0.5)])
    assert members(IDS, SCORES, amount=2.0, times=3, other=10)[0, 0] == 6 + 15 + 0.5
    assert members(IDS, SCORES, amount=2.0)[0, 0] == 2 + 2 + 0.5


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(ValueError, match=r"AddTimes needs \['amount'\], but the call passed \['times'\]"):
        LogitsProcessorList([AddTimes()])(IDS, SCORES, times=2)


def test_a_processor_that_forgets_to_return_is_named() -> None:
    def forgetful(input_ids: Tensor, scores: Tensor) -> None:
        scores.add(1)

    with pytest.raises(TypeError, match="forgetful returned NoneType"):
        LogitsProcessorList([forgetful])(IDS, SCORES)  # type: ignore[list-item]


def test_the_base_class_says_what_is_missing() -> None:
    class Empty(LogitsProcessor):
        pass

    with pytest.raises(NotImplementedError, match="Empty does not define __call__"):
        Empty()(IDS, SCORES)


def test_older_code_finds_its_base_class() -> None:
    class Mine(LogitsWarper):
        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            return scores - 1

    assert LogitsProcessorList([Mine()])(IDS, SCORES)[0, 0] == -1


def test_a_list_knows_whether_the_tokens_matter() -> None:
    blind = LogitsProcessorList([processors.TemperatureLogitsWarper(0.5), processors.TopKLogitsWarper(2)])
    assert not blind.uses_input_ids
    assert LogitsProcessorList([*blind, processors.NoRepeatNGramLogitsProcessor(2)]).uses_input_ids
    assert LogitsProcessorList([*blind, double]).uses_input_ids


VOCABULARY = 40
ENCODED = torch.randint(0, VOCABULARY, (1, 7))
EVERY: dict[str, LogitsProcessor] = {
    type(one).__name__: one
    for one in (
        processors.ClassifierFreeGuidanceLogitsProcessor(1.5),
        processors.EncoderNoRepeatNGramLogitsProcessor(2, ENCODED),
        processors.EncoderRepetitionPenaltyLogitsProcessor(1.5, ENCODED),
        processors.EpsilonLogitsWarper(0.02),
        processors.EtaLogitsWarper(0.02),
        processors.ExponentialDecayLengthPenalty((1, 1.5), [2, 3], 2),
        processors.ForcedBOSTokenLogitsProcessor(1),
        processors.ForcedEOSTokenLogitsProcessor(9, [2, 3]),
        processors.InfNanRemoveLogitsProcessor(),
        processors.LogitNormalization(),
        processors.MinLengthLogitsProcessor(20, [2, 3]),
        processors.MinNewTokensLengthLogitsProcessor(2, 20, 2),
        processors.MinPLogitsWarper(0.3, min_tokens_to_keep=2),
        processors.NoBadWordsLogitsProcessor([[4], [5, 6]], 2),
        processors.NoRepeatNGramLogitsProcessor(2),
        processors.RepetitionPenaltyLogitsProcessor(1.5, torch.tensor([1, 2])),
        processors.SequenceBiasLogitsProcessor({(4,): 1.0, (5, 6): -2.0}),
        processors.SuppressTokensAtBeginLogitsProcessor([1, 4], 8),
        processors.SuppressTokensLogitsProcessor([1, 4]),
        processors.TemperatureLogitsWarper(0.7),
        processors.TopHLogitsWarper(0.5),
        processors.TopKLogitsWarper(5),
        processors.TopPLogitsWarper(0.5),
        processors.TypicalLogitsWarper(0.5),
    )
}
# A caller's function, a second model, seeds and a further argument: tested beside their modules.
ELSEWHERE = {
    "HammingDiversityLogitsProcessor",
    "LogitsProcessor",
    "LogitsProcessorList",
    "LogitsWarper",
    "PrefixConstrainedLogitsProcessor",
    "UnbatchedClassifierFreeGuidanceLogitsProcessor",
    "WatermarkLogitsProcessor",
}


def test_no_processor_is_left_out() -> None:
    assert set(EVERY) | ELSEWHERE == set(processors.__all__)


def inputs(name: str, length: int = 8, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    rows = 4 if name == "ClassifierFreeGuidanceLogitsProcessor" else 2
    return torch.randint(0, VOCABULARY, (2, length)), torch.randn(rows, VOCABULARY, dtype=dtype)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_read_from_the_device(name: str) -> None:
    """Tensors on the meta device have no values: whoever asks for one fails."""
    ids, scores = inputs(name)
    result = EVERY[name](ids.to("meta"), scores.to("meta"))
    assert result.device.type == "meta"
    assert result.shape == (2, VOCABULARY)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_given_scores_stay_as_they_are(name: str, dtype: torch.dtype) -> None:
    ids, scores = inputs(name, dtype=dtype)
    before = ids.clone(), scores.clone()
    result = EVERY[name](ids, scores)
    assert torch.equal(ids, before[0])
    assert torch.equal(scores, before[1])
    assert result.dtype == dtype


@pytest.mark.parametrize("name", [name for name, one in EVERY.items() if not one.uses_input_ids])
def test_who_says_so_looks_at_scores_alone(name: str) -> None:
    ids, scores = inputs(name)
    other = torch.zeros(2, 1, dtype=torch.int64)
    torch.testing.assert_close(EVERY[name](ids, scores), EVERY[name](other, scores), rtol=0, atol=0)


# Two rows of one text, a setting for each row, and encoder inputs for a batch of one.
OF_SEVERAL_ROWS = ("ClassifierFree", "Repetition", "Encoder")


@pytest.mark.parametrize("name", [name for name in EVERY if not name.startswith(OF_SEVERAL_ROWS)])
def test_batch_mates_change_nothing(name: str) -> None:
    ids, scores = inputs(name)
    together = EVERY[name](ids, scores)
    for row in range(2):
        alone = EVERY[name](ids[row : row + 1], scores[row : row + 1])
        assert torch.equal(together[row], alone[0])


def test_a_graph_holds_them_without_a_break() -> None:
    names = ("Typical", "TopK", "TopP", "Eta", "NoRepeat", "NoBad", "MinLength", "LogitNorm")
    members = LogitsProcessorList([one for name, one in EVERY.items() if name.startswith(names)])
    assert len(members) == len(names)
    ids, scores = inputs("")

    def run(input_ids: Tensor, logits: Tensor) -> Any:
        return members(input_ids, logits)

    recorded = torch.compile(run, backend="eager", fullgraph=True)(ids, scores)
    assert torch.equal(recorded, members(ids, scores))
