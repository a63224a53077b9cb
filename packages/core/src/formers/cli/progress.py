"""Showing that something takes a while, to people only: on a terminal, and after a second."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

__all__ = ["waiting"]

_PATIENCE = 1.0  # seconds
_TICK = 0.1


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say what is going on and for how long, on a line that is gone in the end; only if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    ticker = threading.Thread(target=_tick, args=(what, done), daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()


def _tick(what: str, done: threading.Event) -> None:
    started, line = time.monotonic(), ""
    pause = _PATIENCE
    while not done.wait(pause):
        pause = _TICK
        line = f"{what} ... {time.monotonic() - started:.1f} s"
        sys.stderr.write(f"\r{line}")
        sys.stderr.flush()
    if line:
        sys.stderr.write(f"\r{' ' * len(line)}\r")
        sys.stderr.flush()
