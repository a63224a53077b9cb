"""The rules of the repository's structure: each takes a ``src`` folder and says what breaks it.

The reasons are in ``docs/adr`` and CONTRIBUTING.md; the tests beside this file apply the rules to the tree
and, as proof that they can fail, to trees with a planted violation.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from imports import Import, imports_of, module_name

# A module may import those of earlier lines and none of later ones; those of one line do not know each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("_version", "errors"),
    ("files",),
    ("plugins",),
    ("config", "outputs", "layout", "cache"),
    ("activations", "attention", "checkpoint", "losses", "tokenization"),
    ("kernels",),
    ("collating",),
    ("modeling",),
    ("generation",),
    ("auto",),
    ("cli", "testing"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# These must be importable where PyTorch is not installed, and quickly.
TORCH_FREE = (
    "_version", "errors", "files", "plugins", "config", "outputs", "tokenization", "collating", "auto", "cli",
)  # fmt: skip
TORCH_FREE_IN_ARCHITECTURES = ("_version", "plugin", "configuration", "tokenization", "collating")
LOADED_LATE = {"formers.plugins.hookspecs"}  # first imported when a hook is first called
HEAVY = {"torch", "numpy", "triton", "huggingface_hub", "pluggy", "importlib_metadata", "google"}

# The only modules that may import a package, at any time.
SOLE_USERS = {
    "huggingface_hub": ("formers.files.hub", "formers.files.resolve", "formers.files.push"),
    "pluggy": ("formers.plugins",),
    "triton": ("formers.kernels",),
    "google": ("formers.tokenization.sentencepiece_files",),
}
NEVER = {"transformers"}
DISTRIBUTIONS = {"google": "protobuf"}  # of packages that are not called like what they are imported as

MODULE_LINES = 400
FUNCTION_LINES = 60


def direction(source: Path) -> Iterator[str]:
    """Modules of the core import leftwards only; see ``LAYERS``."""
    for found in _within(source, "formers"):
        here, there = _part(found.importer), _part(found.imported)
        # formers/__init__.py is the face of all layers
        if here in ("", there) or there in ("", "__version__"):
            continue
        for name in (here, there):
            if name not in RANK:
                yield f"{found.importer}: formers.{name} is in no layer: add it to LAYERS"
        if here in RANK and there in RANK and RANK[there] >= RANK[here]:
            where = f"{found.importer}:{found.line} imports {found.imported}"
            yield f"{where}: {there} is not to the left of {here}"


def boundaries(source: Path, module: str, architectures: Iterable[str]) -> Iterator[str]:
    """An architecture knows the core's public names, never the Auto classes, never another architecture."""
    others = {name for name in architectures if name != module}
    for found in imports_of(source):
        where = f"{found.importer}:{found.line} imports {found.imported}"
        parts = found.imported.split(".")
        if parts[0] in others:
            yield f"{where}: architectures do not know each other"
        if parts[0] in NEVER:
            yield f"{where}: {parts[0]} is for tests only"
        if module == "formers" or parts[0] != "formers":
            continue
        if len(parts) > 1 and (parts[1] == "auto" or parts[1].startswith("Auto")):
            yield f"{where}: an architecture does not know the Auto classes"
        if any(part.startswith("_") and not part.startswith("__") for part in parts):
            yield f"{where}: the name is private to the core"


def torch_free(source: Path, module: str) -> Iterator[str]:
    """Modules that must work without PyTorch import nothing heavy when they are imported."""
    light = TORCH_FREE if module == "formers" else TORCH_FREE_IN_ARCHITECTURES
    for found in imports_of(source):
        here = _part(found.importer)
        if not found.eager or found.importer in LOADED_LATE:
            continue
        if (here in light or here == "") and found.imported.split(".")[0] in HEAVY:
            yield f"{found.importer}:{found.line} imports {found.imported} when it is imported"


def sole_users(source: Path, module: str) -> Iterator[str]:
    """Some dependencies have one place where they are used."""
    for found in imports_of(source):
        package = found.imported.split(".")[0]
        allowed = SOLE_USERS.get(package)
        if allowed is None:
            continue
        if module != "formers":
            allowed = (f"{module}.kernels",) if package == "triton" else ()
        if not any(found.importer == name or found.importer.startswith(f"{name}.") for name in allowed):
            yield f"{found.importer}:{found.line} imports {package}; only {allowed or 'the core'} may"


def declared(source: Path, module: str, dependencies: Iterable[str]) -> Iterator[str]:
    """Every package that is imported is one that the distribution declares, as a dependency or an extra."""
    known = (
        {re.sub(r"[-.]", "_", name).lower() for name in dependencies}
        | {module}
        | set(sys.stdlib_module_names)
    )
    for found in imports_of(source):
        package = found.imported.split(".")[0]
        if DISTRIBUTIONS.get(package, package) not in known:
            yield f"{found.importer}:{found.line} imports {found.imported}, which is not declared"


def sizes(source: Path) -> Iterator[str]:
    """A module has at most 400 lines, a function 60; kernels are loops written out, and may be longer."""
    for file in sorted(source.rglob("*.py")):
        text = file.read_text("utf-8")
        name = module_name(file, source)
        if (lines := text.count("\n")) > MODULE_LINES:
            yield f"{name} has {lines} lines, more than {MODULE_LINES}"
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_kernel(node):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)
            if lines > FUNCTION_LINES:
                yield f"{name}.{node.name} has {lines} lines, more than {FUNCTION_LINES}"


def names(source: Path, model_types: Iterable[str]) -> Iterator[str]:
    """The core names no architecture, in code or in words; data files may."""
    patterns = {name: _name_pattern(name) for name in model_types}
    for file in sorted(source.rglob("*.py")):
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
            for name, pattern in patterns.items():
                if pattern.search(line):
                    yield f"{module_name(file, source)}:{number} names {name}: {line.strip()}"


def _name_pattern(name: str) -> re.Pattern[str]:
    """Matches ``name`` also inside ``NameModel``, ``NAME_``, but a short name never inside a word."""
    word = re.escape(name).replace("\\-", "[-_]?")
    if len(name) > 3:
        return re.compile(word, re.IGNORECASE)
    return re.compile(rf"(?<![A-Za-z0-9])(?:{word}(?![a-z0-9])|{word.upper()}(?![0-9]))")


def _within(source: Path, module: str) -> Iterator[Import]:
    return (found for found in imports_of(source) if found.imported.split(".")[0] == module)


def _part(name: str) -> str:
    """The first name below the top-level package: ``files`` of ``formers.files.folder``."""
    return name.split(".")[1] if "." in name else ""


def _is_kernel(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("triton" in ast.unparse(decorator) for decorator in node.decorator_list)


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node, clean=False) is None:
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1
