"""Whole Python processes: how long they take, and what they say."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path


def run(code: str, *arguments: str, path: Path | None = None) -> str:
    """Run a program in a fresh interpreter, with one more folder on its import path; what it printed."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    if path is not None:
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{path}{os.pathsep}{known}" if known else str(path)
    command = [sys.executable, "-P", "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"the program\n{code}\nfailed:\n{done.stderr}")
    return done.stdout.strip()


def median_times(
    programs: Mapping[str, tuple[str, Path | None]], argument: str, repeats: int
) -> dict[str, float]:
    """Milliseconds that each program takes from start to exit: medians of runs that take turns."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(repeats + 1):
        for name, (code, path) in programs.items():
            started = time.perf_counter()
            run(code, argument, path=path)
            if turn:  # the first round only warms the file cache
                times[name].append(1000 * (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in times.items()}
