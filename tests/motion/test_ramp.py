"""The ramp and the governor's caps: speed, acceleration and jerk, for any wish at any time."""

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros.config.schema import Limits
from vla_ros.motion import governor, ramp
from vla_ros.motion.ramp import AT_REST, Ramp
from vla_ros.motion.stopping import Bounds, caps, reaches
from vla_ros.values import ZERO_TWIST, Verdict

from .simulator import CONFIG

DT = 0.01
LIMITS = CONFIG.limits
BOUNDS = Bounds(LIMITS, CONFIG.workspace, CONFIG.servo.delay)
EXACT = 1 + 1e-9
twists = st.lists(st.floats(-1, 1), min_size=6, max_size=6).map(np.array)
against = st.just(None)
"""In place of a direction: whatever the tool does, the opposite."""
wishes = st.lists(
    st.tuples(st.one_of(twists, twists, against), st.sampled_from([0.02, 0.3, 3.0]), st.integers(1, 60)),
    min_size=1,
    max_size=6,
)
jitters = st.lists(st.floats(0.2, 2.0), min_size=7, max_size=7)
"""Lengths of cycles as shares of the period, again and again."""
settled = settings(max_examples=60, deadline=None, derandomize=True)


def capped(wish, limits=LIMITS):
    return wish * governor._cap_scale(wish, limits)


def excess(before, after, dt, limits):
    """Speed, acceleration and jerk of a step as shares of their caps, tool and turn."""
    found = []
    for part, (speed, acceleration, jerk) in zip((slice(0, 3), slice(3, 6)), halves(limits), strict=True):
        found.append(
            (
                np.linalg.norm(after.twist[part]) / speed,
                np.linalg.norm(after.twist[part] - before.twist[part]) / dt / acceleration,
                np.linalg.norm(after.rate[part] - before.rate[part]) / dt / jerk,
            )
        )
    return np.max(found, axis=0)


def halves(limits):
    return (
        (limits.speed, limits.acceleration, limits.jerk),
        (limits.turn_speed, limits.turn_acceleration, limits.turn_jerk),
    )


@settled
@given(wishes, st.sampled_from([0.002, 0.004, 0.01, 0.025]), jitters)
def test_speed_acceleration_and_jerk_hold_exactly_whatever_is_wished_and_however_cycles_jitter(
    sequence, period, shares
):
    now, cycle = AT_REST, 0
    for direction, size, cycles in sequence:
        for _ in range(cycles):
            wish = -10 * now.twist if direction is None else direction * size
            dt, cycle = period * shares[cycle % len(shares)], cycle + 1
            after = governor._shaped(capped(wish), now, dt, LIMITS)
            assert (excess(now, after, dt, LIMITS) <= EXACT).all()
            assert np.abs(after.twist - now.twist - after.rate * dt).max() < 1e-15
            now = after


numbers = st.tuples(
    st.floats(0.02, 0.25), st.floats(0.1, 2.0), st.floats(1.0, 40.0), st.floats(0.05, 1.0), st.floats(0.3, 6.0)
)


def limits_of(numbers):
    speed, acceleration, jerk, turn_speed, turn_acceleration = numbers
    return Limits(
        speed=speed,
        acceleration=acceleration,
        jerk=jerk,
        turn_speed=turn_speed,
        turn_acceleration=turn_acceleration,
        turn_jerk=jerk,
    )


@settled
@given(twists, numbers.map(limits_of), st.sampled_from([40, 100, 250]))
def test_a_constant_wish_is_taken_up_in_its_direction_reached_exactly_and_kept(direction, limits, rate):
    target, now = capped(direction, limits), AT_REST
    slowest = limits.speed / limits.acceleration + limits.turn_speed / limits.turn_acceleration
    building = (limits.acceleration + limits.turn_acceleration) / limits.jerk
    for _ in range(int(rate * (slowest + building)) + 20):
        now = governor._shaped(target, now, 1 / rate, limits)
        along = now.twist @ target / max(target @ target, 1e-12)
        assert -1e-9 <= along <= EXACT
        assert np.abs(now.twist - along * target).max() < 1e-12
    assert (now.twist == target).all()
    assert not now.rate.any()


