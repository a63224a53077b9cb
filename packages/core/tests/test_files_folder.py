"""Reading a folder that may be saved to at the same time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from formers.errors import LoadError, UnsafePathError
from formers.files import _os
from formers.files.commit import Commit, recover
from formers.files.folder import Folder, read_consistently
from formers.files.journal import JOURNAL, Journal
from formers.files.locking import FolderLock


def save(folder: Path, **texts: str) -> None:
    with Commit(folder) as commit:
        for name, text in texts.items():
            commit.write_text(name, text)


def read_all(folder: Folder) -> dict[str, str]:
    return {name: folder.require(name).read_text() for name in folder.names()}


@pytest.fixture
def pending(tmp_path: Path) -> Path:
    """A folder whose last save was committed, but is not in place."""
    save(tmp_path, config="old", weights="old", shard="stale")
    staging = tmp_path / ".formers-save-1-dead"
    staging.mkdir()
    (staging / "config").write_text("new")
    (staging / "weights").write_text("new")
    (tmp_path / JOURNAL).write_text(Journal(staging.name, ("config", "weights"), ("shard",)).to_json())
    return tmp_path


NEW = {"config": "new", "weights": "new"}


def test_finds_files_and_lists_them_in_errors(tmp_path: Path) -> None:
    save(tmp_path, config="c", vocab="v")
    (tmp_path / "folder").mkdir()
    folder = Folder.open(tmp_path)
    assert folder.file("config") == tmp_path / "config"
    assert folder.file("absent") is None
    assert folder.file("folder") is None
    assert folder.names() == ["config", "vocab"]
    with pytest.raises(LoadError, match=r"no weights in .*; found: config, vocab"):
        folder.require("weights")


def test_what_is_not_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "absent", tmp_path / "file", "nul\0"):
        with pytest.raises(LoadError):
            Folder.open(path)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "..\\x", "C:x", "\\x", "\\\\host\\x", "", "a//b", "a\0"]
)
def test_names_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafePathError):
        Folder.open(tmp_path).file(name)


def test_subfolders_are_read_unless_a_link_leads_elsewhere(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "folder"
    for place in (outside, inside / "sub"):
        place.mkdir(parents=True)
        (place / "x").write_text("x")
    (inside / "link").symlink_to(outside)
    folder = Folder.open(inside)
    assert folder.file("sub/x") == inside / "sub" / "x"
    assert folder.file("link/x") is None


def test_opening_completes_a_pending_save(pending: Path) -> None:
    assert read_all(Folder.open(pending)) == NEW
    assert sorted(os.listdir(pending)) == ["config", "weights"]


def test_a_pending_save_is_read_through_while_somebody_holds_the_lock(pending: Path) -> None:
    before = sorted(os.listdir(pending))
    with FolderLock(str(pending)) as lock:
        assert lock.try_acquire()
        folder = Folder.open(pending)
        assert read_all(folder) == NEW
        assert folder.file("shard") is None
        assert folder.unchanged()
        assert sorted(os.listdir(pending)) == before


def test_a_pending_save_is_read_through_where_the_folder_cannot_be_written(
    pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(13, "read-only", target)

    monkeypatch.setattr(_os, "replace", refuse)
    folder = Folder.open(pending)
    assert read_all(folder) == NEW
    assert folder.file("shard") is None


def test_completing_a_save_that_was_read_through_changes_nothing(pending: Path) -> None:
    with FolderLock(str(pending)) as lock:
        assert lock.try_acquire()
        folder = Folder.open(pending)
        assert read_all(folder) == NEW
        folder.note(folder.require("config"))
    assert not folder.moved()
    recover(pending)
    assert folder.unchanged()
    assert folder.moved()
    assert read_all(folder) == NEW


def test_a_file_that_moves_into_place_before_it_is_opened_is_looked_up_again(pending: Path) -> None:
    paths = []

    def reader(folder: Folder) -> str:
        paths.append(folder.require("config"))
        recover(pending)
        return paths[-1].read_text()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("formers.files.folder.recover", lambda path: False)
        assert read_consistently(pending, reader) == "new"
    assert [path.parent.name for path in paths] == [".formers-save-1-dead", pending.name]


def test_every_kind_of_change_is_seen(tmp_path: Path) -> None:
    save(tmp_path, config="1", weights="1")
    shown, absent, listed, noted = (Folder.open(tmp_path) for _ in range(4))
    shown.file("config")
    absent.file("later")
    listed.names()
    noted.note(tmp_path / "config")
    everyone = (shown, absent, listed, noted)
    assert [folder.unchanged() for folder in everyone] == [True] * 4
    save(tmp_path, config="2")
    assert [folder.unchanged() for folder in everyone] == [False, True, True, False]
    save(tmp_path, later="")
    assert [folder.unchanged() for folder in everyone] == [False, False, False, False]


def test_read_consistently_reads_again_when_a_save_went_by(tmp_path: Path) -> None:
    save(tmp_path, config="1", weights="1")
    overtaken = threading.Event()

    def reader(folder: Folder) -> tuple[str, str]:
        config = folder.require("config").read_text()
        if not overtaken.is_set():
            overtaken.set()
            save(tmp_path, config="2", weights="2")
        return config, folder.require("weights").read_text()

    assert read_consistently(tmp_path, reader) == ("2", "2")


def test_read_consistently_retries_exceptions_of_an_overtaken_attempt_only(tmp_path: Path) -> None:
    save(tmp_path, config="1")
    calls = []

    def reader(folder: Folder) -> str:
        calls.append(folder.require("config").read_text())
        if calls == ["1"]:
            save(tmp_path, config="2")
            raise KeyError("overtaken")
        raise ValueError(calls[-1])

    with pytest.raises(ValueError, match="2"):
        read_consistently(tmp_path, reader)
    assert calls == ["1", "2"]


def test_read_consistently_gives_up_with_a_retryable_error(tmp_path: Path) -> None:
    count = iter(range(100))

    def reader(folder: Folder) -> None:
        folder.file("config")
        save(tmp_path, config=f"{next(count)}")

    with pytest.raises(LoadError, match=r"each of 3 attempts.*try again"):
        read_consistently(tmp_path, reader, attempts=3)


def test_readers_beside_a_writer_see_whole_saves_only(tmp_path: Path) -> None:
    save(tmp_path, a="0", b="0")
    stop = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            with Commit(tmp_path) as commit:
                for name in ("a", "b") if turn % 2 else ("a", "b", "c"):
                    commit.write_text(name, str(turn))
                commit.remove(["c"])

    def reader(folder: Folder) -> dict[str, str]:
        return {name: path.read_text() for name in "abc" if (path := folder.file(name)) is not None}

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(150):
            found = read_consistently(tmp_path, reader, attempts=50)
            assert len(set(found.values())) == 1
            assert ("c" in found) == (int(found["a"]) % 2 == 0 and found["a"] != "0")
    except BaseException as failure:
        failures.append(failure)
    finally:
        stop.set()
        writer.join()
    assert not failures, failures[0]
