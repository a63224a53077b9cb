"""Tensors and their bytes, without numpy and without a copy."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from formers.errors import CorruptFileError

if TYPE_CHECKING:
    from io import BufferedReader, FileIO

__all__ = ["as_buffer", "is_as_stored", "plain", "read_tensor"]

# Bytes that are read before they are converted. Larger pieces are no faster, and where they were freed the allocator
# leaves holes: with 4 MB a process may end up a quarter larger than with these.
_PIECE = 1 << 16
_WRITABLE = 0x200  # PyBUF_WRITE
_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.restype = ctypes.py_object
_view.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)


def as_buffer(tensor: Tensor) -> memoryview:
    """The memory of a contiguous CPU tensor as writable bytes.

    The view does not keep the tensor alive: hold on to the tensor for as long as the view is used.
    """
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise ValueError(f"a contiguous tensor on the CPU is expected, not one on {tensor.device}")
    if tensor.nbytes == 0:
        return memoryview(b"")
    view: memoryview = _view(tensor.data_ptr(), tensor.nbytes, _WRITABLE)
    return view


def plain(tensor: Tensor) -> Tensor:
    """The tensor's values, contiguous on the CPU and without pending conjugation or negation."""
    return tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()


def is_as_stored(stored: torch.dtype, dtype: torch.dtype | None, device: torch.device | None) -> bool:
    """Whether a tensor on the CPU is already of the type and on the device asked for, None asking for no other."""
    return dtype in (None, stored) and (device is None or device.type == "cpu")


def read_tensor(
    file: BufferedReader | FileIO,
    start: int,
    stored: torch.dtype,
    shape: tuple[int, ...],
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """A tensor in memory of its own, from its bytes in an open file.

    What has to be converted or moved is read piece by piece, so that it is never in memory twice.

    Args:
        file: open for reading bytes.
        start: where the tensor's first byte is.
        stored: type of the stored elements.
        shape: of the tensor.
        dtype: of the result; None is ``stored``.
        device: of the result; None is the CPU.

    Raises:
        CorruptFileError: the file ends before the tensor does.
    """
    result = torch.empty(shape, dtype=dtype or stored, device=device or "cpu")
    file.seek(start)
    if result.dtype == stored and result.device.type == "cpu":
        _fill(result, file)
        return result
    flat = result.view(-1)
    piece = torch.empty(max(1, min(len(flat), _PIECE // stored.itemsize)), dtype=stored)
    for place in range(0, len(flat), len(piece)):
        part = piece[: len(flat) - place]
        _fill(part, file)
        flat[place : place + len(part)].copy_(part)
    return result


def _fill(tensor: Tensor, file: BufferedReader | FileIO) -> None:
    rest = as_buffer(tensor)
    while len(rest):
        count = file.readinto(rest)
        if not count:
            raise CorruptFileError(f"{file.name} ends at byte {file.tell()}: truncated meanwhile")
        rest = rest[count:]
