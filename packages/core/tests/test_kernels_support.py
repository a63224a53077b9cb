"""Whether kernels can run is known without Triton, and said with reasons."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from formers.attention import AttentionRequest
from formers.kernels import support

REFUSED = {"probs": "no probabilities", "cache": "no cache"}


def reasons(device: str = "cpu", **changes: Any) -> tuple[str, ...]:
    options: dict[str, Any] = {"dtype": torch.float16, "heads": 2, "head_dim": 64, **changes}
    request = AttentionRequest("toy", "encode", device, **options)
    return support.reasons_against(request, REFUSED)


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton is there, and interprets."""
    monkeypatch.setattr(support, "find_spec", lambda name: object())
    monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.mark.usefixtures("triton")
def test_what_can_be_served() -> None:
    assert reasons() == ()
    assert reasons(head_dim=128, dtype=torch.bfloat16, needs=frozenset({"packed", "dropout"})) == ()


@pytest.mark.usefixtures("triton")
def test_every_reason_is_given() -> None:
    found = reasons(head_dim=130, dtype=torch.float64, needs=frozenset({"probs", "cache", "causal"}))
    assert found == (
        "no probabilities",
        "no cache",
        "dtype float64 is none of float32, float16, bfloat16",
        "heads of 130 are wider than 128",
    )


@pytest.mark.usefixtures("triton")
def test_a_cpu_needs_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    (reason,) = reasons()
    assert "run on cuda, not on cpu" in reason


@pytest.mark.usefixtures("triton")
def test_an_old_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert reasons("cuda") == ("the GPU has compute capability 7.5, below 8.0",)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    assert reasons("cuda") == ()


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "find_spec", lambda name: None)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert reasons("cuda") == ("triton is not installed (pip install triton, on Linux)",)
    (reason,) = reasons("cpu")
    assert "not on cpu" in reason, "installing Triton would not help"
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert "not installed" in reasons("cpu")[0]


def test_the_interpreter_is_never_chosen_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert support.priority() < 0
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    assert support.priority() > 10


def test_asking_imports_no_triton() -> None:
    code = (
        "import sys, formers.kernels.support, formers.kernels.spans, formers.kernels.tables, formers.kernels.parity\n"
        "assert 'triton' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
