"""Ways of choosing tokens; each is a small object that runs over a ``Decoding``."""

from __future__ import annotations

from .base import Generated, Strategy
from .choice import choose
from .function import Function

__all__ = ["Function", "Generated", "Strategy", "choose"]
