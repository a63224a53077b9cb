"""The version of this distribution, read by the build and by ``__version__``."""

from __future__ import annotations

__version__ = "0.1.0"
