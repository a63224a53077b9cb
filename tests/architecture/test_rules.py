"""The real tree keeps the rules of the architecture."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

import rules
from packaging.requirements import Requirement
from repository import Package

# Architectures that have a package here or will have one; the names of those that exist are added.
ARCHITECTURES = ["bert", "gpt2", "gpt-2", "t5", "llama", "roberta", "mistral", "bart"]


def assert_kept(broken: Iterable[str]) -> None:
    sentences = list(broken)
    assert not sentences, "\n".join(["", *sentences])


def test_the_core_imports_leftwards(core: Package) -> None:
    assert_kept(rules.direction(core.source))


def test_packages_stay_inside_their_boundaries(package: Package, packages: list[Package]) -> None:
    architectures = [other.module for other in packages if not other.is_core]
    assert_kept(rules.boundaries(package.source, package.module, architectures))


def test_light_modules_import_nothing_heavy(package: Package) -> None:
    assert_kept(rules.torch_free(package.source, package.module))


def test_some_dependencies_have_one_user(package: Package) -> None:
    assert_kept(rules.sole_users(package.source, package.module))


def test_every_import_is_declared(package: Package, core: Package) -> None:
    requirements = package.requirements if package.is_core else [*package.requirements, *core.requirements]
    names = [Requirement(requirement).name for requirement in requirements]
    assert_kept(rules.declared(package.source, package.module, names))


def test_sizes(package: Package) -> None:
    assert_kept(rules.sizes(package.source))


def test_the_median_module_is_small(packages: list[Package]) -> None:
    lines = [
        file.read_text("utf-8").count("\n")
        for package in packages
        for file in package.source.rglob("*.py")
        if file.name not in {"__init__.py", "_version.py"}
    ]
    assert statistics.median(lines) <= 150, (
        f"the median of {len(lines)} modules is {statistics.median(lines)} lines"
    )


def test_the_core_names_no_architecture(core: Package, packages: list[Package]) -> None:
    model_types = {*ARCHITECTURES, *(name for package in packages for name in package.published_types)}
    assert_kept(rules.names(core.source, sorted(model_types)))
