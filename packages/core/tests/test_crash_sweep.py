"""Law: a folder is always old or new.

A child process saves over a folder, and its n-th filesystem call ends it, or reports a full disk, for every n;
the same for the recovery after such an end. Then whoever reads finds the old or the new checkpoint, whole.

The quick version covers the two re-saves that change the files most. ``nox -s crash`` covers
{single, sharded} over {single, sharded}, with a reader running all the time, and kills at random moments.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from formers.checkpoint.locate import locate
from formers.checkpoint.save import write_checkpoint
from formers.checkpoint.source import open_checkpoint
from formers.files import _os
from formers.files.commit import Commit, recover
from formers.files.folder import Folder, read_consistently
from formers.files.strict_json import dump_json, read_json

SIZES = {"single": "1GB", "sharded": "2KB"}
OLD, NEW, THIRD = 1, 2, 3
Ending = Literal["exit", "full"]


def save(folder: Path, generation: int, sharding: str) -> None:
    """A model whose every file says which generation it belongs to."""
    tensors = {f"layer.{index}.weight": torch.full((150,), float(generation)) for index in range(4)}
    with Commit(folder) as commit:
        commit.write_text("config.json", dump_json({"generation": generation}))
        commit.write_text(f"notes/{sharding}", str(generation))
        commit.remove(lambda name: True, below="notes")
        write_checkpoint(commit, tensors, max_shard_size=SIZES[sharding])


def load(folder: Path) -> int:
    """The generation of the folder; fails on a mixture."""
    return read_consistently(folder, _read, attempts=100)


def _read(folder: Folder) -> int:
    found = {read_json(folder.require("config.json"))["generation"]}
    (note,) = folder.names("notes")
    found.add(int(folder.require(f"notes/{note}").read_text()))
    checkpoint = open_checkpoint(folder, locate(folder))
    assert len(checkpoint.keys()) == 4
    for key in checkpoint.keys():  # noqa: SIM118 - not a mapping
        found |= {int(value) for value in checkpoint.tensor(key)}
    assert len(found) == 1, f"a mixture of {found}"
    return int(found.pop())


@contextmanager
def ending_at(number: int, ending: Ending) -> Iterator[list[str]]:
    """The n-th call of ``_os`` ends the process or fails; yields the names of the calls so far."""
    calls: list[str] = []

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            if len(calls) != number:
                return call(*args, **kwargs)
            if ending == "exit":
                os._exit(77)
            if name == "close":  # the descriptor is gone even when close reports an error
                call(*args, **kwargs)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return wrapper

    with pytest.MonkeyPatch.context() as patch:
        for name in _os.CALLS:
            patch.setattr(_os, name, counted(name, getattr(_os, name)))
        yield calls


def in_child(action: Callable[[], object]) -> int:
    """Exit status of ``action`` in a forked process: 0 done, 1 an ``OSError``, 2 anything else."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            action()
            status = 0
        except OSError:
            status = 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def count_calls(action: Callable[[], object]) -> int:
    with ending_at(0, "full") as calls:
        action()
    return len(calls)


