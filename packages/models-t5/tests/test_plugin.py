"""The manifests say only what is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from formers import Architecture
from formers.plugins.loading import resolve_reference
from formers_t5.plugin import ARCHITECTURE, MT5


@pytest.mark.parametrize("manifest", [ARCHITECTURE, MT5])
def test_every_reference_resolves(manifest: Architecture) -> None:
    for references in (manifest.config, manifest.tiny, *manifest.auto.values()):
        for reference in (references,) if isinstance(references, str) else references or ():
            assert callable(resolve_reference(reference))


def test_the_configuration_needs_no_torch() -> None:
    code = "import sys, formers_t5.plugin, formers_t5.configuration; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
