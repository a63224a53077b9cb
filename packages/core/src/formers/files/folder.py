"""Reading a local folder that may be saved to at the same time.

``read_consistently(path, reader)`` is the way to read several files that belong together. A ``Folder`` is the
view that the reader gets: it knows of a save that is committed but not yet moved into place, remembers what
it has shown, and can tell afterwards whether all of that was there at one moment.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from formers.errors import LoadError, shorten
from formers.files import _os
from formers.files.commit import recover
from formers.files.journal import Journal, read_journal
from formers.files.names import OWN_PREFIX, absolute, contained_name

__all__ = ["Folder", "read_consistently"]

T = TypeVar("T")
Identity = tuple[int, int, int, int]  # device, inode, size, modification time in ns
_SHOWN = 20  # names listed in an error message


class Folder:
    """A consistent view of the files of one local directory; made by ``Folder.open``.

    Names are plain file names or ``/``-separated names below the folder. ``file`` answers with the path where
    the content lies at this moment, which during a save may be inside the save's staging folder.
    """

    __slots__ = ("_journal", "_listed", "_noted", "_seen", "path")

    def __init__(self, path: Path, journal: Journal | None) -> None:
        self.path = path
        self._journal = journal
        self._seen: dict[str, tuple[str, Identity] | None] = {}  # name -> where it was, and what
        self._noted: dict[str, Identity | None] = {}
        self._listed: dict[str, list[str]] = {}  # subfolder, or "", to the names shown

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Folder:
        """The folder at ``path``. A save that died half-way is completed if that is possible without waiting.

        Raises ``LoadError`` if there is no such folder, ``CorruptFileError`` for a damaged journal.
        """
        try:
            real = absolute(path)
            mode = _os.stat(real).st_mode
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise LoadError(f"{shorten(os.fspath(path))}: no such folder ({error})") from error
        if not stat.S_ISDIR(mode):
            raise LoadError(f"{shorten(os.fspath(path))} is a file; the folder that holds it is expected")
        journal = read_journal(real)
        if journal is not None:
            with suppress(OSError):  # where the folder cannot be written, it is read through the journal
                recover(real)
            journal = read_journal(real)
        return cls(Path(real), journal)

    def file(self, name: str) -> Path | None:
        """Where the file ``name`` can be read, or None if the folder has no such file.

        Raises ``UnsafePathError`` for a name that leads out of the folder.
        """
        contained_name(name, source=str(self.path))
        if "/" in name and not self._is_inside(name):
            return None
        found = self._resolve(name, self._journal)
        self._seen.setdefault(name, found)
        return None if found is None else Path(found[0])

    def require(self, name: str) -> Path:
        """``file(name)``, or a ``LoadError`` that lists what the folder holds."""
        found = self.file(name)
        if found is None:
            names = self.names()
            listed = ", ".join(names[:_SHOWN]) or "nothing"
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise LoadError(f"no {name} in {self.path}; found: {listed}{more}")
        return found

    def names(self, below: str = "") -> list[str]:
        """The names of the files directly in the folder, or in a subfolder of it, sorted; none if there is no such."""
        if below:
            contained_name(below, source=str(self.path))
        names = self._list(self._journal, below)
        self._listed.setdefault(below, names)
        return names

    def note(self, path: str | os.PathLike[str]) -> None:
        """Remember the file at ``path``, which is about to be read, so that ``unchanged`` looks at it again.

        Files found with ``file`` are remembered by themselves.
        """
        place = os.fspath(path)
        self._noted.setdefault(place, _identity(place))

    def unchanged(self) -> bool:
        """Whether everything shown so far, absent names included, was there at one moment: just now."""
        journal = read_journal(os.fspath(self.path))
        for name, before in self._seen.items():
            if _what(self._resolve(name, journal)) != _what(before):
                return False
        if any(self._list(journal, below) != names for below, names in self._listed.items()):
            return False
        return all(self._still(place, before) for place, before in self._noted.items())

    def moved(self) -> bool:
        """Whether a file lies elsewhere than ``file`` said, because the save that staged it was completed.

        Its content is the same, so what was read stays true, but opening it by its old path fails.
        """
        journal = read_journal(os.fspath(self.path))
        return any(self._resolve(name, journal) != before for name, before in self._seen.items())

    def _still(self, place: str, before: Identity | None) -> bool:
        if _identity(place) == before:
            return True
        # A recoverer may have moved a staged file into place meanwhile: the same file under its own name.
        return before is not None and _identity(os.path.join(self.path, os.path.basename(place))) == before

    def _resolve(self, name: str, journal: Journal | None) -> tuple[str, Identity] | None:
        places = [os.path.join(self.path, name)]
        if journal is not None and name in journal.removed:
            return None
        if journal is not None and name in journal.replaced:
            # Files only ever move out of the staging folder, so looking there first cannot miss one.
            places.insert(0, os.path.join(self.path, journal.staging, name))
        for place in places:
            identity = _identity(place)
            if identity is not None:
                return place, identity
        return None

    def _list(self, journal: Journal | None, below: str) -> list[str]:
        names: set[str] = set()
        if not below or (self._is_inside(f"{below}/") and os.path.isdir(os.path.join(self.path, below))):
            with _os.scandir(os.path.join(self.path, below)) as entries:
                names = {entry.name for entry in entries if entry.is_file()}
        if journal is not None:
            names.update(_inside(journal.replaced, below))
            names.difference_update(_inside(journal.removed, below))
        return sorted(name for name in names if not name.startswith(OWN_PREFIX))

    def _is_inside(self, name: str) -> bool:
        """Whether the subfolder of ``name`` is really below this folder; a link may lead elsewhere."""
        parent = os.path.realpath(os.path.join(self.path, os.path.dirname(name)))
        return parent.startswith(os.path.join(self.path, ""))


def read_consistently(
    path: str | os.PathLike[str], reader: Callable[[Folder], T], *, attempts: int = 12
) -> T:
    """The result of ``reader(folder)``, made from files that were all there at one moment.

    ``reader`` runs again when the folder was saved to meanwhile, so it should have no effect but its result.
    Its exceptions are passed on if the folder stood still, and otherwise cause another attempt.

    Raises ``LoadError`` when each of ``attempts`` was overtaken by a save; trying again later is fine.
    """
    pause = 0.002
    failure: Exception | None = None
    for _ in range(attempts):
        folder = Folder.open(path)
        try:
            result = reader(folder)
        except Exception as error:
            if folder.unchanged() and not folder.moved():
                raise
            failure = error
        else:
            if folder.unchanged():
                return result
        time.sleep(pause)
        pause = min(pause * 2, 0.5)
    raise LoadError(
        f"{os.fspath(path)}: saved to during each of {attempts} attempts to read it; try again later"
    ) from failure


def _inside(names: Iterable[str], below: str) -> list[str]:
    """Of the names, those of a subfolder, relative to it; or, for "", those of no subfolder."""
    return [name.rpartition("/")[2] for name in names if name.rpartition("/")[0] == below]


def _what(found: tuple[str, Identity] | None) -> Identity | None:
    return None if found is None else found[1]


def _identity(path: str) -> Identity | None:
    """What tells one state of a regular file from another; None if there is no regular file."""
    try:
        found = _os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
