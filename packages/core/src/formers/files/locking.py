"""One writer or recoverer per folder, by a lock on the folder itself: no lock file stays behind."""

from __future__ import annotations

import errno
import os
import time
from types import TracebackType

from formers.files import _os

_BUSY = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK}


class FolderLock:
    """An exclusive advisory lock on a folder.

    ``held`` is True while this object owns the lock. Where the platform or the file system has no such locks
    (Windows, some network file systems) ``available`` is False and nobody is excluded.
    """

    __slots__ = ("_descriptor", "available", "held", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.held = False
        self.available = _os.flock is not None
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it; never waits."""
        if _os.flock is None:
            return False
        if self._descriptor is None:
            self._descriptor = _os.open_file(self.path, os.O_RDONLY)
        try:
            _os.flock(self._descriptor, _os.LOCK_NOW)
        except OSError as error:
            if error.errno not in _BUSY:  # NFS wants a descriptor open for writing, which no folder has
                self.available = False
            return False
        self.held = True
        return True

    def acquire(self, wait: float) -> None:
        """Take the lock, waiting at most ``wait`` seconds; returns at once where locks are not available.

        Raises ``TimeoutError`` (an ``OSError``) when somebody else keeps the folder for longer.
        """
        deadline = time.monotonic() + wait
        pause = 0.001
        while not self.try_acquire() and self.available:
            if time.monotonic() >= deadline:
                raise TimeoutError(
                    errno.ETIMEDOUT,
                    f"another save has held this folder for {wait:g} s; wait, or save elsewhere",
                    self.path,
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def release(self) -> None:
        """Give the lock back; forked children that inherited the descriptor lose it too."""
        descriptor, self._descriptor, self.held = self._descriptor, None, False
        if descriptor is None:
            return
        try:
            if _os.flock is not None and self.available:
                _os.flock(descriptor, _os.UNLOCK)
            _os.close(descriptor)
        except OSError:  # nothing was written through this descriptor; there is nothing to lose
            return

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
