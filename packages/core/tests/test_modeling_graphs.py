"""What a CUDA graph is recorded with; that a GPU records it, tests/integration/test_captured_steps.py tries on one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from formers.modeling import graphs

DEVICE = torch.device("cuda", 0)


class Stream:
    """Notes who waits for whom."""

    def __init__(self, name: str = "", log: list[str] | None = None) -> None:
        self.name, self.log, self.cuda_stream = name or "aside", log, 7

    def wait_stream(self, other: Stream) -> None:
        (self.log if self.log is not None else other.log).append(f"{self.name} waits for {other.name}")  # type: ignore[union-attr]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A CUDA that only notes what it is told."""
    told: list[str] = []

    @contextmanager
    def inside(what: str) -> Iterator[None]:
        told.append(f"begin {what}")
        yield
        told.append(f"end {what}")

    class Graph:
        def replay(self) -> None:
            told.append("replay")

    def capturing(graph: Any, *, stream: Stream, capture_error_mode: str) -> Any:
        assert isinstance(graph, Graph)
        return inside(f"capture on {stream.name}, {capture_error_mode}")

    monkeypatch.setattr(torch.cuda, "device", lambda device: inside(str(device)))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: inside(stream.name))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: Stream("here", told))
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capturing)
    return told


def test_work_is_warmed_up_aside(log: list[str]) -> None:
    graphs.CudaRecorder(DEVICE).warm_up(lambda: log.append("work"))
    assert log == [
        "begin cuda:0",
        "aside waits for here",
        "begin aside",
        *["work"] * 3,
        "end aside",
        "here waits for aside",
        "end cuda:0",
    ]


def test_work_is_captured_once_without_the_cache_of_autocast(log: list[str]) -> None:
    def work() -> str:
        log.append(f"work, cache {torch.is_autocast_cache_enabled()}")
        return "made"

    recorder = graphs.CudaRecorder(DEVICE)
    made, replay = recorder.capture(work)
    assert made == "made"
    assert torch.is_autocast_cache_enabled()
    replay()
    capture = "capture on aside, thread_local"
    assert log == [
        "begin cuda:0",
        f"begin {capture}",
        "work, cache False",
        f"end {capture}",
        "end cuda:0",
        "replay",
    ]
    assert recorder.place() == (DEVICE, 7)

    def fail() -> None:
        raise RuntimeError("not permitted")

    with pytest.raises(RuntimeError, match="not permitted"):
        recorder.capture(fail)
    assert torch.is_autocast_cache_enabled()


def test_other_devices_record_nothing() -> None:
    assert graphs.reason_against(DEVICE) == ""
    assert graphs.reason_against(torch.device("cpu")) == "only a CUDA device records graphs, and this is cpu"
