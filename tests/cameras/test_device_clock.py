"""The host's time of a device's stamps: offset, drift, jitter, a counter that begins anew, a clock that jumps."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.cameras.device_clock import MAX_DRIFT, DeviceClock, Line, Point, line_below, unwrap
from vla_ros.clock import MILLISECOND, SECOND

PERIOD = SECOND // 30
TRANSPORT = 3 * MILLISECOND
OFFSET = 1_234 * SECOND


def errors(seconds, drift=0.0, jitter=0.0, drop=0.0, counter=0, start=0, seed=1):
    """By how many ns each frame's moment is mapped wrongly: a clock `drift` too slow, transport of TRANSPORT and random `jitter` s."""
    chance, clock, found = random.Random(seed), DeviceClock(counter), []
    for k in range(int(seconds * 30)):
        if chance.random() < drop:
            continue
        device = start + k * PERIOD
        true = OFFSET + round(k * PERIOD * (1 + drift))
        arrival = true + TRANSPORT + round(chance.expovariate(1 / jitter) * SECOND if jitter else 0)
        found.append(clock.to_host(device % counter if counter else device, arrival) - true)
    return found


def test_the_shortest_transport_is_all_that_is_not_known():
    assert errors(20) == [TRANSPORT] * 600


@pytest.mark.parametrize("drift", [-50e-6, 50e-6, 150e-6])
def test_a_drifting_clock_with_jitter_and_drops_is_followed(drift):
    found = errors(120, drift=drift, jitter=0.005, drop=0.2)
    assert max(abs(error - TRANSPORT) for error in found[len(found) // 4 :]) < 2 * MILLISECOND


def test_jitter_of_the_first_seconds_does_not_pass_for_drift():
    assert max(errors(4, jitter=0.02)[30:]) < TRANSPORT + 5 * MILLISECOND
    steep = [Point(0, 0), Point(SECOND, 20 * MILLISECOND)]
    assert line_below(steep).drift == 0


def test_a_burst_of_late_arrivals_moves_nothing():
    clock = DeviceClock()
    for k in range(600):
        late = 300 * MILLISECOND if 300 <= k < 420 else 0
        assert clock.to_host(k * PERIOD, OFFSET + k * PERIOD + late) == pytest.approx(OFFSET + k * PERIOD, abs=1000)


def test_the_counter_begins_anew_every_72_minutes_and_nobody_notices():
    counter = (1 << 32) * 1000
    found = errors(20, jitter=0.002, drop=0.1, counter=counter, start=counter - 10 * SECOND)
    assert max(abs(error - TRANSPORT) for error in found[30:]) < 2 * MILLISECOND


@pytest.mark.parametrize("jump", [-900 * SECOND, -PERIOD * 2, SECOND, 900 * SECOND])
def test_a_clock_that_jumps_is_learnt_anew_at_once(jump):
    clock = DeviceClock((1 << 32) * 1000)
    for k in range(300):
        clock.to_host(1000 * SECOND + k * PERIOD, OFFSET + k * PERIOD)
    for k in range(300, 400):
        assert clock.to_host(1000 * SECOND + k * PERIOD + jump, OFFSET + k * PERIOD) == OFFSET + k * PERIOD


@given(
    last=st.integers(0, 1 << 50),
    step=st.integers(-(1 << 30), 1 << 30),
    period=st.sampled_from([1 << 32, (1 << 32) * 1000]),
)
def test_unwrap_finds_any_step_shorter_than_half_a_period(last, step, period):
    assert unwrap((last + step) % period, last, period) == last + step


@given(st.lists(st.integers(0, 10 * MILLISECOND), min_size=1, max_size=60))
def test_no_point_is_below_the_line_and_no_drift_beyond_a_clocks(lags):
    points = [Point(k * SECOND, lag) for k, lag in enumerate(lags)]
    line = line_below(points)
    assert abs(line.drift) <= MAX_DRIFT
    assert all(point.lag >= line.at(point.device) - 1 for point in points)
    assert min(point.lag - line.at(point.device) for point in points) <= 1


def test_a_drift_that_no_clock_has_is_the_transport_s():
    steep = [Point(k * SECOND, k * 10 * MILLISECOND) for k in range(20)]
    assert line_below(steep).drift == MAX_DRIFT
    assert line_below([Point(k * SECOND, -lag) for k, (_, lag) in enumerate(steep)]).drift == -MAX_DRIFT


def test_the_line_is_the_nearest_of_those_below():
    drift = 40e-6
    chance = random.Random(3)
    points = [Point(k * SECOND, round(k * SECOND * drift) + round(chance.expovariate(1) * 2e6)) for k in range(60)]
    best = line_below(points)

    def distance(line):
        return sum(point.lag - line.lag - line.drift * (point.device - line.device) for point in points)

    for i, a in enumerate(points):
        for b in points[i + 1 :]:
            other = Line(a.device, a.lag, (b.lag - a.lag) / (b.device - a.device))
            if all(point.lag >= other.at(point.device) - 1 for point in points):
                assert distance(best) <= distance(other) + 100
    assert best.drift == pytest.approx(drift, abs=10e-6)
