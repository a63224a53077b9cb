"""The packages of this repository, found by their ``pyproject.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Package:
    folder: Path
    module: str
    project: dict[str, Any]

    @property
    def source(self) -> Path:
        return self.folder / "src"

    @property
    def is_core(self) -> bool:
        return bool(self.project["name"] == "formers")

    @property
    def model_types(self) -> list[str]:
        return list(self.project.get("entry-points", {}).get("formers.models", {}))

    @property
    def published_types(self) -> list[str]:
        """Those that the core may tell people to install; what is under plugins/ are examples."""
        return self.model_types if self.folder.parent.name == "packages" else []

    @property
    def requirements(self) -> list[str]:
        """Everything that the distribution may ask for, its extras included."""
        optional = self.project.get("optional-dependencies", {})
        return [
            *self.project.get("dependencies", []),
            *(entry for extra in optional.values() for entry in extra),
        ]


def read(folder: Path) -> Package:
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    (module,) = (init.parent.name for init in folder.glob("src/*/py.typed"))
    return Package(folder, module, project)


PACKAGES = [
    read(path.parent)
    for kind in ("packages", "plugins")
    for path in sorted(ROOT.glob(f"{kind}/*/pyproject.toml"))
]
