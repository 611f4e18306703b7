"""The player: what it wants is continuous where chunks meet, on time, and never runs backwards."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros import geometry
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.motion import player, tracker
from vla_ros.values import ActionChunk, Setpoint

from .simulator import START

STEP = 100 * MILLISECOND
BLEND = 0.06
settled = settings(max_examples=60, deadline=None, derandomize=True)
small = st.floats(-1, 1)
sixes = st.lists(small, min_size=6, max_size=6).map(np.array)


def chunk_of(moves, turns=None, stamp=START, grippers=None, execute=None):
    """Targets that add up the moves (n, 3) m, and the turns (n, 3) rad, from over the table."""
    n = len(moves)
    quaternions = [TOOL_DOWN]
    for turn in np.zeros((n, 3)) if turns is None else turns:
        quaternions.append(geometry.multiply(geometry.exp(np.asarray(turn)), quaternions[-1]))
    return ActionChunk(
        stamp,
        STEP,
        np.array([0.45, 0.0, 0.2]) + np.cumsum(np.asarray(moves, float), axis=0),
        np.array(quaternions[1:]),
        np.zeros(n) if grippers is None else np.asarray(grippers, float),
        execute or n,
        "test",
        "lift",
        1,
    )


chunks = st.lists(sixes, min_size=2, max_size=12).map(
    lambda rows: chunk_of([0.02 * r[:3] for r in rows], [0.08 * r[3:] for r in rows])
)


def velocity_at(playback, now, step=MILLISECOND // 10):
    a, b = (player.setpoint(playback, now + d).tool for d in (0, step))
    linear = (b.position - a.position) / (step / SECOND)
    return np.concatenate([linear, geometry.difference(b.quaternion, a.quaternion) / (step / SECOND)])


@settled
@given(chunks, st.floats(0, 0.3), sixes, sixes, sixes)
def test_a_join_is_continuous_in_position_and_velocity(chunk, age, offset, velocity, acceleration):
    now = START + int(age * SECOND)
    velocity, acceleration = 0.15 * velocity, 0.5 * acceleration
    here = Pose(
        np.array([0.45, 0, 0.2]) + 0.03 * offset[:3],
        geometry.multiply(geometry.exp(0.1 * offset[3:]), TOOL_DOWN),
    )
    playback = player.join(chunk, now, here, velocity, acceleration, BLEND)
    wanted = player.setpoint(playback, now)
    # C0: to rounding (< 1e-9 m, 1e-7 rad)
    assert np.abs(wanted.tool.position - here.position).max() < 1e-9
    assert np.linalg.norm(geometry.difference(wanted.tool.quaternion, here.quaternion)) < 1e-7
    # C1: the velocity under way, to rounding; the setpoint really moves so: within the 0.1 ms of the difference quotient
    assert np.abs(wanted.twist - velocity).max() < 1e-9
    assert np.abs(velocity_at(playback, now)[:3] - velocity[:3]).max() < 3e-3
    # rotation vectors do not add: second order in offsets of 0.17 rad and more
    assert np.abs(velocity_at(playback, now)[3:] - velocity[3:]).max() < 0.25


@settled
@given(chunks, st.floats(0.0, 0.3), sixes)
def test_after_the_blend_the_chunk_itself_is_wanted(chunk, age, velocity):
    now = START + int(age * SECOND)
    here = Pose(np.array([0.46, 0.01, 0.21]), TOOL_DOWN)
    playback = player.join(chunk, now, here, 0.1 * velocity, np.zeros(6), BLEND)
    later = now + int(BLEND * SECOND)
    plain = player._motion(chunk, later)
    wanted = player.setpoint(playback, later)
    assert np.allclose(wanted.tool.position, plain.pose.position, atol=1e-12)
    assert np.allclose(wanted.twist, plain.velocity, atol=1e-12)


@settled
@given(chunks, sixes)
def test_the_setpoint_has_no_jumps_anywhere(chunk, velocity):
    now = START + 70 * MILLISECOND
    playback = player.join(chunk, now, Pose(np.array([0.46, 0, 0.2]), TOOL_DOWN), 0.1 * velocity, np.zeros(6), BLEND)
    positions = [player.setpoint(playback, now + i * MILLISECOND).tool.position for i in range(len(chunk) * 100)]
    # an offset of some cm led away in 60 ms is about 1 m/s at most
    assert np.abs(np.diff(positions, axis=0)).max() < 2.5e-3


def test_the_chunk_passes_through_its_targets_at_their_time():
    chunk = chunk_of([[0.01, 0, 0], [0.01, 0.005, 0], [0, 0.01, 0.01], [0, 0, 0.01]])
    here = Pose(chunk.positions[0] - [0.01, 0, 0], TOOL_DOWN)
    playback = player.join(chunk, START, here, np.zeros(6), np.zeros(6), BLEND)
    for k in range(1, 4):
        wanted = player.setpoint(playback, START + (k + 1) * STEP)
        assert np.allclose(wanted.tool.position, chunk.positions[k], atol=1e-12)


def test_a_smooth_chunk_is_smooth_within():
    """C1 at the targets: the quotient on both sides of each differs by what the curve bends in 0.2 ms."""
    chunk = chunk_of([[0.010, 0, 0], [0.012, 0.002, 0], [0.012, 0.004, 0], [0.01, 0.006, 0], [0.008, 0.006, 0]])
    playback = player.join(chunk, START, Pose(np.array([0.45, 0, 0.2]), TOOL_DOWN), np.zeros(6), np.zeros(6), BLEND)
    for k in range(1, 4):
        at = START + (k + 1) * STEP
        before = velocity_at(playback, at - MILLISECOND // 10)
        after = velocity_at(playback, at)
        assert np.abs(before - after).max() < 1e-3


@pytest.mark.parametrize(("late", "consumed"), [(0, 0), (99, 0), (100, 1), (250, 2), (399, 3), (5000, 5)])
def test_targets_that_are_past_are_dropped_and_counted(late, consumed):
    chunk = chunk_of([[0.01, 0, 0]] * 5)
    now = START + late * MILLISECOND
    playback = player.join(chunk, now, Pose(chunk.positions[0], TOOL_DOWN), np.zeros(6), np.zeros(6), BLEND)
    assert playback.seam.consumed == consumed
    later = now + int(BLEND * SECOND)
    wanted = player.setpoint(playback, later).tool.position[0]
    assert wanted == pytest.approx(min(0.46 + 0.1 * (late / 1000 + BLEND - 0.1), 0.50), abs=1.5e-3)


def test_the_seam_is_what_would_have_jumped():
    chunk = chunk_of([[0.0, 0, 0]] * 4)
    here = Pose(np.array([0.45, 0.003, 0.204]), geometry.multiply(geometry.exp(np.array([0, 0, 0.1])), TOOL_DOWN))
    seam = player.join(chunk, START, here, np.array([0.03, 0, 0, 0, 0, 0]), np.zeros(6), BLEND).seam
    assert seam.position == pytest.approx(0.005)
    assert seam.velocity == pytest.approx(0.03)
    assert seam.rotation == pytest.approx(0.1)


@settled
@given(st.lists(st.tuples(st.integers(1, 200), st.floats(-2, 3)), min_size=1, max_size=60))
def test_a_slowed_clock_never_runs_backwards(cycles):
    chunk = chunk_of([[0.01, 0, 0]] * 5)
    playback = player.join(chunk, START, Pose(chunk.positions[0], TOOL_DOWN), np.zeros(6), np.zeros(6), BLEND)
    now = START
    for period, scale in cycles:
        before = playback.chunk_time(now)
        now += period * MILLISECOND
        playback = player.slowed(playback, period * MILLISECOND, scale)
        passed = playback.chunk_time(now) - before
        assert 0 <= passed <= period * MILLISECOND


def test_over_counts_only_what_may_be_played():
    chunk = chunk_of([[0.01, 0, 0]] * 5, execute=3)
    playback = player.join(chunk, START, Pose(chunk.positions[0], TOOL_DOWN), np.zeros(6), np.zeros(6), BLEND)
    assert not playback.over(START + 3 * STEP - 1)
    assert playback.over(START + 3 * STEP)
    greedy = replace(playback, chunk=replace(chunk, execute=99))
    assert greedy.over(START + 5 * STEP)
    slow = replace(playback, lag=STEP)
    assert not slow.over(START + 4 * STEP - 1)


@pytest.mark.parametrize(("moment", "target"), [(-50, 0.1), (0, 0.1), (99, 0.1), (100, 0.2), (299, 0.3), (900, 0.3)])
def test_a_gripper_target_rules_the_step_before_its_stamp(moment, target):
    chunk = chunk_of([[0, 0, 0]] * 3, grippers=[0.1, 0.2, 0.3])
    assert player.gripper(chunk, START + moment * MILLISECOND) == target


def test_a_single_target_is_held():
    chunk = chunk_of([[0.01, 0, 0]])
    playback = player.join(chunk, START, Pose(chunk.positions[0], TOOL_DOWN), np.zeros(6), np.zeros(6), BLEND)
    assert not player.setpoint(playback, START + 50 * MILLISECOND, 100 * MILLISECOND).twist.any()


def test_lead_sends_the_velocity_of_later():
    chunk = chunk_of([[0.0, 0, 0], [0.0, 0, 0], [0.01, 0, 0], [0.01, 0, 0], [0.01, 0, 0]])
    playback = player.join(chunk, START, Pose(chunk.positions[0], TOOL_DOWN), np.zeros(6), np.zeros(6), BLEND)
    now = START + 150 * MILLISECOND
    early, late = player.setpoint(playback, now), player.setpoint(playback, now, 100 * MILLISECOND)
    assert np.allclose(early.tool.position, late.tool.position)
    assert late.twist[0] == pytest.approx(player.setpoint(playback, now + 100 * MILLISECOND).twist[0])


def test_the_tracker_adds_a_gain_on_the_error_to_the_feed_forward():
    measured = Pose(np.array([0.45, 0, 0.2]), TOOL_DOWN)
    turned = geometry.multiply(geometry.exp(np.array([0, 0, 0.1])), TOOL_DOWN)
    wanted = Setpoint(Pose(np.array([0.46, 0, 0.2]), turned), np.array([0.05, 0, 0, 0, 0, 0.2]), 0.0)
    assert np.allclose(tracker.track(wanted, measured, 4.0), [0.09, 0, 0, 0, 0, 0.6])
