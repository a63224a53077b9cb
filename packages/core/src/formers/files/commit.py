"""Saving several files at once: all of them, or none.

``with Commit(folder) as commit:`` stages files beside their targets and, when the block ends without an
exception, makes all of them visible at one moment, as ``formers.files.journal`` describes. Whatever happens,
a reader (``formers.files.folder``) finds the folder as it was before or as it is after, never a mixture.

* An exception in the block, a full disk or an I/O error before that moment leaves the folder as it was.
* A failure after it is reported, and the next reader or writer completes the save (``recover``).
* Writers exclude one another. Names that the commit neither writes nor removes are not touched.
* A target that is a symbolic link is replaced, never written through; the folder itself may be a link.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from types import TracebackType

from formers.files import _os
from formers.files.journal import (
    JOURNAL,
    STAGING_PREFIX,
    Journal,
    complete,
    make_subfolder,
    read_journal,
    refuse_link,
    remove_tree,
    subfolders,
)
from formers.files.locking import FolderLock
from formers.files.names import OWN_PREFIX, absolute, flat_name, shallow_name

__all__ = ["Commit", "recover"]

_DISK_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}
_ABANDONED = 24 * 3600.0  # seconds after which a staging folder is dead where no lock can tell
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)


class Commit:
    """An atomic save of several files into one folder, which is created if it is missing.

    Args:
        folder: where to save. A file of that name raises ``NotADirectoryError``.
        wait: seconds to wait for another save of the same folder before ``TimeoutError``.

    Every failure is an ``OSError`` with the path; for a full disk also with the needed and the free bytes.
    """

    def __init__(self, folder: str | os.PathLike[str], *, wait: float = 600.0) -> None:
        self._folder = absolute(folder)
        self._wait = wait
        self._lock = FolderLock(self._folder)
        self._staging = f"{STAGING_PREFIX}{os.getpid()}-{os.urandom(8).hex()}"
        self._staged: dict[str, int] = {}  # name -> bytes written so far
        self._foreign: set[str] = set()  # names that the caller writes itself; not yet durable
        self._stale: list[tuple[str, Callable[[str], bool]]] = []  # subfolder or "", and what is stale there
        self._created: list[str] = []

    @property
    def folder(self) -> Path:
        """The folder that is saved to, absolute and free of symbolic links."""
        return Path(self._folder)

    def __enter__(self) -> Commit:
        try:
            self._create_folder()
            self._lock.acquire(self._wait)
            recover(self._folder, lock=self._lock)
            self._sweep_abandoned()
            _os.mkdir(self._staging_path())
        except BaseException as error:
            self._abort()
            _raise_disk_error(error, self._folder, self._folder, 0)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._abort()
            return
        try:
            journal = self._publish()
        except BaseException as failure:
            self._abort()
            _raise_disk_error(failure, self._folder, self._folder, self._bytes())
            raise
        try:
            _os.sync_directory(self._folder)
            complete(self._folder, journal)
        except OSError as failure:
            raise OSError(
                failure.errno,
                f"saved, but the files could not be moved into place ({failure.strerror or failure}); "
                "the next reader or writer of the folder completes the save",
                self._folder,
            ) from failure
        finally:
            self._lock.release()

    def write_text(self, name: str, text: str) -> None:
        """Stage ``name`` with ``text`` as UTF-8, line ends as they are."""
        self.write_bytes(name, (text.encode("utf-8"),))

    def write_bytes(self, name: str, buffers: bytes | Iterable[bytes | bytearray | memoryview]) -> None:
        """Stage ``name`` with ``buffers`` one after another, each dropped before the next is made."""
        path = self._target(name)
        written = 0
        try:
            descriptor = _os.open_file(path, _FLAGS, 0o666)
            try:
                for buffer in (buffers,) if isinstance(buffers, bytes) else buffers:
                    rest = memoryview(buffer).cast("B")
                    self._staged[name] = written + len(rest)
                    while len(rest):
                        count = _os.write(descriptor, rest[: 1 << 30])
                        written += count
                        rest = rest[count:]
                _os.fsync(descriptor)
            finally:
                _os.close(descriptor)
        except OSError as error:
            _raise_disk_error(error, os.path.join(self._folder, name), self._folder, self._bytes())
            raise

    def reserve(self, name: str) -> Path:
        """Stage ``name`` for a caller that insists on writing the file itself, at the path returned."""
        path = self._target(name)
        self._foreign.add(name)
        return Path(path)

    def remove(self, stale: Collection[str] | Callable[[str], bool], *, below: str = "") -> None:
        """Remove files with the commit: names, or a predicate asked for every name that is not written.

        ``below`` is a subfolder, to which the names are relative. Folders are never removed.
        """
        if not callable(stale):
            stale = frozenset(flat_name(name) for name in stale).__contains__
        self._stale.append((flat_name(below) if below else "", stale))

    def _bytes(self) -> int:
        return sum(self._staged.values())

    def _staging_path(self) -> str:
        return os.path.join(self._folder, self._staging)

    def _target(self, name: str) -> str:
        shallow_name(name)
        target = os.path.join(self._folder, name)
        for subfolder in subfolders((name,)):
            refuse_link(os.path.join(self._folder, subfolder))
            make_subfolder(os.path.join(self._staging_path(), subfolder))
        try:
            if stat.S_ISDIR(_os.lstat(target).st_mode):
                raise IsADirectoryError(errno.EISDIR, "a folder is where a file is to be saved", target)
        except FileNotFoundError:
            pass
        self._staged[name] = 0
        return os.path.join(self._staging_path(), name)

    def _create_folder(self) -> None:
        missing: list[str] = []
        path = self._folder
        while not _is_folder(path):
            missing.append(path)
            path = os.path.dirname(path)
        for path in reversed(missing):
            try:
                _os.mkdir(path)
            except FileExistsError:  # another writer was faster
                continue
            self._created.append(path)

    def _sweep_abandoned(self) -> None:
        """Delete the staging folders of writers that died before their commit."""
        with _os.scandir(self._folder) as entries:
            found = [entry.path for entry in entries if entry.name.startswith(STAGING_PREFIX)]
        for path in found:
            try:
                age = time.time() - _os.lstat(path).st_mtime
            except FileNotFoundError:
                continue
            if self._lock.held or age > _ABANDONED:
                remove_tree(path)

    def _stale_names(self) -> tuple[str, ...]:
        return tuple(
            sorted(
                name
                for below in {below for below, _ in self._stale}
                for name in self._names(below)
                if name not in self._staged and self._is_stale(below, name)
            )
        )

    def _is_stale(self, below: str, name: str) -> bool:
        own = name.removeprefix(f"{below}/") if below else name
        return any(is_stale(own) for place, is_stale in self._stale if place == below)

    def _names(self, below: str) -> list[str]:
        """The files of the folder, or of a subfolder, by their names relative to the folder."""
        path = os.path.join(self._folder, below) if below else self._folder
        if below and (os.path.islink(path) or not os.path.isdir(path)):
            return []
        with _os.scandir(path) as entries:
            return [
                f"{below}/{entry.name}" if below else entry.name
                for entry in entries
                if not entry.name.startswith(OWN_PREFIX) and not entry.is_dir(follow_symlinks=False)
            ]

    def _publish(self) -> Journal:
        """Everything up to and including the commit."""
        for name in sorted(self._foreign):
            _os.sync_file(os.path.join(self._staging_path(), name))
        journal = Journal(self._staging, tuple(sorted(self._staged)), self._stale_names())
        plan = os.path.join(self._staging_path(), JOURNAL)
        descriptor = _os.open_file(plan, _FLAGS, 0o666)
        try:
            rest = memoryview(journal.to_json().encode("utf-8"))
            while len(rest):
                rest = rest[_os.write(descriptor, rest) :]
            _os.fsync(descriptor)
        finally:
            _os.close(descriptor)
        for subfolder in ("", *subfolders(journal.replaced)):
            _os.sync_directory(os.path.join(self._staging_path(), subfolder))
        _os.sync_directory(self._folder)
        for attempt in range(10):
            try:
                _os.rename(plan, os.path.join(self._folder, JOURNAL))
                break
            except FileExistsError:  # Windows has no lock on folders; a rename that never replaces is as good
                if attempt == 9:
                    raise
                recover(self._folder, lock=self._lock)
        return journal

    def _abort(self) -> None:
        """Leave the folder as it was, unless the commit has happened: an interrupt may hide that."""
        try:
            pending = read_journal(self._folder) if os.path.isdir(self._folder) else None
            if pending is None or pending.staging != self._staging:
                remove_tree(self._staging_path())
                for path in reversed(self._created):
                    _os.rmdir(path)
        except OSError:  # the first failure is the one to report; the next writer sweeps
            pass
        finally:
            self._lock.release()


def recover(folder: str | os.PathLike[str], *, lock: FolderLock | None = None) -> bool:
    """Complete a pending save of ``folder``; False if one is pending still because a writer is at work.

    Safe at any time and as often as one likes. ``lock`` is given by writers, who have taken it already;
    others leave the work to the next writer where the file system has no locks.
    Raises ``OSError`` where the folder cannot be written.
    """
    path = absolute(folder)
    if read_journal(path) is None:
        return True
    if lock is not None:
        _complete_pending(path)
        return True
    with FolderLock(path) as own:
        if not own.try_acquire():
            return False
        _complete_pending(path)
    return True


def _complete_pending(path: str) -> None:
    journal = read_journal(path)  # again, now that nobody else completes it
    if journal is not None:
        complete(path, journal)


def _is_folder(path: str) -> bool:
    try:
        mode = _os.stat(path).st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(mode):
        raise NotADirectoryError(errno.ENOTDIR, "a folder to save to is expected, but this is a file", path)
    return True


def _raise_disk_error(error: BaseException, path: str, folder: str, needed: int) -> None:
    """Raise a disk error again with the path, the needed and the free bytes; return for other exceptions."""
    if not isinstance(error, OSError) or error.errno not in _DISK_ERRORS:
        return
    free = _os.free_bytes(folder)
    room = "an unknown number of" if free is None else f"{free:,}"
    raise OSError(
        error.errno,
        f"{error.strerror}: at least {needed:,} bytes needed, {room} bytes free; "
        "what was saved here before is unchanged",
        path,
    ) from error
