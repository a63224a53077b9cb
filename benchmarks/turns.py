"""Two libraries do the same work in turns, in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

WARM_UP = 4  # rounds that are not counted


class Turns(NamedTuple):
    """Median milliseconds of one call of each, and the median of the rounds' ratios, ours to theirs."""

    ours: float
    theirs: float
    ratio: float


def take_turns(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    rounds: int,
    calls: int = 1,
    warm_up: int = WARM_UP,
) -> Turns:
    """Time both. ``calls`` calls make a turn: where one lasts a millisecond, single ones would measure cold caches.

    Who begins alternates, and the ratio is taken within each round, so that a machine that slows down slows both.
    """
    times: dict[Callable[[], object], list[float]] = {ours: [], theirs: []}
    for turn in range(warm_up + rounds):
        for work in (ours, theirs) if turn % 2 else (theirs, ours):
            started = time.perf_counter()
            for _ in range(calls):
                work()
            times[work].append(1000 * (time.perf_counter() - started) / calls)
    mine, others = times[ours][warm_up:], times[theirs][warm_up:]
    ratios = [one / other for one, other in zip(mine, others, strict=True)]
    return Turns(statistics.median(mine), statistics.median(others), statistics.median(ratios))
