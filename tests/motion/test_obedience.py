"""Feedback that cannot be true and an arm that does not heed: both are seen, and nothing else is taken for them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros import kinematics
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.kinematics import HOME
from vla_ros.motion import obedience
from vla_ros.motion.ramp import Ramp
from vla_ros.values import Mode, Teleop, Verdict

from .simulator import CONFIG, PERIOD, Bench, above

DELAYS = st.integers(40, 120)


def playing(delay=80, shift=(0.12, 0.0, 0.1)):
    bench = Bench(HOME, delay * MILLISECOND).enabled()
    bench.step(bench.chunk(count=40, shift=shift))
    bench.run(0.8)
    assert np.linalg.norm(bench.commands[-1].twist[:3]) > 0.02
    return bench


def until_stopped(bench, seconds):
    for i in range(round(seconds * SECOND / PERIOD)):
        if bench.step().mode is Mode.STOPPED:
            return i * PERIOD
    return None


@pytest.mark.parametrize("delay", [40, 80, 120])
def test_feedback_that_stands_still_under_fresh_stamps_stops_a_moving_arm(delay):
    bench = playing(delay)
    frozen = bench.arm.state()
    bench.overrides |= {name: getattr(frozen, name) for name in ("joints", "velocities", "tool")}
    after = until_stopped(bench, 1.0)
    assert bench.commands[-1].verdict is Verdict.STOP_FEEDBACK_FROZEN
    assert after <= CONFIG.deadlines.feedback_stop * SECOND + PERIOD


def test_an_arm_at_rest_may_stand_still():
    bench = Bench(HOME).enabled()
    assert bench.run(3.0).mode is Mode.IDLE


@settings(max_examples=6, deadline=None, derandomize=True)
@given(DELAYS)
def test_an_arm_that_goes_on_with_an_old_command_is_stopped(delay):
    bench = playing(delay)
    bench.step(stop=False)
    bench.arm.send = lambda twist: None  # what is sent gets lost: the last command stays
    bench.fields["instruction"] = ""
    after = until_stopped(bench, 1.5)
    assert after is not None
    assert bench.commands[-1].verdict is Verdict.STOP_ASTRAY
    braking = CONFIG.limits.speed / CONFIG.limits.acceleration + CONFIG.limits.acceleration / CONFIG.limits.jerk
    assert after <= (braking + 1.5 * CONFIG.servo.delay + 0.15) * SECOND


def test_an_arm_that_moves_by_itself_is_stopped():
    bench = Bench(HOME).enabled()
    bench.run(0.5)
    bench.arm.send(np.array([0.0, 0.08, 0.0, 0.0, 0.0, 0.0]))  # somebody else's command
    bench.arm.send = lambda twist: None
    assert until_stopped(bench, 1.0) <= 300 * MILLISECOND
    assert bench.commands[-1].verdict is Verdict.STOP_ASTRAY


@pytest.mark.parametrize("way", [(0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("speed", [0.03, 0.08, 0.15])
def test_a_deaf_arm_on_its_way_out_is_stopped_before_it_is_out(way, speed):
    bench = Bench(above((0.47, 0.0, 0.1))).enabled()
    bench.run(0.2)
    acting = np.array([*(speed * np.array(way)), 0.0, 0.0, 0.0])
    bench.cycle._doubted = lambda s, now, arm: _only_trespass(bench, s, now, arm)
    bench.arm.send(acting)
    bench.arm.send = lambda twist: None
    assert until_stopped(bench, 20.0) is not None
    assert bench.commands[-1].verdict is Verdict.STOP_TRESPASS
    tool = bench.arm.state().tool
    left = np.minimum(np.array(CONFIG.workspace.high) - tool.position, tool.position - np.array(CONFIG.workspace.low))
    left[2] = min(CONFIG.workspace.high[2] - tool.position[2], kinematics.finger_bottom(tool) - 0.003)
    assert speed * 0.04 + speed**2 / (2 * CONFIG.limits.stop_acceleration) < left.min() + 0.001


def _only_trespass(bench, s, now, arm):
    """As the cycle does it, for an arm that is told to do what it does: then only where it is headed can tell."""
    twist = np.concatenate([bench.arm._twist[:3], np.zeros(3)])
    record, verdict = obedience.watched(s.record, arm, Ramp(twist, np.zeros(6)), now, bench.cycle._bounds, 0.15)
    return replace(s, record=record, disobeyed=verdict)


def test_an_arm_that_is_held_back_is_not_astray():
    bench = playing()
    bench.arm.send = lambda twist: None
    bench.arm._underway.clear()
    bench.arm._twist = np.zeros(6)
    seen = {bench.step().verdict for _ in range(10)}
    assert Verdict.STOP_ASTRAY not in seen


moves = st.tuples(*[st.floats(-0.06, 0.06)] * 3)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.lists(st.tuples(moves, st.integers(3, 40), st.booleans()), min_size=2, max_size=8), DELAYS)
def test_no_motion_of_an_obedient_arm_is_taken_for_disobedience(sequence, delay):
    bench = Bench(above((0.47, 0.0, 0.12)), delay * MILLISECOND).enabled()
    for shift, cycles, by_hand in sequence:
        bench.step(bench.chunk(count=6, shift=tuple(6 * np.array(shift) * 0.4)))
        for _ in range(cycles):
            if by_hand:
                twist = np.array([*(10 * np.array(shift)), 0.0, 0.0, 3.0 * shift[0]])
                bench.fields["teleop"] = Teleop(bench.now, twist)
            assert bench.step().mode is not Mode.STOPPED, bench.commands[-1].verdict
