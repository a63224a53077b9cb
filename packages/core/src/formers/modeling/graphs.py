"""Recording what a device is told to do, to have it done again without telling it anew.

Launching a kernel takes the host some microseconds, more than many kernels of a small model run. A CUDA graph is
recorded once and replayed with a single launch. It reads and writes the memory that it was recorded with: whoever uses
one copies inputs into that memory before a replay, and copies results out of it behind one.

None of this has run on a GPU yet; the tests replay with a stand-in on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

import torch

__all__ = ["CudaRecorder", "Recorder", "reason_against"]

T = TypeVar("T")

_WARM_UPS = 3


class Recorder(Protocol):
    """Records work on one device."""

    def place(self) -> Hashable:
        """Where a replay would run now; work that was recorded in one place is not replayed in another."""
        ...

    def warm_up(self, work: Callable[[], object]) -> None:
        """Run the work some times, so that whatever happens only once is behind it."""
        ...

    def capture(self, work: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        """What the work returns, and what does the work again into the same tensors; it is not done yet.

        Raises:
            RuntimeError: the work does what cannot be recorded, such as reading a value from the device.
        """
        ...


class CudaRecorder:
    """Records a ``torch.cuda.CUDAGraph``.

    Args:
        device: of type cuda.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def place(self) -> Hashable:
        """See :meth:`Recorder.place`: a stream, since graphs on two streams would not wait for each other."""
        return self._device, torch.cuda.current_stream(self._device).cuda_stream

    def warm_up(self, work: Callable[[], object]) -> None:
        """See :meth:`Recorder.warm_up`: on a stream of its own, as PyTorch asks for before a capture."""
        with torch.cuda.device(self._device):
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(_WARM_UPS):
                    work()
            here.wait_stream(aside)

    def capture(self, work: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        """See :meth:`Recorder.capture`. Other threads may use the device meanwhile."""
        graph = torch.cuda.CUDAGraph()
        cached = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)  # what it keeps of weights would be freed before a replay
        try:
            with torch.cuda.device(self._device):
                aside = torch.cuda.Stream()  # PyTorch's own for captures may belong to another device
                with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
                    made = work()
        finally:
            torch.set_autocast_cache_enabled(cached)
        return made, graph.replay


def reason_against(device: torch.device) -> str:
    """Why nothing can be recorded on a device; empty if it can."""
    return "" if device.type == "cuda" else f"only a CUDA device records graphs, and this is {device}"
