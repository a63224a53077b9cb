"""Is an installed package whole on its own? Run by a clean environment's interpreter, from another folder.

Usage: ``python -I check_isolated.py MODULE [--absent SIBLING ...]``. Only the standard library is used, so
that nothing is installed here that the package might have forgotten to ask for. Exits with 1 and the reasons.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
import traceback
from pathlib import Path


def modules_of(name: str) -> list[str]:
    """The package and all its modules, but for kernels, which need an extra."""
    package = importlib.import_module(name)
    found = [info.name for info in pkgutil.walk_packages(package.__path__, f"{name}.", onerror=_raise)]
    return [
        name,
        *(module for module in found if ".kernels" not in module and not module.endswith("__main__")),
    ]


def _raise(name: str) -> None:
    raise ImportError(f"{name} cannot be imported")


def import_failures(name: str) -> list[str]:
    """What goes wrong when every module of the package is imported."""
    failures = []
    try:
        modules = modules_of(name)
    except Exception:
        return [f"importing {name} failed:\n{traceback.format_exc()}"]
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception:
            failures.append(f"importing {module} failed:\n{traceback.format_exc()}")
    return failures


def contents_failures(name: str, absent: list[str]) -> list[str]:
    """Missing parts of the package, and packages that should not be here."""
    failures = []
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return [f"{name} is not installed"]
    folder = Path(spec.origin).parent
    if not (folder / "py.typed").is_file():
        failures.append(f"{name} has no py.typed: its annotations would be ignored")
    if "src" in folder.parts:
        failures.append(f"{name} is imported from a source tree, {folder}")
    for sibling in absent:
        if importlib.util.find_spec(sibling) is not None:
            failures.append(f"{sibling} is importable, although {name} does not depend on it")
    return failures


def entry_point_failures(name: str) -> list[str]:
    """Entry points of the package that cannot be loaded."""
    failures = []
    groups = ("formers.models", "formers.plugins", "console_scripts")
    for point in (point for group in groups for point in importlib.metadata.entry_points(group=group)):
        if point.value.split(":")[0].split(".")[0] != name:
            continue
        try:
            point.load()
        except Exception:
            failures.append(f"entry point {point.name} = {point.value} failed:\n{traceback.format_exc()}")
    return failures


def main() -> int:
    """Print what is wrong, or how much was looked at."""
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("--absent", nargs="*", default=[])
    arguments = parser.parse_args()
    failures = contents_failures(arguments.module, arguments.absent)
    failures += import_failures(arguments.module) + entry_point_failures(arguments.module)
    for failure in failures:
        print(failure, file=sys.stderr)
    if not failures:
        print(f"{arguments.module}: {len(modules_of(arguments.module))} modules imported, nothing missing")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
