"""Where the tensors of a model come from: an open checkpoint, or a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, KeysView, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from formers.errors import CorruptFileError, FormersWarning, LoadError, shorten, warn
from formers.files.folder import Folder

from .formats import ReadOptions, TensorFile
from .header import TensorInfo
from .locate import CheckpointFiles

__all__ = ["Checkpoint", "StateDict", "TensorSource", "main_dtype", "open_checkpoint"]

_LISTED = 10


class TensorSource(Protocol):
    """Named tensors whose types and shapes are known before they are read."""

    @property
    def label(self) -> str:
        """What reports and warnings call the source."""

    def keys(self) -> Iterable[str]:
        """The published names of the tensors."""

    def info(self, key: str) -> TensorInfo:
        """Type, shape and file of a tensor."""

    def tensor(
        self, key: str, *, dtype: torch.dtype | None = None, device: torch.device | None = None
    ) -> Tensor:
        """The tensor, in another ``dtype`` or on another ``device`` if one is given.

        It belongs to the caller, but may be a private view of a mapped file.
        """


class Checkpoint:
    """The open files of one checkpoint; made by ``open_checkpoint``."""

    def __init__(self, label: str, files: Mapping[str, TensorFile], holder: Mapping[str, str]) -> None:
        self.label = label
        self._files = files
        self._holder = holder

    def keys(self) -> KeysView[str]:
        """The names of the tensors."""
        return self._holder.keys()

    def info(self, key: str) -> TensorInfo:
        """Type, shape and file of a tensor."""
        return self._files[self._holder[key]].info(key)

    def tensor(
        self, key: str, *, dtype: torch.dtype | None = None, device: torch.device | None = None
    ) -> Tensor:
        """The tensor."""
        return self._files[self._holder[key]].tensor(key, dtype=dtype, device=device)


class StateDict:
    """A dictionary of tensors as a source. Tensors are copied, so that the model shares nothing with it."""

    def __init__(self, tensors: Mapping[str, Any], label: str = "state_dict") -> None:
        for key, value in tensors.items():
            if not isinstance(value, Tensor) or value.is_meta:
                what = "a tensor without data" if isinstance(value, Tensor) else type(value).__name__
                raise LoadError(f"{label}[{shorten(key)}] is {what}; a tensor is expected")
        self.label = label
        self._tensors: Mapping[str, Tensor] = tensors

    def keys(self) -> Iterable[str]:
        """The names of the tensors."""
        return self._tensors.keys()

    def info(self, key: str) -> TensorInfo:
        """Type and shape of a tensor."""
        tensor = self._tensors[key]
        return TensorInfo(tensor.dtype, tuple(tensor.shape), self.label)

    def tensor(
        self, key: str, *, dtype: torch.dtype | None = None, device: torch.device | None = None
    ) -> Tensor:
        """A copy of the tensor."""
        copy = torch.empty_like(
            self._tensors[key], dtype=dtype, device=device or "cpu", memory_format=torch.contiguous_format
        )
        return copy.copy_(self._tensors[key].detach())


def open_checkpoint(folder: Folder, files: CheckpointFiles, options: ReadOptions | None = None) -> Checkpoint:
    """Open the weight files that ``locate`` found. Headers are read and checked; no tensor is.

    Raises:
        LoadError: shards are missing; all of them are named.
        CorruptFileError: a file is damaged, or lacks a tensor that the index promises.
    """
    options = options or ReadOptions()
    paths = _paths(folder, files)
    if files.format.is_pickle:
        warn(
            f"{folder.path}: {', '.join(files.names[:_LISTED])} {'is a pickle' if len(paths) == 1 else 'are pickles'}. "
            "Only tensors are unpickled, but safetensors files are safer and load faster; "
            "save_pretrained writes them.",
            FormersWarning,
        )
    opened = {name: files.format.reader(path, options) for name, path in paths.items()}
    holder = {key: name for name, file in opened.items() for key in file.keys()}  # noqa: SIM118 - no mapping
    for key, name in files.weight_map.items():
        if key not in opened[name].keys():  # noqa: SIM118
            raise CorruptFileError(
                f"{paths[name]} lacks the tensor {shorten(key)}, which {files.index} says it holds. "
                "Download or save the checkpoint again"
            )
    label = folder.path / files.names[0] if files.index is None else folder.path
    return Checkpoint(str(label), opened, holder | files.weight_map)


def main_dtype(source: TensorSource) -> torch.dtype | None:
    """The type of the first floating-point tensor, which is what a checkpoint without a stated dtype has."""
    for key in source.keys():  # noqa: SIM118
        dtype = source.info(key).dtype
        if dtype.is_floating_point:
            return dtype
    return None


def _paths(folder: Folder, files: CheckpointFiles) -> dict[str, Path]:
    found = {name: folder.file(name) for name in files.names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        listed = ", ".join(missing[:_LISTED]) + (" ..." if len(missing) > _LISTED else "")
        raise LoadError(
            f"{folder.path}: {len(missing)} of {len(found)} weight files are missing: {listed}. "
            "Download or save the checkpoint again"
        )
    return {name: path for name, path in found.items() if path is not None}
