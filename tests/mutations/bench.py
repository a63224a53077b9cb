"""What mutants are made with: a reduced manifest, and hands that change one thing about a class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_dists import Site

from formers import Architecture
from formers.plugins import hooks, registry
from formers.testing import Subject

__all__ = ["MUTANTS", "Bench", "Mutant", "mutant"]


@dataclass(frozen=True)
class Mutant:
    """A broken plugin, and the check that must catch it."""

    check: str
    make: Callable[[Bench], Subject]

    @property
    def name(self) -> str:
        """What is broken, in words: the function's docstring."""
        return (self.make.__doc__ or "").strip().rstrip(".")


MUTANTS: list[Mutant] = []


def mutant(check: str) -> Callable[[Callable[[Bench], Subject]], Callable[[Bench], Subject]]:
    """Declare a function that breaks something which the check must catch."""

    def declare(make: Callable[[Bench], Subject]) -> Callable[[Bench], Subject]:
        MUTANTS.append(Mutant(check, make))
        return make

    return declare


class Bench:
    """Breaks one thing; everything is put back at the end of the test."""

    def __init__(self, patch: pytest.MonkeyPatch, path: Path) -> None:
        self.patch = patch
        self.path = path

    def subject(self, model_type: str, *autos: str, reference: str | None = None, **fields: Any) -> Subject:
        """An installed architecture with some of its Auto classes only, and other fields of the manifest."""
        found = registry.architecture_for(model_type)
        kept = {name: found.auto[name] for name in autos} if autos else dict(found.auto)
        values = {
            "config": found.config,
            "tokenizer": found.tokenizer,
            "slow_tokenizer": found.slow_tokenizer,
            "auto": kept,
            "tiny": found.tiny,
            "capabilities": found.capabilities,
        }
        registry.register(Architecture(model_type, **{**values, **fields}), exist_ok=True)
        return Subject(model_type, reference=reference)

    def forward(
        self,
        cls: type,
        before: Callable[[Any, dict[str, Any]], None] | None = None,
        after: Callable[[Any, dict[str, Any], Any], Any] | None = None,
    ) -> None:
        """Change what goes into ``forward``, and what comes out; the signature stays."""
        self.method(cls, "forward", before, after)

    def method(
        self,
        cls: type,
        name: str,
        before: Callable[[Any, dict[str, Any]], None] | None = None,
        after: Callable[[Any, dict[str, Any], Any], Any] | None = None,
    ) -> None:
        """Change the arguments of a method, by name, and its result."""
        original = getattr(cls, name)
        signature = inspect.signature(original)

        @functools.wraps(original)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(self, *args, **kwargs)
            values = bound.arguments
            if before is not None:
                before(self, values)
            result = original(*bound.args, **bound.kwargs)
            return result if after is None else after(self, values, result)

        self.patch.setattr(cls, name, method)

    def site(
        self, model_type: str = "acme", extra: str = "", requires: tuple[str, ...] = ("formers>=0.1",)
    ) -> Site:
        """A folder on the import path with an installed plugin that has a configuration and nothing else."""
        site = Site(self.path / "site")
        site.architecture(f"formers-{model_type}", model_type, extra=extra)
        metadata = site.path / f"formers_{model_type}-1.0.0.dist-info" / "METADATA"
        lines = "".join(f"Requires-Dist: {one}\n" for one in requires)
        metadata.write_text(
            metadata.read_text("utf-8") + f"License-Expression: MIT\n{lines}\nA readme.\n", "utf-8"
        )
        (site.path / f"formers_{model_type}" / "py.typed").touch()
        self.patch.syspath_prepend(str(site.path))
        registry.refresh()
        hooks.refresh_plugins()
        return site
