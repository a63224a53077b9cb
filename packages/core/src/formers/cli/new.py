"""``formers plugins new``: a complete package for an architecture of one's own, to start from."""

from __future__ import annotations

import argparse
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from formers import __version__
from formers.errors import ConfigValidationError, FormersError, shorten
from formers.plugins import catalogue, discovery
from formers.plugins.manifest import API_VERSION

__all__ = ["add_arguments", "render", "run"]

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_SUFFIX = ".in"  # of the files of the template, so that nothing takes them for what they make


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The name, and where the package is written."""
    parser.add_argument("name", metavar="NAME", help="the model_type, such as acme or acme-v2")
    parser.add_argument(
        "--folder", type=Path, help="where to write it; formers-NAME in this folder by default"
    )


def run(options: argparse.Namespace) -> int:
    """Write the package and say what comes next."""
    _refuse_taken(options.name)
    content = render(options.name)
    folder: Path = options.folder or Path(f"formers-{options.name.replace('_', '-')}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FormersError(
            f"{folder} is there already and is not an empty folder; choose another with --folder."
        )
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    print(f"Wrote {len(content)} files to {folder}. Next:\n")
    print(f'    cd {folder}\n    pip install -e . "formers[testing]"\n    pytest')
    return 0


def render(name: str) -> dict[str, str]:
    """The files of a package by their names.

    Args:
        name: the model type. ``acme-v2`` gives the distribution ``formers-acme-v2``, the module
            ``formers_acme_v2`` and classes such as ``AcmeV2Model``.

    Raises:
        ConfigValidationError: the name cannot be one.
    """
    if not _NAME.fullmatch(name):
        raise ConfigValidationError(
            f"{shorten(name)} cannot be a model type; expected small letters and digits, beginning with a letter, with "
            "single - or _ between words, such as acme or acme-v2."
        )
    words = re.split("[-_]", name)
    major, minor = __version__.split(".")[:2]
    values = {
        "model_type": name,
        "dist": f"formers-{'-'.join(words)}",
        "module": f"formers_{'_'.join(words)}",
        "Name": "".join(word[0].upper() + word[1:] for word in words),
        "api": ".".join(map(str, API_VERSION)),
        "core": f"{major}.{minor}",
        "next": f"{major}.{int(minor) + 1}",
    }
    root = files("formers.cli").joinpath("template")
    return {
        path.replace("/module/", f"/{values['module']}/").removesuffix(_SUFFIX): Template(text).substitute(
            values
        )
        for path, text in _texts(root, "")
    }


def _texts(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            found += _texts(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            found.append((prefix + entry.name, entry.read_text("utf-8")))
    return found


def _refuse_taken(name: str) -> None:
    installed = discovery.index().providers(discovery.MODELS, name)
    owner = installed[0].dist if installed else catalogue.packages().get(name)
    if owner is not None:
        raise FormersError(f"The model type {name!r} belongs to {owner}; choose a name that is not taken.")
