"""An attention of a plugin is held to the same laws in every architecture: the conformance kit runs over it."""

from __future__ import annotations

from contextlib import closing

import pytest

from formers.testing import Subject, run_check, standard_checks

CHECKS = [name for name in standard_checks() if name.startswith(("attention.", "numerics."))]


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "t5"])
def test_the_kit_checks_the_attention_of_a_plugin(model_type: str) -> None:
    with closing(Subject(model_type)) as subject:
        assert "blockwise" in subject.models.attentions
        results = [run_check(subject, standard_checks()[name]) for name in CHECKS]
    failed = [f"{result.check}: {result.message}" for result in results if result.outcome == "failed"]
    assert not failed, "\n".join(failed)
    assert sum(result.outcome == "passed" for result in results) > 15
