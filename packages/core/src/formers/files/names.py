"""Names that data may use for files inside a folder."""

from __future__ import annotations

import os

from formers.errors import UnsafePathError, shorten

OWN_PREFIX = ".formers-"  # staging folders and the journal; never part of what a folder holds
_LONGEST = 255  # bytes in a file name, on every common file system


def flat_name(name: str, *, source: str = "file name") -> str:
    """``name`` if it can only mean an entry of one folder, by POSIX and by Windows rules on every system.

    Raises ``UnsafePathError`` for anything else: separators, ``..``, drives, NUL, the reserved prefix.
    """
    if "/" in contained_name(name, source=source):
        raise UnsafePathError(f"{source}: {shorten(name)} names a subfolder; a plain file name is expected")
    return name


def shallow_name(name: str, *, source: str = "file name") -> str:
    """``name`` if it is a ``flat_name``, or one in a subfolder, as in ``templates/tools.jinja``.

    Raises ``UnsafePathError`` for anything else.
    """
    if contained_name(name, source=source).count("/") > 1:
        raise UnsafePathError(
            f"{source}: {shorten(name)} is deeper than one subfolder; expected is 'folder/name'"
        )
    return name


def contained_name(name: str, *, source: str = "file name") -> str:
    """``name`` if it stays below the folder that it is relative to; parts are separated by ``/`` only.

    Raises ``UnsafePathError`` for absolute names, ``..``, drives, backslashes, NUL and the reserved prefix.
    """
    if not isinstance(name, str):
        raise UnsafePathError(f"{source}: {shorten(name)} is not a string")
    parts = name.split("/")
    reason = None
    if not name or "" in parts or "." in parts:
        reason = "is not a relative file name"
    elif ".." in parts:
        reason = "climbs out of its folder"
    elif "\\" in name or "\0" in name or name[1:2] == ":":
        reason = "contains a backslash, a NUL or a drive letter"
    elif any(len(part.encode("utf-8", "surrogatepass")) > _LONGEST for part in parts):
        reason = f"is longer than the {_LONGEST} bytes of a file name"
    elif name.startswith(OWN_PREFIX):
        reason = f"starts with the reserved prefix {OWN_PREFIX!r}"
    if reason is not None:
        raise UnsafePathError(
            f"{source}: {shorten(name)} {reason}; expected is a name like 'model.safetensors'"
        )
    return name


def absolute(path: str | os.PathLike[str]) -> str:
    """The real, absolute form of a folder's path, which neither ``chdir`` nor a moved link changes later."""
    return os.path.realpath(os.fspath(path))
