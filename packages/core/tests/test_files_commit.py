"""Atomic saves: what one Commit does to a folder, and what it leaves alone."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from formers.errors import CorruptFileError, UnsafePathError
from formers.files import _os
from formers.files.commit import Commit, recover
from formers.files.folder import Folder
from formers.files.journal import JOURNAL, Journal, complete, read_journal


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir()) if path.is_file()}


def save(folder: Path, **texts: str) -> None:
    with Commit(folder) as commit:
        for name, text in texts.items():
            commit.write_text(name, text)


def commit_without_completing(folder: Path, texts: dict[str, str], removed: tuple[str, ...] = ()) -> Journal:
    """What a writer leaves that dies right after the commit point."""
    staging = folder / ".formers-save-1-dead"
    staging.mkdir()
    for name, text in texts.items():
        (staging / name).write_text(text)
    journal = Journal(staging.name, tuple(texts), removed)
    (folder / JOURNAL).write_text(journal.to_json())
    return journal


def test_creates_missing_folders_and_leaves_nothing_but_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with Commit(folder) as commit:
        commit.write_text("one", "1")
        commit.write_bytes("two", (bytes([65 + i]) for i in range(3)))
        commit.reserve("three").write_text("3")
    assert contents(folder) == {"one": "1", "two": "ABC", "three": "3"}
    assert len(os.listdir(folder)) == 3


def test_replaces_removes_and_leaves_the_files_of_the_user(tmp_path: Path) -> None:
    save(tmp_path, config="old", part_1="a", part_2="b", notes="mine")
    with Commit(tmp_path) as commit:
        commit.write_text("config", "new")
        commit.write_text("part_2", "kept, for it is written")
        commit.remove(lambda name: name.startswith("part_"))
        commit.remove(["absent"])
    assert contents(tmp_path) == {"config": "new", "part_2": "kept, for it is written", "notes": "mine"}


def test_nothing_is_visible_before_the_end_of_the_block(tmp_path: Path) -> None:
    save(tmp_path, config="old")
    with Commit(tmp_path) as commit:
        commit.write_text("config", "new")
        commit.remove(["config"])
        assert contents(tmp_path) == {"config": "old"}
        assert Folder.open(tmp_path).names() == ["config"]
    assert contents(tmp_path) == {"config": "new"}


def test_an_exception_in_the_block_leaves_the_old_state_and_no_staging(tmp_path: Path) -> None:
    save(tmp_path, config="old")
    with pytest.raises(ZeroDivisionError), Commit(tmp_path) as commit:  # noqa: PT012
        commit.write_text("config", "new")
        commit.remove(["config"])
        raise ZeroDivisionError
    assert contents(tmp_path) == {"config": "old"}
    assert os.listdir(tmp_path) == ["config"]


def test_a_failed_first_save_removes_the_folders_that_it_created(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Commit(tmp_path / "a" / "b"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_a_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="file"), Commit(tmp_path / "file"):
        pass
    with pytest.raises(NotADirectoryError), Commit(tmp_path / "file" / "below"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_where_a_file_should_go_is_refused_before_the_commit(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    with pytest.raises(IsADirectoryError, match="config"), Commit(tmp_path) as commit:
        commit.write_text("config", "new")
    assert os.listdir(tmp_path) == ["config"]


@pytest.mark.parametrize(
    "name",
    ["../x", "/x", "a/../b", "a//b", "a/b/c", "a\\b", "C:x", "..", ".", "", "a\0b", ".formers-x", "x" * 256],
)
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with Commit(tmp_path / "out") as commit:
        with pytest.raises(UnsafePathError):
            commit.write_text(name, "x")
        with pytest.raises(UnsafePathError):
            commit.remove([name])
        commit.write_text("fine", "x")
    assert contents(tmp_path / "out") == {"fine": "x"}
    assert os.listdir(tmp_path) == ["out"]


def test_symbolic_links_are_replaced_never_written_through(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_text("shared with another revision")
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "config").symlink_to(blob)
    (folder / "stale").symlink_to(blob)
    with Commit(folder) as commit:
        commit.write_text("config", "new")
        commit.remove(["stale"])
    assert blob.read_text() == "shared with another revision"
    assert not (folder / "config").is_symlink()
    assert contents(folder) == {"config": "new"}


def test_the_folder_itself_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    save(tmp_path / "link", config="new")
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "real") == {"config": "new"}


def test_a_change_of_the_working_directory_during_the_save_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Commit("out") as commit:
        commit.write_text("config", "new")
        os.chdir("elsewhere")
    assert contents(tmp_path / "out") == {"config": "new"}
    assert os.listdir(tmp_path / "elsewhere") == []


def test_files_get_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save(tmp_path / "out", config="new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out" / "config").stat().st_mode) == 0o640


def test_recover_completes_a_committed_save_and_may_be_repeated(tmp_path: Path) -> None:
    save(tmp_path, config="old", weights="old", shard="stale")
    commit_without_completing(tmp_path, {"config": "new", "weights": "new"}, ("shard",))
    assert recover(tmp_path)
    assert recover(tmp_path)
    assert contents(tmp_path) == {"config": "new", "weights": "new"}
    assert sorted(os.listdir(tmp_path)) == ["config", "weights"]


def test_the_next_writer_completes_a_pending_save_and_sweeps_dead_staging(tmp_path: Path) -> None:
    commit_without_completing(tmp_path, {"config": "committed"})
    (tmp_path / ".formers-save-2-dead").mkdir()
    (tmp_path / ".formers-save-2-dead" / "weights").write_text("never committed")
    save(tmp_path, other="x")
    assert contents(tmp_path) == {"config": "committed", "other": "x"}
    assert sorted(os.listdir(tmp_path)) == ["config", "other"]


def test_a_slow_recoverer_cannot_damage_a_later_save(tmp_path: Path) -> None:
    """Somebody slept in the middle of completing a save, for instance where locks do nothing."""
    save(tmp_path, config="old", weights="old", shard="old")
    slow = commit_without_completing(tmp_path, {"config": "second", "weights": "second"}, ("shard",))
    assert recover(tmp_path)
    save(tmp_path, config="third", weights="third", shard="third")
    complete(str(tmp_path), slow)
    assert contents(tmp_path) == {"config": "third", "weights": "third", "shard": "third"}


def test_who_slept_between_two_steps_cannot_damage_a_later_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its first move the slow one falls asleep; meanwhile its save is completed and another one made."""
    save(tmp_path, config="old", shard="old")
    slow = commit_without_completing(tmp_path, {"config": "second"}, ("shard",))
    asleep = iter([True])

    def replace(source: str, target: str) -> None:
        if next(asleep, False):
            assert recover(tmp_path)
            save(tmp_path, config="third", shard="third")
        os.replace(source, target)

    monkeypatch.setattr(_os, "replace", replace)
    complete(str(tmp_path), slow)
    assert contents(tmp_path) == {"config": "third", "shard": "third"}


