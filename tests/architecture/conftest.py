"""Gives the tests of this folder the packages of the repository, one at a time or together."""

from __future__ import annotations

from pathlib import Path

import pytest
from repository import PACKAGES, ROOT, Package


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "package" in metafunc.fixturenames:
        metafunc.parametrize("package", PACKAGES, ids=[package.project["name"] for package in PACKAGES])


@pytest.fixture
def packages() -> list[Package]:
    return PACKAGES


@pytest.fixture
def core() -> Package:
    return next(package for package in PACKAGES if package.is_core)


@pytest.fixture
def root() -> Path:
    return ROOT
