"""The journal of a save: what has been decided, but perhaps not yet been done.

A folder that is being saved to goes through these states::

    folder/.formers-save-<id>/          1. staging: new files are written and fsynced here
    folder/.formers-save-<id>/.formers-journal
                                        2. the plan: names to replace, names to remove; fsynced
    folder/.formers-journal             3. COMMIT: the plan is renamed to its one final name
    folder/<name> ...                   4. each staged file is renamed over its target; stale files are
                                           renamed *into* the staging folder; the folder is fsynced
    (staging folder is deleted)         5. with the stale files in it
    (journal is deleted)                6. the folder is fsynced

Names may lie in a subfolder, which step 4 creates if it is missing. A subfolder that is a symbolic link is refused.

Before 3 the folder is old; from 3 on it is new, because every reader that sees the journal finds the new
files through it and none of the stale ones. Steps 4 to 6 can be repeated by anybody, any number of times.

Why stale files are moved and not unlinked: every step of 4 needs the staging folder, whose name is never used
again. Somebody who slept in the middle of step 4 and wakes up after a later save can therefore touch nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from formers.errors import CorruptFileError, UnsafePathError
from formers.files import _os
from formers.files.names import OWN_PREFIX, shallow_name
from formers.files.strict_json import dump_json, parse_json

JOURNAL = OWN_PREFIX + "journal"
STAGING_PREFIX = OWN_PREFIX + "save-"
_VERSION = 1
_LIMIT = 16 << 20  # bytes; about 100 000 names


class Journal:
    """A committed save: the staging folder, the names to replace from it and the names to remove."""

    __slots__ = ("removed", "replaced", "staging")

    def __init__(self, staging: str, replaced: tuple[str, ...], removed: tuple[str, ...]) -> None:
        self.staging = staging
        self.replaced = replaced
        self.removed = removed

    def to_json(self) -> str:
        """The text that ``read_journal`` understands."""
        return dump_json(
            {
                "about": "An unfinished save of the library `formers`; the next reader completes it.",
                "remove": list(self.removed),
                "replace": list(self.replaced),
                "staging": self.staging,
                "version": _VERSION,
            }
        )


def read_journal(folder: str) -> Journal | None:
    """The pending journal of a folder, or None.

    The journal may come from a stranger, like any file of the folder: names that point elsewhere are refused.
    Raises ``CorruptFileError`` or ``UnsafePathError``.
    """
    path = os.path.join(folder, JOURNAL)
    try:
        raw = _os.read_bytes(path, _LIMIT + 1)
    except FileNotFoundError:
        return None
    if len(raw) > _LIMIT:
        raise CorruptFileError(f"{path}: a save journal has at most {_LIMIT} bytes; delete it")
    data = parse_json(raw.decode("utf-8", errors="replace"), path)
    if not isinstance(data, dict) or data.get("version") != _VERSION:
        raise CorruptFileError(f"{path}: a save journal of version {_VERSION} is expected; update formers")
    staging, replaced, removed = data.get("staging"), data.get("replace"), data.get("remove")
    if not (isinstance(staging, str) and isinstance(replaced, list) and isinstance(removed, list)):
        raise CorruptFileError(f"{path}: 'staging', 'replace' and 'remove' are expected; delete it")
    unique = staging.removeprefix(STAGING_PREFIX)
    if unique == staging or not unique.replace("-", "").isalnum() or not unique.isascii():
        raise UnsafePathError(f"{path}: 'staging' must name a folder {STAGING_PREFIX}<id> beside the journal")
    for name in (*replaced, *removed):
        shallow_name(name, source=path)
    for place in (staging, *(os.path.join(staging, subfolder) for subfolder in subfolders(replaced))):
        if os.path.islink(os.path.join(folder, place)):
            raise UnsafePathError(f"{path}: the staging folder {place} is a symbolic link; delete both")
    return Journal(staging, tuple(replaced), tuple(removed))


def complete(folder: str, journal: Journal) -> None:
    """Do what a committed journal says. Every step may have been done before, by anybody."""
    staging = os.path.join(folder, journal.staging)
    if os.path.isdir(staging):
        inside = [os.path.join(folder, subfolder) for subfolder in subfolders(journal.replaced)]
        for path in inside:
            make_subfolder(path)
        for name in journal.replaced:
            _move(os.path.join(staging, name), os.path.join(folder, name))
        inside += [os.path.join(folder, subfolder) for subfolder in subfolders(journal.removed)]
        for path in inside:
            refuse_link(path)
        for number, name in enumerate(journal.removed):
            _move(os.path.join(folder, name), os.path.join(staging, f"{OWN_PREFIX}removed-{number}"))
        for path in filter(os.path.isdir, inside):
            _os.sync_directory(path)
        _os.sync_directory(folder)
        remove_tree(staging)
    # Without locks somebody else may have finished this journal and committed the next one meanwhile.
    current = read_journal(folder)
    if current is not None and current.staging == journal.staging:
        _os.unlink(os.path.join(folder, JOURNAL))
    _os.sync_directory(folder)


def subfolders(names: Iterable[str]) -> list[str]:
    """The subfolders that the names lie in, each once."""
    return list(dict.fromkeys(name.partition("/")[0] for name in names if "/" in name))


def make_subfolder(path: str) -> None:
    """Create a folder if it is missing; raise ``UnsafePathError`` if it is a link."""
    refuse_link(path)
    try:
        _os.mkdir(path)
    except FileExistsError:
        return


def refuse_link(path: str) -> None:
    """Raise ``UnsafePathError`` if a subfolder is a symbolic link: what is written into it would go elsewhere."""
    if os.path.islink(path):
        raise UnsafePathError(
            f"{path} is a symbolic link; a folder is expected, so that nothing leaves its parent"
        )


def remove_tree(path: str) -> None:
    """Delete a staging folder; parts that are gone already are fine. Links are deleted, not followed."""
    try:
        with _os.scandir(path) as entries:
            found = list(entries)
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                remove_tree(entry.path)
            else:
                _unlink_if_there(entry.path)
        _os.rmdir(path)
    except FileNotFoundError:
        return


def _move(source: str, target: str) -> None:
    try:
        _os.replace(source, target)
    except FileNotFoundError:  # done before, or the staging folder is gone because all is done
        return


def _unlink_if_there(path: str) -> None:
    try:
        _os.unlink(path)
    except FileNotFoundError:
        return
