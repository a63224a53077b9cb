"""Every system call that saving and recovering make, by name and in one place (plain queries such as
``os.path.isdir`` aside).

Callers write ``_os.replace(...)``, never ``os.replace(...)``: the crash sweep puts a counter in front of
each function of this namespace and ends the process, or reports a full disk, at the n-th call for every n.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

try:
    import fcntl as _fcntl
except ImportError:  # a platform without advisory locks
    _fcntl = None  # type: ignore[assignment]

CALLS = (
    "close", "flock", "fsync", "lstat", "mkdir", "open_file", "read", "rename", "replace", "rmdir", "scandir",
    "stat", "statvfs", "unlink", "write",
)  # fmt: skip

close = os.close
flock: Callable[[int, int], None] | None = getattr(_fcntl, "flock", None)
fsync = os.fsync
lstat = os.lstat
mkdir = os.mkdir
open_file = os.open
read = os.read
rename = os.rename
replace = os.replace
rmdir = os.rmdir
scandir = os.scandir
stat = os.stat
statvfs: Callable[[str], os.statvfs_result] | None = getattr(os, "statvfs", None)
unlink = os.unlink
write = os.write

LOCK_NOW: int = getattr(_fcntl, "LOCK_EX", 0) | getattr(_fcntl, "LOCK_NB", 0)
UNLOCK: int = getattr(_fcntl, "LOCK_UN", 0)

_NO_DIRECTORY_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EISDIR, errno.EPERM}


def sync_directory(path: str) -> None:
    """Make the entries of a directory durable, where the platform can."""
    try:
        descriptor = open_file(path, os.O_RDONLY)
    except OSError as error:
        if error.errno in _NO_DIRECTORY_SYNC:  # directories cannot be opened on Windows
            return
        raise
    try:
        fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        close(descriptor)


def sync_file(path: str) -> None:
    """Make the content of a file that somebody else wrote durable."""
    descriptor = open_file(path, os.O_RDWR)
    try:
        fsync(descriptor)
    finally:
        close(descriptor)


def read_bytes(path: str, limit: int) -> bytes:
    """The first ``limit`` bytes of a file."""
    descriptor = open_file(path, os.O_RDONLY)
    try:
        parts: list[bytes] = []
        left = limit
        while left > 0 and (part := read(descriptor, min(left, 1 << 20))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        close(descriptor)


def free_bytes(path: str) -> int | None:
    """Bytes that an ordinary user may still write on the file system of ``path``; None where unknown."""
    if statvfs is None:
        return None
    try:
        found = statvfs(path)
    except OSError:  # only decorates the message of another error
        return None
    return found.f_bavail * found.f_frsize
