from __future__ import annotations

from typing import Any

from bench import Bench, mutant

from formers.testing import Subject, conformance_suite


@mutant("meta.overrides")
def hidden_check(bench: Bench) -> Subject:
    """A test class hides a check by a method of its own."""

    class TestHiding(conformance_suite("gpt2")):  # type: ignore[misc]
        def test_numerics_left_padding(self) -> None:
            pass

    subject = bench.subject("gpt2")
    subject.suite = TestHiding
    return subject


@mutant("meta.expected_failures")
def unknown_failure(bench: Bench) -> Subject:
    """A test class expects a check to fail that does not exist."""
    suite: Any = conformance_suite("gpt2")
    suite._formers_expected = {"numerics.no_such_check": "because"}
    subject = bench.subject("gpt2")
    subject.suite = suite
    return subject


@mutant("meta.size")
def large(bench: Bench) -> Subject:
    """The tiny model is not tiny."""
    return bench.subject("gpt2", "AutoModel", tiny="broken_classes:tiny_large")
