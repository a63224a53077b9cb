"""Each check of the conformance kit catches a plugin that is broken in the way that the check is about."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import mutants_attention
import mutants_config
import mutants_generation
import mutants_interop
import mutants_meta
import mutants_model
import mutants_numerics
import mutants_packaging
import mutants_saving
import mutants_tokenizer
import pytest
import torch
from bench import MUTANTS, Bench, Mutant

from formers.plugins import registry
from formers.testing import run_check, standard_checks

TIERS = (
    mutants_attention, mutants_config, mutants_generation, mutants_interop, mutants_meta, mutants_model,
    mutants_numerics, mutants_packaging, mutants_saving, mutants_tokenizer,
)  # fmt: skip


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bench]:
    before = set(sys.modules)
    dtype = torch.get_default_dtype()
    with registry.temporary_registrations():
        yield Bench(monkeypatch, tmp_path)
    monkeypatch.undo()
    torch.set_default_dtype(dtype)
    for name in set(sys.modules) - before:
        if name.startswith("formers_acme"):
            del sys.modules[name]
    registry.refresh()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.check for mutant in MUTANTS])
def test_a_mutant_is_caught(mutant: Mutant, bench: Bench, record_property: pytest.RecordProperty) -> None:
    subject = mutant.make(bench)
    try:
        result = run_check(subject, standard_checks()[mutant.check])
    finally:
        subject.close()
    caught = result.outcome == "failed"
    record_property("mutant", (mutant.check, mutant.name, caught))
    assert caught, f"{result.outcome}: {result.message}"


def test_every_check_has_a_mutant() -> None:
    assert len(TIERS) == 10
    assert set(standard_checks()) - {mutant.check for mutant in MUTANTS} == set()
