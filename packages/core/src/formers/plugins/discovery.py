"""Which plugins are installed, read from package metadata without importing any of them.

The metadata folders on ``sys.path`` are scanned once per process, at the first question. With many packages
installed the standard library's reader and its backport cost five times as much, and importing the backport
changes the standard library's finder for the whole process; it is asked only about what a scan cannot read:
archives, eggs, foreign finders.
"""

from __future__ import annotations

import os
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

__all__ = ["GROUPS", "HOOKS", "MODELS", "Found", "Index", "canonical", "index", "refresh", "scan"]

MODELS = "formers.models"
"""Entry-point group with one line per model type; the value is an ``Architecture``."""
HOOKS = "formers.plugins"
"""Entry-point group of modules with hook implementations."""
GROUPS = (MODELS, HOOKS)

_KNOWN_FINDERS = ("_frozen_importlib_external", "importlib", "importlib_metadata")


class Found:
    """One entry point of one installed distribution.

    ``name = value`` is its line in ``group``; ``location`` is the metadata folder that it was read from.
    """

    __slots__ = ("dist", "group", "location", "name", "value", "version")

    def __init__(self, name: str, value: str, group: str, dist: str, version: str, location: str) -> None:
        self.name = name
        self.value = value
        self.group = group
        self.dist = dist
        self.version = version
        self.location = location

    @property
    def label(self) -> str:
        """Distribution and version, as messages show them."""
        return f"{self.dist} {self.version}".rstrip()

    @property
    def package(self) -> str:
        """The top-level module that the entry point refers to."""
        return self.value.partition(":")[0].partition(".")[0]

    def __repr__(self) -> str:
        return f"Found({self.name} = {self.value}, {self.group} of {self.label} in {self.location})"


class Index:
    """The entry points in use, and those of further copies of a distribution that an earlier one hides."""

    __slots__ = ("_by_name", "found", "shadowed")

    def __init__(self, found: Iterable[Found], shadowed: Iterable[Found] = ()) -> None:
        self.found = tuple(sorted(found, key=lambda one: (one.group, one.name, one.dist)))
        self.shadowed = tuple(shadowed)
        self._by_name: dict[tuple[str, str], dict[str, Found]] = {}
        for one in self.found:
            self._by_name.setdefault((one.group, one.name), {}).setdefault(one.dist, one)

    def providers(self, group: str, name: str) -> tuple[Found, ...]:
        """The entry points of one name, one per distribution, ordered by its name and not by path."""
        return tuple(self._by_name.get((group, name), {}).values())

    def names(self, group: str) -> list[str]:
        """The names in a group, sorted, each once."""
        return [name for kind, name in self._by_name if kind == group]

    def dists(self) -> set[str]:
        """The distributions that have entry points for us."""
        return {one.dist for one in self.found}


_lock = threading.Lock()
_index: Index | None = None


def index() -> Index:
    """The entry points installed in this process; scanned once, at the first call."""
    global _index
    if _index is None:
        with _lock:
            if _index is None:
                _index = scan(sys.path)
    return _index


def refresh() -> None:
    """Forget the scan, so that the next question sees what has been installed since."""
    global _index
    with _lock:
        _index = None


def scan(path: Iterable[str]) -> Index:
    """Read the entry points of our groups along an import path, first copy of a distribution first."""
    seen: set[str] = set()
    found: list[Found] = []
    shadowed: list[Found] = []
    for entry in dict.fromkeys(os.path.abspath(entry) for entry in path):
        for dist, version, location, text in _metadata(entry):
            target = shadowed if dist in seen else found
            seen.add(dist)
            target.extend(_entries(text, dist, version, location))
    for dist, version, location, text in _foreign(path):
        if dist not in seen:
            found.extend(_entries(text, dist, version, location))
    return Index(found, shadowed)


def canonical(name: str) -> str:
    """A distribution's name as packaging tools compare it: lower case, words joined by '-'."""
    words = name.lower().replace("_", "-").replace(".", "-").split("-")
    return "-".join(word for word in words if word)


def _metadata(folder: str) -> Iterator[tuple[str, str, str, str]]:
    """(distribution, version, location, text of its entry points) of each metadata folder in a folder."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))]
    except NotADirectoryError:
        yield from _ask_library(path=[folder])  # an archive
        return
    except OSError:
        return  # import treats a missing or unreadable folder in the same way
    if folder.endswith(".egg"):
        yield from _ask_library(path=[folder])
        return
    copies = [_Copy(name) for name in names if not name.startswith("~")]  # what a failed uninstall leaves
    for copy in sorted(copies, key=_Copy.preference):
        location = os.path.join(folder, copy.name)
        text = _read(os.path.join(location, "entry_points.txt"))
        version = _egg_version(location) or copy.version if text and copy.is_egg else copy.version
        yield copy.dist, version, location, text


class _Copy:
    """A metadata folder, as its name describes it."""

    __slots__ = ("dist", "is_egg", "name", "version")

    def __init__(self, name: str) -> None:
        stem, suffix = os.path.splitext(name)
        dist, _, version = stem.partition("-")
        self.name = name
        self.dist = canonical(dist)
        self.is_egg = suffix == ".egg-info"
        self.version = version.partition("-")[0]

    def preference(self) -> tuple[str, bool, list[int]]:
        """Sorts copies of one distribution: dist-info before egg-info, then the newest version."""
        digits = "".join(char if char.isdigit() else " " for char in self.version)
        return self.dist, self.is_egg, [-int(number[:18]) for number in digits.split()]


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return ""
    return data.decode("utf-8", "replace") if b"formers." in data else ""


def _egg_version(location: str) -> str:
    try:
        with open(os.path.join(location, "PKG-INFO"), encoding="utf-8", errors="replace") as file:
            versions = (line.partition(":")[2].strip() for line in file if line.startswith("Version:"))
            return next(versions, "")
    except OSError:
        return ""


def _entries(text: str, dist: str, version: str, location: str) -> Iterator[Found]:
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1]
        elif group in GROUPS and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield Found(name.strip(), value.partition("[")[0].strip(), group, dist, version, location)


def _foreign(path: Iterable[str]) -> Iterator[tuple[str, str, str, str]]:
    """Distributions of finders that are not the interpreter's own."""
    for finder in sys.meta_path:
        kind = finder if isinstance(finder, type) else type(finder)
        if hasattr(finder, "find_distributions") and kind.__module__.partition(".")[0] not in _KNOWN_FINDERS:
            yield from _ask_library(finder=finder, path=list(path))


def _ask_library(path: list[str], finder: Any = None) -> Iterator[tuple[str, str, str, str]]:
    import importlib_metadata  # the authority, for what the scan cannot read

    if finder is None:
        dists: Iterable[Any] = importlib_metadata.distributions(path=path)
    else:
        context: Any = importlib_metadata.DistributionFinder.Context
        dists = finder.find_distributions(context(path=path))
    for dist in dists:
        if dist.metadata and dist.metadata["Name"]:
            name, location = canonical(dist.metadata["Name"]), str(getattr(dist, "_path", ""))
            yield name, dist.version or "", location, dist.read_text("entry_points.txt") or ""
