"""Every package is described alike, and the tables that name packages or versions agree with each other."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from repository import Package


def lower_bound(requirement: str) -> str:
    (bound,) = (
        specifier.version for specifier in Requirement(requirement).specifier if specifier.operator == ">="
    )
    return bound


def test_a_package_has_the_shape_of_every_other(package: Package) -> None:
    assert package.project["license"] == "Apache-2.0"
    assert package.project["requires-python"] == ">=3.11"
    assert package.project["dynamic"] == ["version"]
    assert package.module == package.project["name"].replace("-", "_")
    assert (package.source / package.module / "_version.py").is_file()
    for file in ("README.md", "LICENSE", "tests"):
        assert (package.folder / file).exists(), f"{package.project['name']} has no {file}"


def test_the_license_is_the_repository_s(package: Package, root: Path) -> None:
    assert (package.folder / "LICENSE").read_bytes() == (root / "LICENSE").read_bytes()


def test_lower_bounds_agree_with_the_one_table(packages: list[Package], root: Path) -> None:
    table = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["formers"]["lower-bounds"]
    ours = {package.project["name"] for package in packages}
    used: set[str] = set()
    for package in packages:
        for requirement in package.requirements:
            name = Requirement(requirement).name
            if name in ours:
                continue
            assert name in table, (
                f"{package.project['name']} needs {name}, which has no lower bound in pyproject.toml"
            )
            assert lower_bound(requirement) == table[name], f"{package.project['name']}: {requirement}"
            used.add(name)
    assert used == set(table), f"no package needs {set(table) - used}"


def test_the_core_asks_for_no_architecture(core: Package, packages: list[Package]) -> None:
    ours = {package.project["name"] for package in packages}
    assert not ours & {Requirement(requirement).name for requirement in core.project["dependencies"]}


def test_an_architecture_asks_for_a_range_of_the_core(package: Package) -> None:
    if package.is_core:
        return
    (core,) = (
        entry for entry in map(Requirement, package.project["dependencies"]) if entry.name == "formers"
    )
    assert {specifier.operator for specifier in core.specifier} == {">=", "<"}, "a range, never one version"


def test_the_extras_name_the_architectures_that_exist(
    core: Package, packages: list[Package], root: Path
) -> None:
    models = [
        package for package in packages if package.folder.parent == root / "packages" and not package.is_core
    ]
    extras = core.project["optional-dependencies"]
    for package in models:
        extra = package.project["name"].removeprefix("formers-")
        (requirement,) = extras.get(extra, [""])
        assert requirement.startswith(package.project["name"]), (
            f"formers[{extra}] does not install {package.project['name']}"
        )
    assert sorted(extras["all"]) == sorted(
        entry for package in models for entry in extras[package.project["name"].removeprefix("formers-")]
    )


def test_the_install_hints_name_the_architectures_that_exist(core: Package, packages: list[Package]) -> None:
    catalogue = json.loads((core.source / "formers" / "plugins" / "catalogue.json").read_text("utf-8"))[
        "packages"
    ]
    for package in packages:
        for model_type in package.published_types:
            assert canonicalize_name(catalogue[model_type]) == canonicalize_name(package.project["name"])
