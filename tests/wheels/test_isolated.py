"""``check_isolated.py`` passes the real wheel and fails each wheel with a planted fault (nox -s isolated)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from planted import plant, run_check, unpack

WHEEL = Path(os.environ["FORMERS_WHEEL"])
MODULE = WHEEL.name.split("-")[0]
SIBLING = "formers_planted"  # no package of this name exists

STATEMENTS = {
    "a sibling that is not a dependency": (f"import {SIBLING}", SIBLING),
    "a package that the wheel does not ask for": ("import a_dependency_that_nobody_declared", "a_dependency"),
    "a name that does not exist": ("from os import a_name_that_does_not_exist", "a_name_that_does_not_exist"),
}


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    return unpack(WHEEL, tmp_path / "wheel")


def check(unpacked: Path) -> tuple[int, str]:
    return run_check("check_isolated.py", [MODULE, "--absent", SIBLING], unpacked, elsewhere=unpacked.parent)


def test_the_real_wheel_passes(unpacked: Path) -> None:
    status, output = check(unpacked)
    assert status == 0, output


@pytest.mark.parametrize("fault", STATEMENTS)
def test_a_planted_import_is_caught(unpacked: Path, fault: str) -> None:
    statement, expected = STATEMENTS[fault]
    plant(unpacked / MODULE / "_version.py", statement)
    status, output = check(unpacked)
    assert status == 1
    assert expected in output


def test_a_sibling_inside_the_wheel_is_caught(unpacked: Path) -> None:
    (unpacked / SIBLING).mkdir()
    (unpacked / SIBLING / "__init__.py").touch()
    status, output = check(unpacked)
    assert status == 1
    assert f"{SIBLING} is importable" in output


def test_missing_type_information_is_caught(unpacked: Path) -> None:
    (unpacked / MODULE / "py.typed").unlink()
    status, output = check(unpacked)
    assert status == 1
    assert "py.typed" in output


def test_a_stale_entry_point_is_caught(unpacked: Path) -> None:
    (metadata,) = unpacked.glob("*.dist-info")
    with (metadata / "entry_points.txt").open("a") as file:
        file.write(f"\n[formers.plugins]\nplanted = {MODULE}.gone:GONE\n")
    status, output = check(unpacked)
    assert status == 1
    assert "gone" in output
