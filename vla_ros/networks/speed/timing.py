"""Times of things that do the same, taken in turn: what slows the machine down slows all of them down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.clock import MILLISECOND, Clock, MonotonicClock

WARM_UP = 3
Call = Callable[[], object]
Work = Mapping[str, Call]
Stopwatch = Callable[[Call], float]
"""Runs a call and says how long it took, ms."""


@dataclass(frozen=True)
class Share:
    """A ratio with its interval: `sure` is the probability that the order statistics low … high hold the median."""

    value: float
    low: float
    high: float
    n: int
    sure: float


def by_clock(clock: Clock | None = None) -> Stopwatch:
    """Measures calls by a clock; without one by that of this host."""
    used = clock or MonotonicClock()

    def measured(call: Call) -> float:
        began = used.now()
        call()
        return (used.now() - began) / MILLISECOND

    return measured


def interleaved(
    work: Work,
    rounds: int,
    stopwatch: Stopwatch | None = None,
    warm_up: int = WARM_UP,
    done: Callable[[], object] = lambda: None,
) -> dict[str, NDArray[np.float64]]:
    """Milliseconds (rounds,) of each: A B C A B C …, after `warm_up` rounds that do not count. `done` hears of every round."""
    stopwatch = stopwatch or by_clock()
    times: dict[str, list[float]] = {name: [] for name in work}
    for number in range(-warm_up, rounds):
        for name, call in work.items():
            took = stopwatch(call)
            if number >= 0:
                times[name].append(took)
        done()
    return {name: np.array(values, np.float64) for name, values in times.items()}


def ratio(slow: NDArray[np.float64], fast: NDArray[np.float64]) -> Share:
    """How many times as long `slow` takes: the median over the rounds, each a pair that was measured one after the other."""
    ratios = np.sort(slow / fast)
    n = len(ratios)
    rank, sure = median_rank(n)
    return Share(float(np.median(ratios)), float(ratios[rank]), float(ratios[n - 1 - rank]), n, sure)


def median_rank(n: int, sure: float = 0.95) -> tuple[int, float]:
    """The largest k for which the k-th smallest and the k-th largest of n (from 0) hold the median with probability `sure`, and that

    probability; where even the extremes do not, 0 and theirs. (The number below the median is binomial with n and a half.)
    """
    held, below = 0, 0.0
    for k in range((n + 1) // 2):
        below += math.comb(n, k) / 2**n
        if 1 - 2 * below < sure:
            break
        held = k
    covered = 1 - 2 * sum(math.comb(n, k) for k in range(held + 1)) / 2**n
    return held, max(0.0, covered)


def least(work: Work, rounds: int = 30, stopwatch: Stopwatch | None = None) -> dict[str, float]:
    """The least time of each, ms: what another process takes away is not in it."""
    return {name: float(times.min()) for name, times in interleaved(work, rounds, stopwatch).items()}
