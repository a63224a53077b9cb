"""Fake installed distributions: metadata folders and modules in a temporary folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

MANIFEST = """
from formers import Architecture
ARCHITECTURE = Architecture({model_type!r}, config="{package}.configuration:Config", {extra})
"""
CONFIGURATION = """
from formers import PreTrainedConfig
class Config(PreTrainedConfig):
    model_type = {model_type!r}
    size: int = 4
"""


class Site:
    """A folder to be put on an import path, and the distributions written into it."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def module(self, name: str, source: str = "") -> None:
        """Write a module; ``a.b`` becomes the file ``a/b.py`` in a package ``a``."""
        *packages, last = name.split(".")
        folder = self.path.joinpath(*packages)
        folder.mkdir(parents=True, exist_ok=True)
        if packages:
            (folder / "__init__.py").touch()
        (folder / f"{last}.py").write_text(dedent(source), "utf-8")

    def dist(
        self,
        name: str,
        version: str = "1.0.0",
        *,
        models: Mapping[str, str] | None = None,
        hooks: Mapping[str, str] | None = None,
        requires: tuple[str, ...] = (),
        kind: str = "dist-info",
    ) -> Path:
        """Write the metadata of a distribution with entry points; returns its folder."""
        stem = f"{name.replace('-', '_')}-{version}"
        folder = self.path / (
            f"{stem}.dist-info" if kind == "dist-info" else f"{stem.partition('-')[0]}.egg-info"
        )
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (folder / ("METADATA" if kind == "dist-info" else "PKG-INFO")).write_text(
            "\n".join(lines) + "\n", "utf-8"
        )
        text = "[console_scripts]\nsomething = some.module:main\n\n"
        for group, entries in (("formers.models", models), ("formers.plugins", hooks)):
            if entries:
                text += (
                    f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items()) + "\n"
                )
        (folder / "entry_points.txt").write_text(text, "utf-8")
        return folder

    def architecture(self, dist: str, model_type: str, version: str = "1.0.0", extra: str = "") -> str:
        """Write a working plugin; returns the name of its top-level package."""
        package = dist.replace("-", "_")
        self.dist(dist, version, models={model_type: f"{package}.plugin:ARCHITECTURE"})
        self.module(f"{package}.plugin", MANIFEST.format(model_type=model_type, package=package, extra=extra))
        self.module(f"{package}.configuration", CONFIGURATION.format(model_type=model_type))
        return package


def python(
    code: str, *sites: Site | Path, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh process that sees ``sites`` as if they were installed."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FORMERS_")}
    path = [*map(str, sites), *filter(None, [inherited.get("PYTHONPATH")])]
    inherited |= {"PYTHONPATH": os.pathsep.join(path), "HF_HUB_OFFLINE": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(code)],
        capture_output=True,
        text=True,
        env=inherited,
        timeout=120,
    )
    assert not check or done.returncode == 0, done.stderr
    return done
