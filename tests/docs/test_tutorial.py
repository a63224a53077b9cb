"""The commands of docs/tutorial.md, typed as written into a fresh environment, print what the page says.

A line ``...`` stands for any lines, `` ... `` within a line for any text. The environment sees the packages of the one
that runs this test, so that nothing large is installed twice.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

MODULES = {"formers": ["python", "-m", "formers.cli"], "pytest": ["python", "-m", "pytest"]}
PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"


def typed() -> list[tuple[str, str]]:
    """Each command with the output that follows it."""
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE) if part]
    return [tuple(part.split("\n", 1)) for part in parts]  # type: ignore[misc]


def pattern(expected: str) -> str:
    """A regular expression for the output that a page shows."""
    lines = []
    for line in expected.splitlines():
        words = r".*".join(re.escape(part.strip()) for part in line.split(" ... "))
        lines.append(r"(?:.*\n)*?" if line == "..." else rf"\s*{words}\s*\n")
    return "".join(lines)


@pytest.mark.slow
def test_the_tutorial_works_as_typed(tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    purelib = sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)})
    seen = sysconfig.get_path("purelib")
    (Path(purelib) / "zz_outer.pth").write_text(f"import site; site.addsitedir({seen!r})\n")
    binaries = Path(sysconfig.get_path("scripts"))
    path = os.pathsep.join([str(environment / "bin"), str(binaries), os.environ["PATH"]])
    settings = {**os.environ, "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "OMP_NUM_THREADS": "1"}
    folder = tmp_path
    commands = typed()
    assert len(commands) >= 8
    for command, expected in commands:
        if command.startswith("cd "):
            folder /= command.removeprefix("cd ")
            continue
        words = shlex.split(command)
        # The scripts of the outer environment belong to its interpreter.
        words[:1] = MODULES.get(words[0], words[:1])
        words[0] = str(environment / "bin" / words[0])
        done = subprocess.run(words, cwd=folder, env=settings, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert re.fullmatch(pattern(expected), done.stdout), f"{command}\n{done.stdout}"
