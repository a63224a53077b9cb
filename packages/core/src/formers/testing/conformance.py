"""The checks as a module of tests: ``pytest --pyargs formers.testing.conformance --formers-model NAME``."""

from __future__ import annotations

from typing import Any

from .classes import report_on, subject_of
from .running import standard_checks

__all__ = ["pytest_generate_tests", "test_conformance"]


def pytest_generate_tests(metafunc: Any) -> None:
    """One test for each architecture of ``--formers-model`` and each check.

    Raises:
        UsageError: no architecture is named, and none is installed.
    """
    import pytest

    from formers.plugins import registry

    models = metafunc.config.getoption("formers_model") or []
    if "all" in models:
        models = [name for name in models if name != "all"]
        models += [found.name for found in registry.installed() if found.name not in models]
    if not models:
        known = ", ".join(registry.known_model_types()) or "none"
        raise pytest.UsageError(
            f"formers.testing.conformance needs --formers-model NAME; installed: {known}."
        )
    cases = [(name, identity) for name in models for identity in standard_checks()]
    metafunc.parametrize(("model", "check"), cases, ids=[f"{name}-{identity}" for name, identity in cases])


def test_conformance(model: str, check: str, request: Any) -> None:
    """One check of one architecture."""
    subject = subject_of(model, request.config.getoption("formers_reference"), request)
    report_on(request, standard_checks()[check], subject)