def leftovers(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")]


def sweep(tmp_path: Path, before: str, after: str, ending: Ending) -> None:
    """End a re-save at every call; old until the commit, new from then on."""
    template = tmp_path / "count"
    save(template, OLD, before)
    total = count_calls(lambda: save(template, NEW, after))
    assert total > 40
    found: list[int] = []
    for number in range(1, total + 1):
        folder = tmp_path / str(number)
        save(folder, OLD, before)

        def resave(folder: Path = folder, number: int = number) -> None:
            with ending_at(number, ending):
                save(folder, NEW, after)

        status = in_child(resave)
        left, generation = leftovers(folder), load(folder)
        if ending == "full":
            assert status in (0, 1)
            assert generation == NEW or not left, "temporary files of a failed save stay behind"
        else:
            assert status == 77
        if status == 0:  # what failed was not needed, as a lock is not where there are none
            assert generation == NEW
        else:
            found.append(generation)
        save(folder, THIRD, after)
        assert load(folder) == THIRD
        assert leftovers(folder) == []
    assert sorted(found) == found, "once committed, the save must not be lost"
    assert set(found) == {OLD, NEW}


def sweep_recovery(tmp_path: Path, before: str, after: str, ending: Ending) -> None:
    """End the completion of a committed save at every call; it stays new."""

    def committed(folder: Path) -> None:
        save(folder, OLD, before)

        def die_after_commit() -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("formers.files.commit.complete", lambda *_: os._exit(77))
                save(folder, NEW, after)

        assert in_child(die_after_commit) == 77

    committed(tmp_path / "count")
    total = count_calls(lambda: recover(tmp_path / "count"))
    assert total > 10
    for number in range(1, total + 1):
        folder = tmp_path / str(number)
        committed(folder)

        def end_recovery(folder: Path = folder, number: int = number) -> None:
            with ending_at(number, ending):
                recover(folder)

        assert in_child(end_recovery) in ((77,) if ending == "exit" else (0, 1))
        assert load(folder) == NEW
        assert leftovers(folder) == []


@pytest.mark.parametrize("ending", ["exit", "full"])
@pytest.mark.parametrize(("before", "after"), [("single", "sharded"), ("sharded", "single")])
def test_a_save_that_ends_at_any_call_leaves_old_or_new(
    tmp_path: Path, before: str, after: str, ending: Ending
) -> None:
    sweep(tmp_path, before, after, ending)


@pytest.mark.parametrize("ending", ["exit", "full"])
def test_a_recovery_that_ends_at_any_call_is_completed_by_the_next(tmp_path: Path, ending: Ending) -> None:
    sweep_recovery(tmp_path, "sharded", "single", ending)


def test_a_failed_first_save_leaves_no_folder(tmp_path: Path) -> None:
    total = count_calls(lambda: save(tmp_path / "count", NEW, "single"))
    for number in range(1, total + 1):
        folder = tmp_path / str(number)
        with ending_at(number, "full"), suppress(OSError):
            save(folder, NEW, "single")
        if folder.exists():
            assert load(folder) == NEW
            assert leftovers(folder) == []


@pytest.mark.parametrize("limit", [0, 1, 30, 150, 300, 450, 800, 1200, 1700, 2300])
def test_a_limit_on_file_sizes_leaves_old_or_new(tmp_path: Path, limit: int) -> None:
    save(tmp_path, OLD, "sharded")

    def resave() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        save(tmp_path, NEW, "sharded")

    status = in_child(resave)
    assert status in (0, 1)
    assert leftovers(tmp_path) == []
    assert load(tmp_path) == (OLD if status else NEW)


@contextmanager
def reader(folder: Path) -> Iterator[None]:
    """A process that loads the folder all the time, and must never see a mixture or an error."""
    stop, stopped = os.pipe()
    child = os.fork()
    if child == 0:
        status = 2
        try:
            os.set_blocking(stop, False)
            while True:
                load(folder)
                try:
                    if os.read(stop, 1):
                        break
                except BlockingIOError:
                    continue
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    try:
        yield
    finally:
        os.write(stopped, b"x")
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(stop)
        os.close(stopped)
    assert status == 0, "the reader met a mixture or an error"


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["exit", "full"])
@pytest.mark.parametrize("before", ["single", "sharded"])
@pytest.mark.parametrize("after", ["single", "sharded"])
def test_every_pair_of_shardings_with_a_reader_running(
    tmp_path: Path, before: str, after: str, ending: Ending
) -> None:
    """One folder for all n, so that the reader lives through every one of the ends."""
    folder = tmp_path / "folder"
    save(folder, OLD, before)
    total = count_calls(lambda: save(folder, NEW, after))
    with reader(folder):
        for number in range(1, total + 1):
            save(folder, OLD, before)

            def resave(number: int = number) -> None:
                with ending_at(number, ending):
                    save(folder, NEW, after)

            in_child(resave)
            assert load(folder) in (OLD, NEW)
    sweep(tmp_path / "alone", before, after, ending)
    sweep_recovery(tmp_path / "recovery", before, after, ending)


@pytest.mark.slow
def test_fifty_kills_at_random_moments(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    save(folder, 0, "single")
    chance = random.Random(0)
    last = 0
    for turn in range(1, 51):
        child = os.fork()
        if child == 0:
            generation = last
            while True:
                generation += 1
                save(folder, generation, "sharded" if generation % 2 else "single")
        time.sleep(chance.uniform(0.0, 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = load(folder)
        assert found >= last, f"kill {turn}: a committed save was lost"
        last = found
    save(folder, last + 1, "single")
    assert load(folder) == last + 1
    assert leftovers(folder) == []
