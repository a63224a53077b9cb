"""Attention: the contract between layers and implementations, the core's implementations, and their selection."""

from __future__ import annotations

from .contract import (
    NEEDS,
    AttentionImplementation,
    AttentionPass,
    AttentionRequest,
    BiasTable,
    DenseBias,
    OutOfScope,
    ScoreBias,
    TableBias,
)

__all__ = [
    "NEEDS",
    "AttentionImplementation",
    "AttentionPass",
    "AttentionRequest",
    "BiasTable",
    "DenseBias",
    "OutOfScope",
    "ScoreBias",
    "TableBias",
]