@settled
@given(twists, st.sampled_from([0.004, 0.01, 0.02]), st.sampled_from([governor.brake, governor.stop]))
def test_braking_keeps_the_direction(direction, dt, rule):
    start = capped(direction)
    if start @ start < 1e-6:
        return
    now, before = Ramp(start, ZERO_TWIST), 1.0
    while now.twist.any():
        now = rule(now, dt, LIMITS, Verdict.OK).ramp
        along = now.twist @ start / (start @ start)
        assert -1e-12 <= along < before
        assert np.abs(now.twist - along * start).max() < 1e-12
        before = along


@pytest.mark.parametrize("cycle_of_turning", range(5, 40, 5))
def test_the_way_does_not_overshoot_while_the_turn_is_reversed(cycle_of_turning):
    now = Ramp(np.array([0.15, 0, 0, 0, 0, 0.5]), ZERO_TWIST)
    for cycle in range(120):
        turn = 0.5 if cycle < cycle_of_turning else -0.5
        now = governor._shaped(np.array([0.02, 0, 0, 0, 0, turn]), now, DT, LIMITS)
        assert 0.02 - 1e-3 < now.twist[0] <= 0.15
    assert np.abs(now.twist - [0.02, 0, 0, 0, 0, -0.5]).max() < 1e-9


states = st.tuples(twists, twists, *[st.sampled_from([0.0, 0.3, 0.7, 1.0])] * 4).map(
    lambda s: Ramp(
        np.concatenate([unit(s[0][:3]) * LIMITS.speed * s[2], unit(s[0][3:]) * LIMITS.turn_speed * s[3]]),
        np.concatenate([unit(s[1][:3]) * LIMITS.acceleration * s[4], unit(s[1][3:]) * LIMITS.turn_acceleration * s[5]]),
    )
)
"""Any motion inside the caps of speed and acceleration."""


def unit(vector):
    length = np.linalg.norm(vector)
    return vector / length if length > 1e-6 else np.zeros(3)


def seconds_to_rest(rule, now, limits=LIMITS, period=DT, shares=(1.0,)):
    seconds = 0.0
    for cycle in range(5000):
        if not now.twist.any() and not now.rate.any():
            return seconds
        dt = period * shares[cycle % len(shares)]
        now = rule(now, dt, limits, Verdict.OK).ramp
        seconds += dt
    raise AssertionError("never at rest")


@settled
@given(states)
def test_braking_comes_exactly_to_rest_from_every_state(now):
    # 0.15 m/s at 0.5 m/s² or 30 °/s at 90 °/s²: 0.33 s, the jerk 0.1 s, a rate the wrong way 0.2 s and what it adds, the end 0.05 s
    assert seconds_to_rest(governor.brake, now) <= 0.7


@settled
@given(states, st.sampled_from([0.004, 0.01, 0.02]), jitters)
def test_a_stop_is_at_rest_within_its_seconds(now, period, shares):
    assert seconds_to_rest(governor.stop, now, LIMITS, period, [s / 2 for s in shares]) <= governor.stop_seconds(
        LIMITS, period
    )


@settled
@given(twists, numbers.map(limits_of), st.floats(1, 5), st.floats(1, 10))
def test_a_stop_is_at_rest_within_its_seconds_whatever_the_limits_are(direction, limits, harder, sharper):
    limits = limits.model_copy(
        update={"stop_acceleration": limits.acceleration * harder, "stop_jerk": limits.jerk * sharper}
    )
    now = Ramp(capped(direction * 10, limits), ZERO_TWIST)
    assert seconds_to_rest(governor.stop, now, limits) <= governor.stop_seconds(limits, DT)


def test_the_ordinary_stop_takes_less_than_a_quarter_of_a_second():
    assert governor.stop_seconds(LIMITS, DT) == pytest.approx(0.2383, abs=1e-3)


@settled
@given(states)
def test_a_stop_keeps_its_own_limits_and_begins_at_once(now):
    hard = governor.stop_caps(LIMITS)
    first = governor.stop(now, DT, LIMITS, Verdict.STOP_REQUESTED).ramp
    assert not now.twist.any() or (first.rate - now.rate) @ now.twist < 0
    while now.twist.any():
        after = governor.stop(now, DT, LIMITS, Verdict.STOP_REQUESTED).ramp
        assert np.linalg.norm(after.twist[:3] - now.twist[:3]) <= hard.acceleration * DT * EXACT
        assert np.linalg.norm(after.twist[3:] - now.twist[3:]) <= hard.turn_acceleration * DT * EXACT
        assert np.linalg.norm(after.rate[:3] - now.rate[:3]) <= hard.jerk * DT * EXACT
        assert np.linalg.norm(after.rate[3:] - now.rate[3:]) <= hard.turn_jerk * DT * EXACT
        now = after