def test_a_slow_recoverer_keeps_its_hands_off_a_later_journal(tmp_path: Path) -> None:
    slow = commit_without_completing(tmp_path, {"config": "second"})
    assert recover(tmp_path)
    staging = tmp_path / ".formers-save-3-later"
    staging.mkdir()
    (staging / "config").write_text("third")
    (tmp_path / JOURNAL).write_text(Journal(staging.name, ("config",), ()).to_json())
    complete(str(tmp_path), slow)
    assert read_journal(str(tmp_path)) is not None
    assert recover(tmp_path)
    assert contents(tmp_path) == {"config": "third"}


def test_writers_exclude_one_another(tmp_path: Path) -> None:
    with Commit(tmp_path) as first:
        first.write_text("config", "first")
        with pytest.raises(TimeoutError, match="another save"), Commit(tmp_path, wait=0.05):
            pass
        assert not os.path.exists(tmp_path / JOURNAL)
    save(tmp_path, config="second")
    assert contents(tmp_path) == {"config": "second"}


def test_two_writers_at_once_one_wins_whole(tmp_path: Path) -> None:
    def work(label: str) -> None:
        for turn in range(10):
            save(tmp_path, a=f"{label}{turn}", b=f"{label}{turn}")

    threads = [threading.Thread(target=work, args=(label,)) for label in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = contents(tmp_path)
    assert found["a"] == found["b"]
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("missing", ["no fcntl", "not supported"])
def test_saving_works_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.EBADF, "no locks here")

    monkeypatch.setattr(_os, "flock", None if missing == "no fcntl" else refuse)
    young = tmp_path / ".formers-save-9-alive"
    young.mkdir()
    save(tmp_path, config="new")
    assert contents(tmp_path) == {"config": "new"}
    assert young.exists(), "without a lock nobody can tell that its writer is dead"
    os.utime(young, (0, 0))
    save(tmp_path, config="newer")
    assert not young.exists()


