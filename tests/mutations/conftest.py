"""Prints which mutant each check caught."""

from __future__ import annotations

from typing import Any

import pytest

_rows: list[tuple[str, str, bool]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        _rows.extend(tuple(value) for name, value in report.user_properties if name == "mutant")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not _rows:
        return
    terminalreporter.section("mutants of the conformance kit")
    for check, name, caught in sorted(_rows):
        terminalreporter.write_line(f"{check:<32} {'caught' if caught else 'MISSED':<7} {name}")
    found = sum(caught for _, _, caught in _rows)
    terminalreporter.write_line(f"{found} of {len(_rows)} caught")
