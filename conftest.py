"""Lets tests import the helper modules that lie beside them, wherever pytest was started; and takes its time."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

for pattern in ("tests", "tests/*/", "packages/*/tests", "plugins/*/tests"):
    sys.path[:0] = [str(folder) for folder in sorted(Path(__file__).parent.glob(pattern)) if folder.is_dir()]

if find_spec("hypothesis") is not None:  # the session lint has none
    from hypothesis import settings

    settings.register_profile("shared machines", deadline=None)
    settings.load_profile("shared machines")
