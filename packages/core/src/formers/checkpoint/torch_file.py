"""``.bin`` files: pickles, and therefore read only through torch's restricted unpickler.

There is no way to switch the restriction off, and nothing is tried again without it.
"""

from __future__ import annotations

import functools
import io
import os
import re
import sys
import weakref
import zipfile
from collections.abc import Callable, Iterator, KeysView, Mapping
from mmap import PAGESIZE
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from formers.errors import CorruptFileError, LoadError, ResourceLimitError, shorten
from formers.files import _os

from .buffers import is_as_stored, plain, read_tensor
from .header import MAX_HEADER_BYTES, TensorInfo, git_lfs_pointer

if TYPE_CHECKING:
    from formers.files.commit import Commit

__all__ = ["TorchFile", "write_torch", "write_with"]

_FORBIDDEN = re.compile(r"\bGLOBAL ([\w.]+)")


class TorchFile:
    """The tensors of one file written by ``torch.save``; mapped where its layout allows it.

    Raises:
        CorruptFileError: empty, truncated, a git-lfs pointer, or not a dictionary of tensors.
        ResourceLimitError: compressed members, or a pickle longer than ``max_header_bytes``.
        LoadError: the pickle asks for more than tensors, or the file cannot be opened.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, mmap: bool = True, max_header_bytes: int = MAX_HEADER_BYTES
    ) -> None:
        self.path = os.fspath(path)
        self._is_mapped = _check_container(self.path, max_header_bytes) and mmap
        self._file = open(self.path, "rb")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._tensors = _as_tensors(self.path, _unpickle(self.path, mmap=self._is_mapped))
        self._name = os.path.basename(self.path)

    def keys(self) -> KeysView[str]:
        """The names of the tensors."""
        return self._tensors.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def info(self, key: str) -> TensorInfo:
        """Type and shape of a tensor."""
        tensor = self._tensors[key]
        return TensorInfo(tensor.dtype, tuple(tensor.shape), self._name)

    def tensor(
        self, key: str, *, dtype: torch.dtype | None = None, device: torch.device | None = None
    ) -> Tensor:
        """The tensor; mapped, if neither ``dtype`` nor ``device`` asks for another than what is stored."""
        tensor = self._tensors[key]
        if is_as_stored(tensor.dtype, dtype, device):
            return tensor.contiguous()
        start = self._starts.get(key) if self._is_mapped else None
        if start is None:
            return tensor.to(device=device, dtype=dtype).contiguous()
        return read_tensor(self._file, start, tensor.dtype, tuple(tensor.shape), dtype=dtype, device=device)

    @functools.cached_property
    def _starts(self) -> dict[str, int]:
        """Where in the file the bytes of each tensor begin; empty if that cannot be told for certain.

        A mapped tensor lies as far behind the start of the mapping as its bytes lie behind the start of the file.
        Loaded without data, each tensor says where its bytes should be, and all must agree on the start.
        """
        with zipfile.ZipFile(self._file) as archive:
            orders = [archive.read(name) for name in archive.namelist() if name.endswith("/byteorder")]
        if sys.byteorder != "little" or orders not in ([], [b"little"]):
            return {}
        self._file.seek(0)
        places: dict[str, Tensor] = torch.load(self._file, map_location="meta", weights_only=True)
        plain = {
            key: tensor
            for key, tensor in self._tensors.items()
            if tensor.numel() and tensor.is_contiguous() and not (tensor.is_conj() or tensor.is_neg())
        }
        bases = {tensor.data_ptr() - _promised_start(places[key]) for key, tensor in plain.items()}
        if len(bases) != 1 or (base := bases.pop()) % PAGESIZE:
            return {}
        return {key: tensor.data_ptr() - base for key, tensor in plain.items()}


def _promised_start(place: Tensor) -> int:
    # Torch sets the attribute on storages without data; a version that does not gets an answer that fits no other.
    offset: int = getattr(place.untyped_storage(), "_checkpoint_offset", -1)
    return offset + int(place.storage_offset()) * place.element_size()


def _check_container(path: str, limit: int) -> bool:
    """Whether the file is a zip archive, after checking that reading it cannot cost more than its size."""
    try:
        with open(path, "rb") as file:
            first = file.read(64)
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error}") from error
    if git_lfs_pointer(first):
        raise CorruptFileError(
            f"{path} is a git-lfs pointer, not the weights; run 'git lfs pull' to get them"
        )
    if not first:
        raise CorruptFileError(f"{path}: 0 bytes; weights are expected. Download or save it again")
    if not first.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise CorruptFileError(
            f"{path}: {error}. The file is truncated; download or save it again"
        ) from error
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ResourceLimitError(
                f"{path}: the member {shorten(member.filename)} is compressed ({member.compress_size:,} bytes "
                f"become {member.file_size:,}); torch.save writes uncompressed members only. Save the file again"
            )
        if member.filename.endswith("/data.pkl") and member.file_size > limit:
            raise ResourceLimitError(
                f"{path}: a pickle of {member.file_size:,} bytes; at most {limit:,} are read. If you trust the "
                f"file, pass max_header_bytes={member.file_size}"
            )
    return True


def _unpickle(path: str, *, mmap: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except UnpicklingError as error:
        # The original advises to unpickle without restriction, so it is not shown: fault 59 of the design.
        found = _FORBIDDEN.search(str(error))
        what = f"asks for {found[1]!r}" if found else "holds more than tensors, or is damaged"
        raise LoadError(
            f"{path}: the pickle {what}; only tensors are read from pickles. Ask for the weights as safetensors"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = type(error).__name__ if "weights_only" in str(error) else shorten(str(error))
        raise CorruptFileError(f"{path} cannot be read ({reason}). Download or save it again") from None


def _as_tensors(path: str, content: Any) -> dict[str, Tensor]:
    if not isinstance(content, dict):
        raise CorruptFileError(f"{path}: a dictionary of tensors is expected, not {type(content).__name__}")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CorruptFileError(
                f"{path}: {shorten(key)} is of type {type(value).__name__}; a dictionary from names to tensors is "
                "expected. If the weights are inside it, pass them as state_dict=..."
            )
        if value.layout != torch.strided or value.is_quantized:
            raise CorruptFileError(
                f"{path}: {shorten(key)} is sparse or quantised; a dense tensor is expected"
            )
    return dict(content)


def write_torch(
    commit: Commit, name: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Stage ``name`` as ``torch.save`` writes it. The format has no place for metadata."""
    write_with(_save, commit, name, tensors)


def write_with(
    save: Callable[[dict[str, Tensor], Path], object],
    commit: Commit,
    name: str,
    tensors: Mapping[str, Tensor],
) -> None:
    """Stage ``name`` through ``save(tensors, path)``.

    Each tensor has memory of its own, since pickling a view would store everything that it is a view of.
    """
    content = {key: _compact(plain(tensor)) for key, tensor in tensors.items()}
    save(content, commit.reserve(name))


def _compact(tensor: Tensor) -> Tensor:
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _save(content: dict[str, Tensor], path: Path) -> None:
    with io.BufferedWriter(_Sink(path)) as file:
        torch.save(content, file)


class _Sink(io.RawIOBase):
    """A file written through ``_os``; torch's own writer hides why a write failed."""

    def __init__(self, path: Path) -> None:
        self._descriptor = _os.open_file(os.fspath(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while len(rest):
            rest = rest[_os.write(self._descriptor, rest[: 1 << 30]) :]
        return size

    def close(self) -> None:
        if not self.closed:
            super().close()
            _os.close(self._descriptor)
