"""What the core knows about packages that need not be installed agrees with those packages."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from repository import Package

CLASS = re.compile(r'"[\w.]+:([A-Z]\w*[a-z]\w*)"')  # no CONSTANT


@pytest.fixture
def catalogue(core: Package) -> dict[str, Any]:
    path = core.source / "formers" / "plugins" / "catalogue.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def test_a_package_provides_what_the_catalogue_says(package: Package, catalogue: dict[str, Any]) -> None:
    name = canonicalize_name(package.project["name"])
    promised = {kind for kind, dist in catalogue["packages"].items() if canonicalize_name(dist) == name}
    assert promised == set(package.published_types)


def test_the_prefixes_are_those_of_the_classes(package: Package, catalogue: dict[str, Any]) -> None:
    """``from formers import SomeModel`` names the package by the prefix of the class."""
    manifest = package.source / package.module / "plugin.py"
    if not package.published_types:
        return
    classes = set(CLASS.findall(manifest.read_text("utf-8")))
    assert classes, f"{manifest} names no class"
    ours = tuple(
        prefix for prefix, kind in catalogue["class_prefixes"].items() if kind in package.published_types
    )
    assert {name for name in classes if not name.startswith(ours)} == set()
