"""benchmarks/gpu.py runs anywhere with tiny sizes, and keeps its promise: no figure for an arm that is wrong."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_benchmark"] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("part", ["bert", "decode", "t5"])
def test_the_programs_run(gpu: ModuleType, part: str) -> None:
    for figure in gpu.PARTS[part](gpu.SMOKE):
        assert figure.milliseconds is not None, figure.note
        assert figure.error is not None
        assert figure.error < 1e-4


def test_a_wrong_arm_gets_no_figure(gpu: ModuleType) -> None:
    expected = torch.ones(4)
    arms = [
        gpu.Arm("right", lambda: None, lambda: expected),
        gpu.Arm("wrong", lambda: pytest.fail("it was timed"), lambda: expected * 1.1),
        gpu.Arm("nothing", lambda: pytest.fail("it was timed"), lambda: expected * torch.nan),
        gpu.Arm("refusing", lambda: None, lambda: exec("raise ValueError('cannot')")),
    ]
    figures = gpu.measure("part", "case", arms, expected, 0.05, gpu.SMOKE, 10)
    assert [one.milliseconds is None for one in figures] == [False, True, True, True]
    assert "wrong: its error is 0.1, more than 0.05" in gpu.markdown(figures)
    assert "ValueError: cannot" in gpu.markdown(figures)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, and this would measure it")
def test_without_a_gpu_there_are_no_figures() -> None:
    done = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "No GPU" in done.stderr
