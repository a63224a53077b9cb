"""Wheels with something wrong in them: the checks of this folder must notice."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path


def unpack(wheel: Path, folder: Path) -> Path:
    """Unpack a wheel: on ``PYTHONPATH`` the folder stands before the installed package."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def plant(file: Path, statement: str) -> None:
    """Put a statement after the docstring and the ``__future__`` import of a module."""
    marker = "from __future__ import annotations\n"
    text = file.read_text("utf-8")
    assert text.count(marker) == 1, f"{file} has no place to plant a statement"
    file.write_text(text.replace(marker, f"{marker}{statement}\n"), "utf-8")


def run_check(script: str, arguments: list[str], *folders: Path, elsewhere: Path) -> tuple[int, str]:
    """Run a check with unpacked wheels before everything else; the exit status and what it said."""
    path = Path(__file__).parent / script
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(
        [sys.executable, "-P", str(path), *arguments],
        env=environment,
        cwd=elsewhere,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr
