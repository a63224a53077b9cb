"""T5 gives the same numbers as transformers 5.23: outputs, states, attentions, losses, gradients, in float64."""

from __future__ import annotations

from typing import Any

import pytest
from padded_batches import close, same_gradients
from t5_models import (
    CONFIGURATIONS,
    NAMES,
    QUICK,
    TASKS,
    by_row,
    make_batch,
    make_pair,
    objective,
    same_outputs,
)

pytestmark = pytest.mark.parity

CASES = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow, id=name) for name in CONFIGURATIONS
]


@pytest.mark.parametrize("attention", ["eager", "sdpa", None], ids=["eager", "sdpa", "auto"])
@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("configuration", CASES)
@pytest.mark.parametrize("name", NAMES)
def test_outputs_losses_and_gradients(
    oracle: Any, name: str, configuration: str, padding: str, attention: str | None
) -> None:
    task = TASKS[name]
    ours, theirs = make_pair(oracle, name, attention, **CONFIGURATIONS[configuration])
    batch = make_batch(ours.config, task, padding)
    asked = {"output_hidden_states": True, "output_attentions": attention != "sdpa"}
    if name not in ("T5EncoderModel", "T5ForTokenClassification"):
        asked["use_cache"] = False
    found = ours(**batch.tensors, **asked)
    expected = by_row(batch, padding, theirs, **asked)
    same_outputs(found, expected, task, batch)

    total = objective(found, task, batch)
    reference = sum(objective(output, task, None) for output in expected)
    if "loss" in found:
        shares = batch.shares if len(expected) > 1 else [1.0]
        loss = sum(share * output.loss for share, output in zip(shares, expected, strict=True))
        close(found.loss, loss)
        total, reference = total + 3 * found.loss, reference + 3 * loss
    total.backward()
    reference.backward()
    same_gradients(ours, theirs)
