"""Reading safetensors files, mapped into memory, and writing them as a stream."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterator, KeysView, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from formers.errors import CorruptFileError

from .buffers import as_buffer, is_as_stored, plain, read_tensor
from .header import DTYPES, MAX_HEADER_BYTES, TensorInfo, read_header

if TYPE_CHECKING:
    from formers.files.commit import Commit

__all__ = ["SafetensorsFile", "write_safetensors"]


class SafetensorsFile:
    """The tensors of one safetensors file, read when asked for.

    With ``mmap`` a tensor is a private, copy-on-write view of the mapped file: nothing is copied until it is
    used, processes that load the same file share its memory, and writing to a tensor never reaches the file.
    Without, each tensor is read into memory of its own, which survives a file that is truncated in place.

    The file is opened once, here; replacing it on disk afterwards changes nothing.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, mmap: bool = True, max_header_bytes: int = MAX_HEADER_BYTES
    ) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = os.fspath(path)
        header = read_header(self.path, max_header_bytes=max_header_bytes)
        self._tensors = header.tensors
        self.metadata = header.metadata
        self._file = open(self.path, "rb", buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._mapped = None
        if not mmap:
            return
        try:
            self._mapped = safe_open(self.path, framework="pt")
        except SafetensorError as error:
            raise CorruptFileError(f"{self.path}: {error}. Download or save it again") from error

    def keys(self) -> KeysView[str]:
        """The names of the tensors."""
        return self._tensors.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def info(self, key: str) -> TensorInfo:
        """What the header says of a tensor."""
        return self._tensors[key]

    def tensor(
        self, key: str, *, dtype: torch.dtype | None = None, device: torch.device | None = None
    ) -> Tensor:
        """The tensor; mapped, if neither ``dtype`` nor ``device`` asks for another than what is stored."""
        info = self._tensors[key]
        if self._mapped is not None and is_as_stored(info.dtype, dtype, device):
            mapped: Tensor = self._mapped.get_tensor(key)
            return mapped
        return read_tensor(self._file, info.start, info.dtype, info.shape, dtype=dtype, device=device)


def write_safetensors(
    commit: Commit, name: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Stage ``name`` with the tensors, one in memory at a time.

    The layout is the one that the safetensors library writes: larger element types first, then by name, so
    that every tensor is aligned; the header is padded with spaces to eight bytes.
    """
    header = _header_of(tensors, metadata)
    commit.write_bytes(name, _file_content(header, tensors))


def _header_of(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    position = 0
    for key in _in_order(tensors):
        tensor = tensors[key]
        size = tensor.numel() * tensor.element_size()
        entries[key] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [position, position + size],
        }
        position += size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    return text + b" " * (-len(text) % _ALIGNMENT)


def _file_content(header: bytes, tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    yield len(header).to_bytes(8, "little")
    yield header
    for key in _in_order(tensors):
        tensor = plain(tensors[key])  # kept alive while its bytes are written
        yield as_buffer(tensor)


def _in_order(tensors: Mapping[str, Tensor]) -> list[str]:
    return sorted(tensors, key=lambda key: (-tensors[key].element_size(), key))


_ALIGNMENT = 8
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
