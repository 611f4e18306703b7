"""The ramp and the governor's caps: speed, acceleration and jerk, for any wish at any time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros.config.schema import Limits
from vla_ros.motion import governor, ramp
from vla_ros.motion.ramp import AT_REST, Ramp
from vla_ros.values import ZERO_TWIST, Verdict

from .simulator import CONFIG

DT = 0.01
LIMITS = CONFIG.limits
JERK_TOLERANCE = 1.35
"""Single steps may change the rate by a third more than the jerk allows, and only at a speed cap: there the velocity is cut off at
the cap itself. A ramp is foretold to pass a cap by at most a thousandth, 0.15 mm/s, which in one step of 10 ms is 0.015 m/s² or 0.3
of what the jerk allows. Elsewhere the tolerance is rounding."""
twists = st.lists(st.floats(-1, 1), min_size=6, max_size=6).map(np.array)
wishes = st.lists(st.tuples(twists, st.sampled_from([0.02, 0.3, 3.0]), st.integers(1, 60)), min_size=1, max_size=6)
settled = settings(max_examples=60, deadline=None, derandomize=True)


def capped(wish, limits=LIMITS):
    return wish * governor._cap_scale(wish, limits)


def excess(before, after, dt, limits):
    """Speed, acceleration and jerk of a step as shares of their caps, tool and turn."""
    found = []
    caps = ramp_caps(limits)
    for part, (speed, acceleration, jerk) in zip((slice(0, 3), slice(3, 6)), caps, strict=True):
        found.append(
            (
                np.linalg.norm(after.twist[part]) / speed,
                np.linalg.norm(after.twist[part] - before.twist[part]) / dt / acceleration,
                np.linalg.norm(after.rate[part] - before.rate[part]) / dt / jerk,
            )
        )
    return np.max(found, axis=0)


def ramp_caps(limits):
    return (
        (limits.speed, limits.acceleration, limits.jerk),
        (limits.turn_speed, limits.turn_acceleration, limits.turn_jerk),
    )


@settled
@given(wishes, st.sampled_from([0.002, 0.01, 0.025]))
def test_caps_hold_whatever_is_wished(sequence, dt):
    now = AT_REST
    for wish, size, cycles in sequence:
        for _ in range(cycles):
            after = governor._shaped(capped(wish * size), now, dt, LIMITS)
            speed, acceleration, jerk = excess(now, after, dt, LIMITS)
            assert speed <= 1 + 1e-9
            assert acceleration <= 1 + 1e-9
            assert jerk <= JERK_TOLERANCE
            assert np.allclose(after.twist, now.twist + after.rate * dt, atol=1e-12)
            now = after


@settled
@given(wishes)
def test_away_from_the_speed_caps_jerk_holds_exactly(sequence):
    now = AT_REST
    for wish, size, cycles in sequence:
        target = 0.5 * capped(wish * size)
        for _ in range(cycles):
            after = governor._shaped(target, now, DT, LIMITS)
            if np.linalg.norm(after.twist[:3]) < 0.149 and np.linalg.norm(after.twist[3:]) < 0.52:
                assert excess(now, after, DT, LIMITS)[2] <= 1 + 1e-6
            now = after


@settled
@given(twists, st.floats(0.02, 0.25), st.floats(0.1, 2.0), st.floats(1.0, 40.0), st.sampled_from([40, 100, 250]))
def test_a_constant_wish_is_reached_exactly_and_kept(direction, speed, acceleration, jerk, rate):
    limits = Limits(speed=speed, acceleration=acceleration, jerk=jerk)
    target, now = capped(direction, limits), AT_REST
    for _ in range(int(rate * (speed / acceleration + acceleration / jerk + 2.0))):
        now = governor._shaped(target, now, 1 / rate, limits)
    assert np.abs(now.twist - target).max() < 1e-6


states = st.tuples(twists, twists, st.floats(0, 1), st.floats(0, 1)).map(
    lambda s: Ramp(
        np.concatenate([unit(s[0][:3]) * 0.15 * s[2], unit(s[0][3:]) * LIMITS.turn_speed * s[2]]),
        np.concatenate([unit(s[1][:3]) * 0.5 * s[3], unit(s[1][3:]) * LIMITS.turn_acceleration * s[3]]),
    )
)


def unit(vector):
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-6 else np.zeros(3)


def cycles_to_rest(rule, now, dt=DT):
    for cycle in range(1000):
        if not now.twist.any() and not now.rate.any():
            return cycle
        now = rule(now, dt, LIMITS, Verdict.OK).ramp
    raise AssertionError("never at rest")


@settled
@given(states)
def test_brake_and_stop_come_exactly_to_rest_from_every_state(now):
    # 0.15 m/s at 0.5 m/s² take 0.3 s, the jerk 2 × 0.1 s, a rate the wrong way 0.1 s more
    assert cycles_to_rest(governor.brake, now) <= 80
    # 0.15 m/s at 2 m/s² take 0.075 s, the jerk 2 × 0.05 s
    assert cycles_to_rest(governor.stop, now) <= 35


@settled
@given(states)
def test_a_stop_keeps_its_own_limits_and_begins_at_once(now):
    harder = LIMITS.stop_acceleration / LIMITS.acceleration
    first = governor.stop(now, DT, LIMITS, Verdict.STOP_REQUESTED).ramp
    braked = governor.brake(now, DT, LIMITS, Verdict.OK).ramp
    assert np.linalg.norm(first.twist[:3]) <= np.linalg.norm(braked.twist[:3]) + 1e-9
    while now.twist.any():
        after = governor.stop(now, DT, LIMITS, Verdict.STOP_REQUESTED).ramp
        assert np.linalg.norm(after.twist[:3] - now.twist[:3]) <= LIMITS.stop_acceleration * DT * (1 + 1e-9)
        assert np.linalg.norm(after.twist[3:] - now.twist[3:]) <= LIMITS.turn_acceleration * harder * DT * (1 + 1e-9)
        assert np.linalg.norm(after.rate[:3] - now.rate[:3]) <= LIMITS.stop_jerk * DT * (1 + 1e-9)
        now = after


@settled
@given(states)
def test_the_forecast_of_braking_is_what_braking_does(now):
    now = Ramp(now.twist / 2, now.rate / 2)  # so that no cap of speed interferes
    way = ramp.way_to_rest(now, DT, governor.caps(LIMITS))
    place, after = now.twist * DT, now
    while after.twist.any() or after.rate.any():
        after = governor.brake(after, DT, LIMITS, Verdict.OK).ramp
        place = place + after.twist * DT
    assert np.abs(way.places[-1] - place).max() < 5e-4
    assert np.abs(way.twists[-1]).max() < 1e-5


def test_braking_takes_the_shortest_way_from_full_speed():
    now = Ramp(np.array([0.15, 0, 0, 0, 0, 0]), ZERO_TWIST)
    way = ramp.way_to_rest(now, DT, governor.caps(LIMITS))
    # v²/2a + v·a/2j = 0.0225 + 0.0075 m
    assert way.places[-1][0] == pytest.approx(0.0225 + 0.0075, abs=0.0005)


def test_a_ramp_remembers_what_was_sent():
    now = AT_REST
    for _ in range(100):
        now = governor._shaped(np.array([0.1, 0, 0, 0, 0, 0]), now, DT, LIMITS)
    assert math.isclose(sum(sent.seconds for sent in now.past), 0.3)
    assert now.past[-1].speed == pytest.approx(0.1)


def test_nothing_changes_at_rest():
    assert not governor.brake(AT_REST, DT, LIMITS, Verdict.OK).twist.any()
    assert not governor.stop(AT_REST, DT, LIMITS, Verdict.OK).twist.any()
