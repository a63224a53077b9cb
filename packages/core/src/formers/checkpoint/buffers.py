"""The bytes of a tensor, without numpy and without a copy."""

from __future__ import annotations

import ctypes

from torch import Tensor

__all__ = ["as_buffer", "plain"]

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
