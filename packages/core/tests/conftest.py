"""Fixtures of more than one module; also lets tests import the helpers that lie beside them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fake_api import api
from loopback_hub import hub

__all__ = ["api", "hub"]
