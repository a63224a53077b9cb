"""Fixtures; also lets tests import the helper that lies beside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import formers


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)


@pytest.fixture
def without_plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if this package were not installed."""
    monkeypatch.setenv("FORMERS_DISABLE_PLUGINS", "formers-decoding-contrastive")
    formers.refresh_plugins()
    yield
    monkeypatch.undo()
    formers.refresh_plugins()