@settled
@given(twists, st.floats(1.1, 3.0), twists)
def test_a_motion_over_the_speed_cap_is_led_in_and_never_gets_faster(direction, times, wish):
    now, target = Ramp(capped(direction * 10) * times, ZERO_TWIST), capped(wish)
    for _ in range(150):
        after = governor._shaped(target, now, DT, LIMITS)
        for part, cap in ((slice(0, 3), LIMITS.speed), (slice(3, 6), LIMITS.turn_speed)):
            assert np.linalg.norm(after.twist[part]) <= max(cap, np.linalg.norm(now.twist[part])) * EXACT
        assert (excess(now, after, DT, LIMITS)[1:] <= EXACT).all()
        now = after
    assert excess(now, now, DT, LIMITS)[0] <= EXACT


straight = st.tuples(states, st.floats(-3, 3)).map(lambda s: Ramp(s[0].twist, s[1] * s[0].twist))
"""Motions that gain or lose speed in their own direction."""


@settled
@given(st.one_of(states, straight))
def test_the_forecast_of_braking_is_what_braking_does(now):
    way = ramp.way_to_rest(now, DT, caps(LIMITS))
    place, after = now.twist * DT, now
    for foretold in range(1, len(way.twists)):
        after = governor.brake(after, DT, LIMITS, Verdict.OK).ramp
        place = place + after.twist * DT
        assert np.abs(way.twists[foretold] - after.twist).max() < 1e-12
        assert np.abs(way.places[foretold] - place).max() < 1e-12
    assert np.abs(after.twist).max() < 1e-5


@settled
@given(states, st.sampled_from([0.0005, 0.002, 0.004]))
def test_short_cycles_do_not_shorten_the_forecast(now, dt):
    way, usual = ramp.way_to_rest(now, dt, caps(LIMITS)), ramp.way_to_rest(now, DT, caps(LIMITS))
    assert np.abs(way.places[-1] - usual.places[-1]).max() < 1e-12


@settled
@given(states)
def test_no_way_to_rest_is_longer_than_reckoned(now):
    reach, turned = reaches(now, DT, BOUNDS)
    late = 1.5 * BOUNDS.delay * now.twist
    places = late + ramp.way_to_rest(now, DT, caps(LIMITS)).places
    assert np.linalg.norm(places[:, :3], axis=1).max() <= reach
    assert np.linalg.norm(places[:, 3:], axis=1).max() <= turned


def test_braking_takes_the_shortest_way_from_full_speed():
    now = Ramp(np.array([0.15, 0, 0, 0, 0, 0]), ZERO_TWIST)
    way = ramp.way_to_rest(now, DT, caps(LIMITS))
    # v²/2a + v·a/2j = 0.0225 + 0.0075 m
    assert way.places[-1][0] == pytest.approx(0.0225 + 0.0075, abs=0.001)


@settled
@given(jitters, st.sampled_from([0.004, 0.01]))
def test_a_ramp_remembers_what_was_sent_for_as_long_as_an_arm_may_be_late(shares, period):
    now = AT_REST
    for cycle in range(400):
        now = governor._shaped(np.array([0.1, 0, 0, 0, 0, 0]), now, period * shares[cycle % len(shares)], LIMITS)
    remembered = sum(sent.seconds for sent in now.past)
    assert 0.3 - 1e-8 <= remembered <= 0.3 + 2 * period
    assert now.past[-1].speed == pytest.approx(0.1)


def test_nothing_changes_at_rest():
    assert not governor.brake(AT_REST, DT, LIMITS, Verdict.OK).twist.any()
    assert not governor.stop(AT_REST, DT, LIMITS, Verdict.OK).twist.any()


def test_the_caps_are_those_of_the_limits():
    assert {f.name: getattr(caps(LIMITS), f.name) for f in fields(ramp.Caps)} == {
        f.name: getattr(LIMITS, f.name) for f in fields(ramp.Caps)
    }
    assert governor.stop_caps(LIMITS).turn_acceleration == pytest.approx(math.radians(360))
