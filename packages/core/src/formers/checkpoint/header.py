"""The header of a safetensors file, checked before anything is mapped or allocated.

The format: eight bytes with the length of the header, the header (a JSON object), the data of the tensors one
after another without holes. https://huggingface.co/docs/safetensors describes it. The library that maps the
data checks most of this too, but names no file, accepts a tensor name given twice, and spends half a minute on
a header of 75 MB.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import torch

from formers.errors import CorruptFileError, LoadError, ResourceLimitError, shorten
from formers.files.strict_json import DuplicateKeyError, parse_json

__all__ = ["DTYPES", "MAX_HEADER_BYTES", "Header", "TensorInfo", "git_lfs_pointer", "read_header"]

MAX_HEADER_BYTES = 16 << 20
"""Default limit of a header, enough for about 100 000 tensors; ``max_header_bytes`` overrides it."""

_LENGTH = 8  # bytes of the length field
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_LARGEST = 2**63 - 1

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The format's names of the element types that this library reads and writes."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What is known of a stored tensor without reading it."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    file: str
    """Name of the file that holds it, for reports."""
    start: int = 0
    """First byte of the data in the file; 0 where the format has no such thing."""

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Header:
    """The content of a header: ``tensors`` by name, and the free text of ``__metadata__``."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


def read_header(path: str | os.PathLike[str], *, max_header_bytes: int = MAX_HEADER_BYTES) -> Header:
    """Read and check the header of the safetensors file at ``path``; its data is not touched.

    Raises:
        CorruptFileError: empty, truncated, a git-lfs pointer, or not what the format promises.
        ResourceLimitError: the header is longer than ``max_header_bytes``.
        LoadError: the file cannot be opened.
    """
    source = os.fspath(path)
    try:
        with open(source, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            first = file.read(len(_LFS_POINTER))
            length = _header_length(source, first, size, max_header_bytes)
            file.seek(_LENGTH)
            raw = file.read(length)
    except LoadError:
        raise
    except OSError as error:
        raise LoadError(f"{source} cannot be read: {error}") from error
    return _parse(source, raw, size - _LENGTH - length)


def git_lfs_pointer(first: bytes) -> bool:
    """Whether a file that starts with ``first`` is a git-lfs pointer instead of the file it stands for."""
    return first.startswith(_LFS_POINTER)


def _header_length(source: str, first: bytes, size: int, limit: int) -> int:
    if git_lfs_pointer(first):
        raise CorruptFileError(
            f"{source} is a git-lfs pointer, not the weights; run 'git lfs pull' to get them"
        )
    if size < _LENGTH:
        raise CorruptFileError(
            f"{source}: {size} bytes; a safetensors file has at least {_LENGTH}. Download or save it again"
        )
    length = int.from_bytes(first[:_LENGTH], "little")
    if length > size - _LENGTH:
        raise CorruptFileError(
            f"{source}: the header should have {length:,} bytes, but only {size - _LENGTH:,} follow. The file is "
            "truncated or not a safetensors file; download or save it again"
        )
    if length > limit:
        raise ResourceLimitError(
            f"{source}: a header of {length:,} bytes; at most {limit:,} are read. If you trust the file, "
            f"pass max_header_bytes={length}"
        )
    return length


def _parse(source: str, raw: bytes, data: int) -> Header:
    if raw[:1] != b"{":
        raise CorruptFileError(f"{source}: the header starts with {raw[:8]!r}; '{{' is expected. {_AGAIN}")
    try:
        entries = parse_json(raw.decode("utf-8"), f"{source}: header")
    except DuplicateKeyError as error:
        raise CorruptFileError(
            f"{source}: duplicate tensor {shorten(error.key)} in the header. {_AGAIN}"
        ) from error
    except UnicodeDecodeError as error:
        raise CorruptFileError(
            f"{source}: the header is not UTF-8 at byte {error.start}. {_AGAIN}"
        ) from error
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise CorruptFileError(f"{source}: '__metadata__' must map names to strings, not {shorten(metadata)}")
    offset = os.path.basename(source), len(raw) + _LENGTH
    parsed = {key: _parse_entry(source, key, entry, *offset) for key, entry in entries.items()}
    _check_layout(source, parsed, data)
    return Header({key: info for key, (info, _) in parsed.items()}, metadata)


def _parse_entry(
    source: str, key: str, entry: Any, file: str, base: int
) -> tuple[TensorInfo, tuple[int, int]]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise CorruptFileError(
            f"{source}: tensor {shorten(key)} is {shorten(entry)}; 'dtype', 'shape' and 'data_offsets' are expected"
        )
    shape, offsets = entry["shape"], entry["data_offsets"]
    dtype = DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise CorruptFileError(
            f"{source}: tensor {shorten(key)} has dtype {shorten(entry['dtype'])}; "
            f"one of {', '.join(DTYPES)} is expected"
        )
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise CorruptFileError(
            f"{source}: tensor {shorten(key)} has shape {shorten(shape)} and data_offsets {shorten(offsets)}; "
            "lists of integers from 0 are expected, two of them for the offsets"
        )
    start, end = offsets
    info = TensorInfo(dtype, tuple(shape), file, base + start)
    if end - start != info.nbytes:
        raise CorruptFileError(
            f"{source}: tensor {shorten(key)} of shape {shorten(tuple(shape))} and dtype {entry['dtype']} needs "
            f"{shorten(info.nbytes, 40)} bytes, its data_offsets {offsets} give {end - start}"
        )
    return info, (start, end)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item <= _LARGEST for item in value)


def _check_layout(source: str, parsed: dict[str, tuple[TensorInfo, tuple[int, int]]], data: int) -> None:
    """The tensors must cover the data exactly: no hole, no overlap, nothing behind the last one."""
    position = 0
    for key, (_, (start, end)) in sorted(parsed.items(), key=lambda item: item[1][1]):
        if start != position:
            problem = "a hole before" if start > position else "an overlap at"
            raise CorruptFileError(
                f"{source}: {problem} tensor {shorten(key)}, bytes {start} to {end} of the data"
            )
        position = end
    if position != data:
        state = "is truncated" if position > data else "has bytes behind the last tensor"
        raise CorruptFileError(
            f"{source} {state}: its header describes {position:,} bytes of data, it holds {data:,}. {_AGAIN}"
        )


_AGAIN = "Download or save it again"
