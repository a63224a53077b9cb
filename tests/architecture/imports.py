"""Which module imports what, read from the source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """One import of one module."""

    importer: str  # dotted name of the importing module
    imported: str  # dotted name; of ``from a import b`` the longest part that the statement shows, ``a.b``
    line: int
    eager: bool  # happens when the importer is imported; False inside a function


def module_name(file: Path, source: Path) -> str:
    """The dotted name of a file below a ``src`` folder."""
    parts = file.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: Path) -> Iterator[Import]:
    """Every import below a ``src`` folder, but for those that only a type checker sees."""
    for file in sorted(source.rglob("*.py")):
        name = module_name(file, source)
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        for node, eager in _running_nodes(ast.parse(file.read_text("utf-8")), eager=True):
            for imported in _imported_names(node, package):
                yield Import(name, imported, node.lineno, eager)


def _running_nodes(node: ast.AST, *, eager: bool) -> Iterator[tuple[ast.stmt | ast.expr, bool]]:
    """Statements and calls that run, each with whether importing the module runs it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            for statement in child.orelse:
                yield from _running_nodes(ast.Module([statement], []), eager=eager)
            continue
        if isinstance(child, ast.stmt | ast.expr):
            yield child, eager
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _running_nodes(child, eager=eager and not inside)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _imported_names(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parents, base] if base else parents)
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and _called_name(node.func) in {"import_module", "__import__"}:
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def _called_name(function: ast.expr) -> str | None:
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else None
