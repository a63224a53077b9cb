"""Law 9: gradients accumulated over any split of a batch are those of the batch, for every head."""

from __future__ import annotations

from typing import Any

import accumulation
import pytest
import torch
from accumulation import LABELS, SPLITS, Head

HEADS = accumulation.heads()
TOLERANCE = 1e-6

pytestmark = pytest.mark.filterwarnings("ignore:BertLMHeadModel predicts")


@pytest.fixture(params=HEADS, ids=[head.name for head in HEADS])
def case(request: pytest.FixtureRequest) -> tuple[Any, accumulation.Batch, dict[str, torch.Tensor]]:
    """A model in float64, a batch with labels, and the gradients of the batch."""
    head: Head = request.param
    torch.manual_seed(0)
    model = head.cls(head.config()).double().eval()
    batch = accumulation.labelled_batch(head, model.config)
    return model, batch, accumulation.whole(model, batch)


@pytest.mark.parametrize("split", SPLITS)
def test_accumulated_gradients_are_those_of_the_batch(case: Any, split: str) -> None:
    model, batch, expected = case
    found = accumulation.accumulated(model, accumulation.parts_of(batch, SPLITS[split]))
    assert accumulation.relative_error(found, expected) < TOLERANCE


def test_a_mean_of_means_is_something_else(case: Any) -> None:
    """Guards this file: with as many items in each step, the law would be no law."""
    model, batch, expected = case
    parts = accumulation.parts_of(batch, SPLITS["5 + 5 + 6"])
    losses = (accumulation.total_loss(model(**part)) / len(parts) for part in parts)
    assert accumulation.relative_error(accumulation.gradients(model, losses), expected) > 1e-3


def test_a_single_number_serves_a_single_term(case: Any) -> None:
    model, batch, expected = case
    parts = accumulation.parts_of(batch, SPLITS["4 x 4"])
    counts = accumulation.item_counts(model, parts)
    if len(counts) > 1:
        with pytest.raises(ValueError, match="num_items_in_batch is one number"):
            model(**parts[0], num_items_in_batch=7)
        return
    (items,) = counts.values()
    losses = (model(**part, num_items_in_batch=torch.tensor(items)).loss for part in parts)
    assert accumulation.relative_error(accumulation.gradients(model, losses), expected) < TOLERANCE


def test_no_head_is_forgotten() -> None:
    """Every class that takes labels counts its items, and is among those above; so are those without an Auto class."""
    tested = {head.cls for head in HEADS}
    for cls in accumulation.model_classes():
        parameters = accumulation.parameters_of(cls)
        assert (
            (cls in tested) == bool(parameters.intersection(LABELS)) == ("num_items_in_batch" in parameters)
        ), cls
    names = {cls.__name__ for cls in tested}
    assert {"BertForPreTraining", "GPT2DoubleHeadsModel", "T5ForConditionalGeneration"} <= names
    assert len(tested) >= 17