def test_a_full_disk_names_path_needed_and_free_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, config="old")

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_os, "write", full)
    with pytest.raises(OSError, match=r"weights.*") as caught, Commit(tmp_path) as commit:
        commit.write_bytes("weights", b"x" * 12_345)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "weights")
    assert "12,345 bytes needed" in str(caught.value)
    assert "bytes free" in str(caught.value)
    assert os.listdir(tmp_path) == ["config"]


def test_a_failure_after_the_commit_is_reported_and_completed_by_the_next_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, config="old", weights="old")

    def broken(source: str, target: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(_os, "replace", broken)
        with pytest.raises(OSError, match="the next reader or writer"):
            save(tmp_path, config="new", weights="new")
    assert contents(tmp_path)["config"] == "old"
    folder = Folder.open(tmp_path)
    assert contents(folder.path) == {"config": "new", "weights": "new"}


def test_an_interrupt_right_after_the_commit_does_not_lose_the_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, config="old")

    def interrupted(source: str, target: str) -> None:
        os.rename(source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_os, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, config="new")
    recover(tmp_path)
    assert contents(tmp_path) == {"config": "new"}


@pytest.fixture
def file_size_limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("file_size_limit")
def test_a_file_size_limit_leaves_the_old_state(tmp_path: Path) -> None:
    save(tmp_path, config="old")
    with pytest.raises(OSError, match="config") as caught:
        save(tmp_path, config="x" * 1000)
    assert caught.value.errno == errno.EFBIG
    assert contents(tmp_path) == {"config": "old"}
    assert os.listdir(tmp_path) == ["config"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{bad", "journal"),
        ("[]", "version"),
        ('{"version": 2}', "version"),
        ('{"version": 1, "staging": 3, "replace": [], "remove": []}', "staging"),
        ('{"version": 1, "staging": "..", "replace": [], "remove": []}', "staging"),
        ('{"version": 1, "staging": ".formers-save-../x", "replace": [], "remove": []}', "staging"),
        (
            '{"version": 1, "staging": ".formers-save-1", "replace": ["../x"], "remove": []}',
            "out of its folder|subfolder",
        ),
        (
            '{"version": 1, "staging": ".formers-save-1", "replace": [], "remove": ["/x"]}',
            "relative|subfolder",
        ),
        ('{"version": 1, "staging": ".formers-save-1", "replace": [3], "remove": []}', "string"),
    ],
)
def test_a_hostile_journal_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "x").write_text("outside")
    (folder / JOURNAL).write_text(text)
    with pytest.raises((CorruptFileError, UnsafePathError), match=problem):
        Folder.open(folder)
    assert contents(tmp_path) == {"x": "outside"}


def test_a_staging_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".formers-save-1").symlink_to(outside)
    (folder / JOURNAL).write_text(Journal(".formers-save-1", ("secret",), ()).to_json())
    with pytest.raises(UnsafePathError, match="symbolic link"):
        Folder.open(folder)
    assert contents(outside) == {"secret": "s"}


def test_a_forked_child_does_not_keep_the_folder_locked(tmp_path: Path) -> None:
    with Commit(tmp_path) as commit:
        commit.write_text("config", "new")
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
    try:
        with Commit(tmp_path, wait=0.0) as commit:
            commit.write_text("config", "newer")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
