"""Configurations: the settings of a model, declared, checked, read and written. No torch here."""

from __future__ import annotations

from formers.config.base import PreTrainedConfig, PretrainedConfig
from formers.config.fields import field

__all__ = ["PreTrainedConfig", "PretrainedConfig", "field"]
