"""Running until the time a run takes has settled: clocks rise, kernels are compiled, caches fill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from vla_ros.clock import Clock

RUNS = 300
"""At most; a GPU at rest takes about as many runs of a millisecond to reach its clocks."""
BLOCK = 25
SETTLED = 0.02


def warm_up(run: Callable[[], object], clock: Clock) -> int:
    """Run until the median of a block is within 2 % of the block's before, at most 300 times: how often it ran."""
    medians: list[float] = []
    while not _settled(medians) and len(medians) * BLOCK < RUNS:
        medians.append(median(_timed(run, clock) for _ in range(BLOCK)))
    return len(medians) * BLOCK


def _settled(medians: Sequence[float]) -> bool:
    return len(medians) > 1 and abs(medians[-1] - medians[-2]) <= SETTLED * medians[-2]


def _timed(run: Callable[[], object], clock: Clock) -> int:
    started = clock.now()
    run()
    return clock.now() - started
