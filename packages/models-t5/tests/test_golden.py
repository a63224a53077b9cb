"""What the tiny models answered when these files were recorded: formers golden record t5."""

from __future__ import annotations

from pathlib import Path

from formers.testing.golden import differences


def test_nothing_has_changed() -> None:
    assert not differences("t5", Path(__file__).parent / "golden" / "t5")
