"""Checkpoint formats: how the files are called, and who reads and writes them.

The hook ``formers_checkpoint_formats`` returns further ones. For a format with stem ``model`` and suffix
``.safetensors`` the files of a checkpoint are ``model.safetensors``, or ``model.safetensors.index.json`` and
``model-00001-of-00003.safetensors`` ...; a variant such as ``fp16`` goes before the last suffix:
``model.fp16.safetensors``, ``model.safetensors.index.fp16.json``, ``model.fp16-00001-of-00003.safetensors``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from formers.plugins import hooks

from .header import MAX_HEADER_BYTES, TensorInfo

if TYPE_CHECKING:
    from formers.files.commit import Commit

__all__ = ["CheckpointFormat", "ReadOptions", "TensorFile", "builtin", "known_formats"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read the files of a checkpoint.

    ``mmap=False`` copies every tensor into memory of its own, which makes a loaded model independent of files
    that somebody truncates or overwrites in place, and suits network file systems on which mapping is slow.
    """

    mmap: bool = True
    max_header_bytes: int = MAX_HEADER_BYTES


class TensorFile(Protocol):
    """One open file of tensors; nothing is read before ``tensor``."""

    def keys(self) -> Iterable[str]:
        """The names of the tensors."""

    def info(self, key: str) -> TensorInfo:
        """Type and shape of a tensor."""

    def tensor(
        self, key: str, *, dtype: torch.dtype | None = None, device: torch.device | None = None
    ) -> Tensor:
        """The tensor, contiguous, in another ``dtype`` or on another ``device`` if one is given.

        As it is stored, on the CPU, it may be a view of the mapped file. What is converted or moved is better read
        piece by piece (:func:`formers.checkpoint.buffers.read_tensor`): pages of a mapping stay resident.
        """


@dataclass(frozen=True, slots=True)
class CheckpointFormat:
    """One format.

    Attributes:
        name: what error messages call it.
        stem: what file names start with.
        suffix: what the names of weight files end in, with the dot.
        reader: opens a file.
        writer: stages a file of a commit from its name, tensors and metadata; None if the format is only read.
        priority: among the formats present in a folder, the highest is read.
        is_pickle: the file is unpickled, which is warned about.
    """

    name: str
    stem: str
    suffix: str
    reader: Callable[[Path, ReadOptions], TensorFile]
    writer: Callable[[Commit, str, Mapping[str, Tensor], Mapping[str, str]], None] | None = None
    priority: int = 0
    is_pickle: bool = False

    def single(self, variant: str | None = None) -> str:
        """Name of a checkpoint in one file."""
        return f"{self._stem(variant)}{self.suffix}"

    def index(self, variant: str | None = None) -> str:
        """Name of the index of a sharded checkpoint."""
        return f"{self.stem}{self.suffix}.index.{f'{variant}.' if variant else ''}json"

    def shard(self, number: int, total: int, variant: str | None = None) -> str:
        """Name of one shard; ``number`` counts from 1."""
        return f"{self._stem(variant)}-{number:05d}-of-{total:05d}{self.suffix}"

    def owns(self, name: str, variant: str | None = None) -> bool:
        """Whether a file of this name belongs to a checkpoint of this format and variant, of any sharding."""
        if name in (self.single(variant), self.index(variant)):
            return True
        shard = rf"{re.escape(self._stem(variant))}-\d{{5,}}-of-\d{{5,}}{re.escape(self.suffix)}"
        return re.fullmatch(shard, name) is not None

    def _stem(self, variant: str | None) -> str:
        return f"{self.stem}.{variant}" if variant else self.stem


def builtin() -> Sequence[CheckpointFormat]:
    """The formats of the core: safetensors, and torch's ``.bin`` through its restricted unpickler."""
    from .safetensors_file import SafetensorsFile, write_safetensors
    from .torch_file import TorchFile, write_torch

    return (
        CheckpointFormat(
            name="safetensors",
            stem="model",
            suffix=".safetensors",
            reader=lambda path, how: SafetensorsFile(
                path, mmap=how.mmap, max_header_bytes=how.max_header_bytes
            ),
            writer=write_safetensors,
            priority=100,
        ),
        CheckpointFormat(
            name="torch",
            stem="pytorch_model",
            suffix=".bin",
            reader=lambda path, how: TorchFile(path, mmap=how.mmap, max_header_bytes=how.max_header_bytes),
            writer=write_torch,
            priority=10,
            is_pickle=True,
        ),
    )


def known_formats(*, use_safetensors: bool | None = None) -> list[CheckpointFormat]:
    """Every format, the preferred first.

    ``use_safetensors=True`` leaves safetensors only, False leaves it out.
    """
    found = [one for several in hooks.call("formers_checkpoint_formats") for one in several]
    if use_safetensors is not None:
        found = [one for one in found if (one.name == "safetensors") == use_safetensors]
    return sorted(found, key=lambda one: (-one.priority, one.name))
