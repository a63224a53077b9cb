"""Atomic saves of files in a subfolder, and reading them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from formers.errors import UnsafePathError
from formers.files.commit import Commit, recover
from formers.files.folder import Folder
from formers.files.journal import JOURNAL, Journal


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write_then_fail(commit: Commit) -> None:
    commit.write_text("below/a", "1")
    commit.write_text("../b", "1")


def test_files_below_are_written_replaced_and_removed(tmp_path: Path) -> None:
    with Commit(tmp_path) as commit:
        commit.write_text("main", "1")
        commit.write_text("below/a", "1")
        commit.write_text("below/b", "1")
    assert tree(tmp_path) == {"below/a": "1", "below/b": "1", "main": "1"}
    with Commit(tmp_path) as commit:
        commit.write_text("below/b", "2")
        commit.remove(lambda name: name in ("a", "b", "main"), below="below")
    assert tree(tmp_path) == {"below/b": "2", "main": "1"}
    assert sorted(os.listdir(tmp_path)) == ["below", "main"]


def test_a_predicate_for_the_folder_is_not_asked_for_files_below(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model").write_text("somebody else's")
    with Commit(tmp_path) as commit:
        commit.write_text("config", "1")
        commit.remove(lambda name: True)
    assert tree(tmp_path) == {"config": "1", "onnx/model": "somebody else's"}


def test_removing_below_a_folder_that_is_missing_does_nothing(tmp_path: Path) -> None:
    with Commit(tmp_path) as commit:
        commit.write_text("config", "1")
        commit.remove(lambda name: True, below="absent")
    assert tree(tmp_path) == {"config": "1"}


def test_an_exception_leaves_no_subfolder(tmp_path: Path) -> None:
    with pytest.raises(UnsafePathError), Commit(tmp_path) as commit:
        write_then_fail(commit)
    assert os.listdir(tmp_path) == []


def test_a_file_where_the_subfolder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "below").write_text("a file")
    with pytest.raises(NotADirectoryError), Commit(tmp_path) as commit:
        commit.write_text("below/a", "1")
    assert tree(tmp_path) == {"below": "a file"}


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder whose subfolder is a link to another place, where ``secret`` is."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "below").symlink_to(outside)
    return folder


def test_a_subfolder_that_is_a_link_is_neither_written_through_nor_read(linked: Path) -> None:
    with pytest.raises(UnsafePathError, match="symbolic link"), Commit(linked) as commit:
        commit.write_text("below/secret", "mine")
    with Commit(linked) as commit:
        commit.write_text("config", "1")
        commit.remove(lambda name: True, below="below")
    assert tree(linked.parent / "outside") == {"secret": "s"}
    assert Folder.open(linked).names("below") == []
    assert Folder.open(linked).file("below/secret") is None


@pytest.mark.parametrize(("replaced", "removed"), [(("below/secret",), ()), ((), ("below/secret",))])
def test_a_journal_cannot_reach_through_a_link(
    linked: Path, replaced: tuple[str, ...], removed: tuple[str, ...]
) -> None:
    staging = linked / ".formers-save-1"
    (staging / "below").mkdir(parents=True)
    (staging / "below" / "secret").write_text("theirs")
    (linked / JOURNAL).write_text(Journal(staging.name, replaced, removed).to_json())
    with pytest.raises(UnsafePathError, match="symbolic link"):
        recover(linked)
    assert tree(linked.parent / "outside") == {"secret": "s"}


def test_a_link_within_the_staging_folder_is_refused(linked: Path) -> None:
    staging = linked / ".formers-save-1"
    staging.mkdir()
    (staging / "other").symlink_to(linked.parent / "outside")
    (linked / JOURNAL).write_text(Journal(staging.name, ("other/secret",), ()).to_json())
    with pytest.raises(UnsafePathError, match="symbolic link"):
        Folder.open(linked)


def test_a_pending_save_is_read_through_and_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Commit(tmp_path) as commit:
        commit.write_text("below/old", "1")
    staging = tmp_path / ".formers-save-1-dead"
    (staging / "below").mkdir(parents=True)
    (staging / "below" / "new").write_text("2")
    (tmp_path / JOURNAL).write_text(Journal(staging.name, ("below/new",), ("below/old",)).to_json())
    with monkeypatch.context() as patch:
        patch.setattr("formers.files.folder.recover", lambda path: False)
        folder = Folder.open(tmp_path)
        assert folder.names() == []
        assert folder.names("below") == ["new"]
        assert folder.require("below/new").read_text() == "2"
    assert recover(tmp_path)
    assert folder.unchanged()
    assert tree(tmp_path) == {"below/new": "2"}


def test_a_change_below_is_seen(tmp_path: Path) -> None:
    with Commit(tmp_path) as commit:
        commit.write_text("below/a", "1")
    folder = Folder.open(tmp_path)
    assert folder.names("below") == ["a"]
    assert folder.unchanged()
    (tmp_path / "below" / "b").write_text("2")
    assert not folder.unchanged()
