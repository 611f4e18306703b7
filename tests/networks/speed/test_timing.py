"""Times taken in turn, on a clock that the contestants move."""

import math

import numpy as np
import pytest

from vla_ros.clock import MILLISECOND, VirtualClock
from vla_ros.networks.speed.timing import by_clock, interleaved, least, median_rank, ratio


def working(clock, order, name, times):
    durations = iter(times)

    def call():
        order.append(name)
        clock.sleep_until(clock.now() + round(next(durations) * MILLISECOND))

    return call


def test_contestants_take_turns_and_warm_ups_do_not_count():
    clock, order, rounds = VirtualClock(), [], []
    work = {"a": working(clock, order, "a", [9, 9, 1, 2]), "b": working(clock, order, "b", [9, 9, 4, 4])}
    times = interleaved(work, 2, by_clock(clock), 2, lambda: rounds.append(len(order)))
    assert order == ["a", "b"] * 4
    assert rounds == [2, 4, 6, 8]
    assert times["a"].tolist() == [1, 2]
    share = ratio(times["b"], times["a"])
    assert (share.value, share.low, share.high, share.n) == (3.0, 2.0, 4.0, 2)
    assert share.sure == 0.5  # two values hold a median with one half


def test_the_least_time_is_not_the_disturbed_one():
    clock, order = VirtualClock(), []
    work = {"a": working(clock, order, "a", [9, 9, 9, 5, 3, 7])}
    assert least(work, 3, by_clock(clock)) == {"a": 3.0}


@pytest.mark.parametrize("n", [6, 10, 20, 51])
def test_an_interval_holds_the_median_as_often_as_it_says(n):
    rank, sure = median_rank(n)
    assert sure >= 0.95
    assert median_rank(n, sure + 1e-9)[0] < rank or rank == 0
    random = np.random.default_rng(n)
    drawn = np.sort(random.normal(size=(20_000, n)), axis=1)
    held = np.mean((drawn[:, rank] <= 0) & (drawn[:, n - 1 - rank] >= 0))
    assert held == pytest.approx(sure, abs=5 * math.sqrt(sure * (1 - sure) / 20_000) + 1e-3)
