"""The public API as text, one line for each name, parameter list and method; docs/public-api.txt is its snapshot.

    python tools/public_api.py                                      # compare; exit status 1 if anything differs
    python tools/public_api.py --write changelog.d/formers.word.md  # accept a change, which that fragment describes

Public are the names in ``__all__`` of ``formers`` and of the model packages; and, as the interface for plugins, what
the packages of this repository import from the core's modules.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["SNAPSHOT", "describe", "fragment_of", "main", "render"]

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOT = ROOT / "docs" / "public-api.txt"
MODELS = ("formers_bert", "formers_gpt2", "formers_t5")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_HEAD = "# Last change described by: "


def render() -> str:
    """The whole API as it is now."""
    import formers
    from formers.plugins.manifest import API_VERSION

    lines = [f"formers, plugin interface {'.'.join(map(str, API_VERSION))}", ""]
    for module in ("formers", *MODELS):
        imported = importlib.import_module(module)
        for name in sorted(imported.__all__):
            if not name.startswith("__"):
                lines += describe(f"{module}.{name}", getattr(imported, name))
    lines += ["", "What plugins may import from the modules of the core", ""]
    for path in sorted(_interface()):
        module, _, name = path.rpartition(".")
        if module != formers.__name__:
            lines += describe(path, getattr(importlib.import_module(module), name))
    return "\n".join(lines) + "\n"


def _interface() -> set[str]:
    """The names that the sources of models and plugins import from the core, as "module.Name"."""
    found = set()
    sources = (*ROOT.glob("packages/models-*/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py"))
    for source in (path for path in sources if "kernels" not in path.parts):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            module = node.module if isinstance(node, ast.ImportFrom) and not node.level else None
            if module is not None and module.partition(".")[0] == "formers":
                found |= {f"{module}.{alias.name}" for alias in node.names}  # type: ignore[attr-defined]
    return found


def describe(path: str, value: Any) -> list[str]:
    """Lines for one name: what it is, how it is called, and the same for the public methods that a class defines."""
    if inspect.ismodule(value):
        return [f"{path} (module)"]
    if not isinstance(value, type):
        return [f"{path}{_call(value)}" if callable(value) else f"{path}: {type(value).__name__}"]
    bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
    lines = [f"{path}{_call(value)}" + (f" <- {bases}" if bases else "")]
    return lines + [f"    {line}" for line in _members(value)]


def _members(cls: type) -> Iterator[str]:
    """The public members of a class and of those of its bases that are not public themselves."""
    import formers

    public = {getattr(formers, name) for name in formers.__all__} - {cls}
    described = {base for known in public.intersection(cls.__mro__) for base in known.__mro__}
    own: dict[str, Any] = {}
    for base in cls.__mro__:
        if base is cls or (base not in described and base.__module__.startswith("formers")):
            own = {**vars(base), **own}
    for name, member in sorted(own.items()):
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            yield f"{name} (property)"
        elif isinstance(member, staticmethod | classmethod):
            yield f"{name}{_call(member.__func__)} ({type(member).__name__})"
        elif callable(member) and not isinstance(member, type):
            yield f"{name}{_call(member)}"


def _call(value: Any) -> str:
    """Parameters with their defaults, without annotations: those are refined without anybody noticing."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return "(...)"
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return _ADDRESS.sub("", str(inspect.Signature(bare)))


def fragment_of(snapshot: str) -> str:
    """The changelog fragment that a snapshot names."""
    return snapshot.partition("\n")[0].removeprefix(_HEAD)


def main(arguments: list[str] | None = None) -> int:
    """Compare, or write; see above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--write", metavar="FRAGMENT", help="the changelog fragment that describes the change"
    )
    fragment = parser.parse_args(arguments).write
    text = render()
    if fragment is not None:
        if not (ROOT / fragment).is_file():
            print(
                f"{fragment} does not exist; describe the change there, then write the snapshot.",
                file=sys.stderr,
            )
            return 1
        SNAPSHOT.write_text(f"{_HEAD}{fragment}\n{text}", "utf-8")
        return 0
    _, _, known = SNAPSHOT.read_text("utf-8").partition("\n")
    changes = list(
        difflib.unified_diff(known.splitlines(), text.splitlines(), "snapshot", "now", n=0, lineterm="")
    )
    print("\n".join(changes) or "The public API is that of the snapshot.")
    return 1 if changes else 0


if __name__ == "__main__":
    raise SystemExit(main())
