"""Which imported modules belong to another architecture. No torch here."""

from __future__ import annotations

from formers.plugins import discovery
from formers.testing.subject import Subject

__all__ = ["foreign_modules"]


def foreign_modules(subject: Subject, modules: list[str]) -> list[str]:
    """Modules of other architectures' packages, but for their hooks and what those bring along: private modules."""
    found = discovery.index().found
    own = subject.provider.packages()
    others = {one.package for one in found if one.group == discovery.MODELS} - own
    hooks = {one.value.partition(":")[0] for one in found if one.group == discovery.HOOKS}
    return [
        name
        for name in modules
        if name.partition(".")[0] in others
        and name not in hooks
        and not name.partition(".")[2].startswith("_")
        if "." in name
    ]
