"""NumPy's ``.npz``: a zip archive with one ``.npy`` member for each tensor, which any NumPy reads.

NumPy has no bfloat16. Its values are stored as two bytes without a meaning (``V2``), as JAX stores them; in NumPy,
``array.view(ml_dtypes.bfloat16)`` gives them back their meaning. Nothing is ever unpickled.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, KeysView, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from formers.checkpoint.header import MAX_HEADER_BYTES, TensorInfo, git_lfs_pointer
from formers.checkpoint.torch_file import write_with
from formers.errors import CorruptFileError, LoadError, ResourceLimitError, shorten

if TYPE_CHECKING:
    from formers.files.commit import Commit

__all__ = ["NpzFile", "write_npz"]

_TYPES = {
    np.dtype(name): getattr(torch, name)
    for name in (
        *("float64", "float32", "float16", "complex64", "bool"),
        *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
    )
} | {np.dtype("V2"): torch.bfloat16}
_HEADER_LIMIT = 1 << 16  # bytes of a member's header: its type and shape, written out


class NpzFile:
    """The tensors of one ``.npz`` file, each read when it is asked for.

    Raises:
        CorruptFileError: not such a file, truncated, or a member is no array of numbers.
        ResourceLimitError: the list of members is longer than ``max_header_bytes``.
        LoadError: the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_header_bytes: int = MAX_HEADER_BYTES) -> None:
        self.path = os.fspath(path)
        self._archive = _opened(self.path)
        listed = sum(len(member.filename) + 46 for member in self._archive.infolist())
        if listed > max_header_bytes:
            raise ResourceLimitError(
                f"{self.path}: a list of members of {listed:,} bytes; at most {max_header_bytes:,} are read. If you "
                f"trust the file, pass max_header_bytes={listed}"
            )
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._tensors: dict[str, TensorInfo] = {}
        for member in self._archive.infolist():
            self._add(member)

    def _add(self, member: zipfile.ZipInfo) -> None:
        key = member.filename.removesuffix(".npy")
        if key == member.filename or key in self._members:
            problem = "is no .npy file" if key == member.filename else "is there twice"
            raise self._corrupt(f"the member {shorten(member.filename)} {problem}")
        dtype, shape, start = self._header(member)
        if dtype not in _TYPES:
            raise self._corrupt(
                f"{shorten(key)} has the type {shorten(dtype.str)}; numbers are expected, none of them byte-swapped"
            )
        info = TensorInfo(_TYPES[dtype], shape, os.path.basename(self.path))
        if start + info.nbytes != member.file_size:
            raise self._corrupt(
                f"{shorten(key)} of shape {shorten(shape)} and type {dtype.str} needs {info.nbytes:,} bytes, but "
                f"{member.file_size - start:,} are stored"
            )
        self._members[key] = member
        self._tensors[key] = info

    def _header(self, member: zipfile.ZipInfo) -> tuple[np.dtype[Any], tuple[int, ...], int]:
        """Type, shape, and where the data starts in the member."""
        try:
            with self._archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }
                shape, by_columns, dtype = read[version](file, max_header_size=_HEADER_LIMIT)
                start = file.tell()
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
            raise self._corrupt(f"the member {shorten(member.filename)} has no readable header") from error
        if by_columns and len(shape) > 1 and 0 not in shape:
            raise self._corrupt(
                f"{shorten(member.filename)} is stored by columns; save numpy.ascontiguousarray(array)"
            )
        return dtype, shape, start

    def _corrupt(self, problem: str) -> CorruptFileError:
        return CorruptFileError(f"{self.path}: {problem}. Download or save it again")

    def keys(self) -> KeysView[str]:
        """The names of the tensors."""
        return self._tensors.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def info(self, key: str) -> TensorInfo:
        """Type and shape of a tensor."""
        return self._tensors[key]

    def tensor(
        self, key: str, *, dtype: torch.dtype | None = None, device: torch.device | None = None
    ) -> Tensor:
        """The tensor, in memory of its own."""
        info = self._tensors[key]
        try:
            with self._archive.open(self._members[key]) as file:
                array = np.lib.format.read_array(file, allow_pickle=False, max_header_size=_HEADER_LIMIT)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise self._corrupt(f"{shorten(key)} cannot be read ({error})") from error
        if info.dtype == torch.bfloat16:
            array = array.view(np.int16)
        found = torch.from_numpy(np.ascontiguousarray(array)).reshape(info.shape)
        if info.dtype == torch.bfloat16:
            found = found.view(torch.bfloat16)
        return found.to(device=device, dtype=dtype)


def _opened(path: str) -> zipfile.ZipFile:
    try:
        with open(path, "rb") as file:
            first = file.read(64)
        if git_lfs_pointer(first):
            raise CorruptFileError(
                f"{path} is a git-lfs pointer, not the weights; run 'git lfs pull' to get them"
            )
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise CorruptFileError(f"{path}: {error}. Download or save it again") from error
    except LoadError:
        raise
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error}") from error


def write_npz(commit: Commit, name: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Stage ``name``, uncompressed. The format has no place for metadata.

    Raises:
        ValueError: a tensor has a type that NumPy does not know.
    """
    known = set(_TYPES.values())
    for key, tensor in tensors.items():
        if tensor.dtype not in known:
            raise ValueError(
                f"{shorten(key)} has dtype {tensor.dtype}, which .npz files cannot hold; convert it first."
            )
    write_with(_save, commit, name, tensors)


def _save(content: dict[str, Tensor], path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for key, tensor in content.items():
            array = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
            values = array.numpy().view("V2") if tensor.dtype == torch.bfloat16 else array.numpy()
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
