"""Lets tests import the helper modules that lie beside them, wherever pytest was started."""

from __future__ import annotations

import sys
from pathlib import Path

for pattern in ("tests", "tests/*/", "packages/*/tests", "plugins/*/tests"):
    sys.path[:0] = [str(folder) for folder in sorted(Path(__file__).parent.glob(pattern)) if folder.is_dir()]
