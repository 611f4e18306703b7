"""The two clocks."""

import time

from vla_ros.clock import MILLISECOND, MonotonicClock, VirtualClock


def test_the_virtual_clock_jumps_forward_only():
    clock = VirtualClock(5)
    clock.sleep_until(9)
    assert clock.now() == 9
    clock.sleep_until(7)
    assert clock.now() == 9


def test_the_monotonic_clock_is_that_of_every_process():
    before = time.monotonic_ns()
    now = MonotonicClock().now()
    assert before <= now <= time.monotonic_ns()


def test_the_monotonic_clock_never_wakes_early():
    clock = MonotonicClock()
    for wait in (0, 1, 2 * MILLISECOND):
        moment = clock.now() + wait
        clock.sleep_until(moment)
        assert clock.now() >= moment


def test_a_moment_that_is_past_returns_at_once():
    clock = MonotonicClock()
    clock.sleep_until(0)
    clock.sleep_until(clock.now() - 10**12)
