"""``check_light.py`` passes the real wheels and fails those that import PyTorch (nox -s core_light)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from planted import plant, run_check, unpack

CORE, *ARCHITECTURES = map(Path, os.environ["FORMERS_WHEELS"].split(os.pathsep))
MODULES = [wheel.name.split("-")[0] for wheel in ARCHITECTURES]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    wheels = {"formers": CORE, **dict(zip(MODULES, ARCHITECTURES, strict=True))}
    return {module: unpack(wheel, tmp_path / module) for module, wheel in wheels.items()}


def check(folders: dict[str, Path], *modules: str) -> tuple[int, str]:
    elsewhere = folders["formers"].parent
    return run_check("check_light.py", list(modules), *folders.values(), elsewhere=elsewhere)


@pytest.mark.parametrize(
    "modules", [(), *((module,) for module in MODULES)], ids=lambda names: "-".join(names) or "core"
)
def test_the_real_wheels_pass(folders: dict[str, Path], modules: tuple[str, ...]) -> None:
    status, output = check(folders, *modules)
    assert status == 0, output


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("file", ["plugin.py", "configuration.py", "tokenization.py"])
def test_pytorch_in_a_light_module_is_caught(folders: dict[str, Path], module: str, file: str) -> None:
    plant(folders[module] / module / file, "import torch")
    status, output = check(folders, module)
    assert status != 0
    assert "No module named 'torch'" in output


@pytest.mark.parametrize("module", MODULES)
def test_a_heavy_package_that_happens_to_be_installed_is_caught(
    folders: dict[str, Path], module: str
) -> None:
    """numpy may be there by chance; importing it must fail the check all the same."""
    (folders["formers"] / "numpy.py").touch()
    plant(folders[module] / module / "configuration.py", "import numpy")
    status, output = check(folders, module)
    assert status != 0
    assert "['numpy']" in output


def test_pytorch_in_the_core_is_caught(folders: dict[str, Path]) -> None:
    plant(folders["formers"] / "formers" / "__init__.py", "import torch")
    status, output = check(folders)
    assert status != 0
    assert "No module named 'torch'" in output


def test_an_environment_with_pytorch_proves_nothing(folders: dict[str, Path]) -> None:
    (folders["formers"] / "torch.py").touch()
    status, output = check(folders)
    assert status != 0
    assert "proves nothing" in output
