"""Weights on disk: finding, reading, matching to a model, and saving."""

from __future__ import annotations

from .formats import CheckpointFormat, ReadOptions, TensorFile
from .header import TensorInfo
from .load import Declarations, load_into
from .locate import CheckpointFiles, candidates, locate, locate_file
from .report import LoadReport, Origin
from .rules import KeyRules, Legacy, Rename
from .save import parse_size, write_checkpoint
from .source import Checkpoint, StateDict, TensorSource, main_dtype, open_checkpoint

__all__ = [
    "Checkpoint",
    "CheckpointFiles",
    "CheckpointFormat",
    "Declarations",
    "KeyRules",
    "Legacy",
    "LoadReport",
    "Origin",
    "ReadOptions",
    "Rename",
    "StateDict",
    "TensorFile",
    "TensorInfo",
    "TensorSource",
    "candidates",
    "load_into",
    "locate",
    "locate_file",
    "main_dtype",
    "open_checkpoint",
    "parse_size",
    "write_checkpoint",
]
