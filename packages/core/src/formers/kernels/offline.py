"""Compiling kernels for a GPU that is not there: do they compile, what do they occupy, which instructions do they use?

Triton brings its own assembler, so that all of this runs on any Linux machine. The interpreter accepts programs that
the compiler refuses, and says nothing about registers: both are needed where there is no GPU.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch

__all__ = ["Compiled", "compile_elsewhere", "compiling_only"]


@dataclass(frozen=True, slots=True)
class Compiled:
    """One kernel, compiled for one kind of call.

    Attributes:
        name: of the function.
        registers: of a thread; 255 at most.
        stack: bytes of a thread that did not fit into registers; more than a few make a kernel slow.
        shared: bytes of shared memory of a program.
        warps: of a program.
        matrix_instructions: how many instructions for the tensor cores the program holds.
        instructions: how many it holds in all.
        constants: its compile-time arguments.
        digest: the same for two launches if one program serves both.
    """

    name: str
    registers: int
    stack: int
    shared: int
    warps: int
    matrix_instructions: int
    instructions: int
    constants: tuple[tuple[str, Any], ...]
    digest: str


@contextlib.contextmanager
def compiling_only(capability: int = 90) -> Iterator[list[Compiled]]:
    """Launches inside compile for that GPU, and run nothing; the results gather in the list.

    Tensors may be anywhere and hold anything; outputs stay as they are. Not for several threads.

    Raises:
        RuntimeError: Triton interprets in this process (TRITON_INTERPRET is set).
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    if triton.knobs.runtime.interpret:
        raise RuntimeError("Kernels are interpreted in this process (TRITON_INTERPRET is set), not compiled.")
    device = mock.Mock()
    device.get_current_target.return_value = GPUTarget("cuda", capability, 32)
    device.get_current_device.return_value = 1000 + capability  # what was compiled is remembered by device
    device.get_current_stream.return_value = 0
    device.get_active_torch_device.return_value = torch.device("cpu")
    tools = Path(triton.__path__[0]) / "backends" / "nvidia" / "bin"
    launch = JITFunction.run
    found: list[Compiled] = []

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        kernel = launch(self, *args, grid=grid, warmup=True, **options)
        constants = tuple((name, value) for name, value in options.items() if name.isupper())
        found.append(_describe(self.fn.__name__, kernel, constants, tools))
        return kernel

    with mock.patch.object(JITFunction, "run", compile_only), _as_driver(driver, device):
        yield found


def compile_elsewhere(code: str, capability: int = 90) -> list[Compiled]:
    """Run Python code that launches kernels, in a process that compiles them: for tests, which interpret.

    Raises:
        RuntimeError: the code failed, the compiler's refusal included; carries the end of its traceback.
    """
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "0",
        "TRITON_DEFAULT_FP_FUSION": "1",
        "FORMERS_LAUNCHES": code,
    }
    command = f"import {__name__} as offline; offline._compile_environment({capability})"
    ran = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise RuntimeError(f"Compiling kernels for capability {capability} failed:\n{ran.stderr[-4000:]}")
    rows = json.loads(ran.stdout.splitlines()[-1])
    return [Compiled(**{**row, "constants": tuple(map(tuple, row["constants"]))}) for row in rows]


def _compile_environment(capability: int) -> None:
    with compiling_only(capability) as found:
        exec(os.environ["FORMERS_LAUNCHES"], {})
    sys.stdout.write(f"\n{json.dumps([asdict(one) for one in found])}\n")


@contextlib.contextmanager
def _as_driver(driver: Any, device: Any) -> Iterator[None]:
    before = driver._active
    driver.set_active(device)
    try:
        yield
    finally:
        driver._active = before


def _describe(name: str, kernel: Any, constants: tuple[tuple[str, Any], ...], tools: Path) -> Compiled:
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "kernel.cubin"
        binary.write_bytes(kernel.asm["cubin"])
        usage = _run(tools / "cuobjdump", "--dump-resource-usage", binary)
        assembly = _run(tools / "nvdisasm", "-c", binary)
    numbers = {key: int(value) for key, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}
    return Compiled(
        name,
        registers=numbers["REG"],
        stack=numbers["STACK"] + numbers["LOCAL"],
        shared=kernel.metadata.shared,
        warps=kernel.metadata.num_warps,
        matrix_instructions=len(re.findall(r"\bH?G?MMA\.", assembly)),
        instructions=len(re.findall(r"/\*[0-9a-f]{4,}\*/", assembly)),
        constants=constants,
        digest=kernel.hash,
    )


def _run(*command: object) -> str:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
