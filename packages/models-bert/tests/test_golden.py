"""What the tiny models answered when these files were recorded: formers golden record bert."""

from __future__ import annotations

from pathlib import Path

from formers.testing.golden import differences


def test_nothing_has_changed() -> None:
    assert not differences("bert", Path(__file__).parent / "golden" / "bert")
