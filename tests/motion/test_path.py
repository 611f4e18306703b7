"""The path through a chunk's targets: on time at each of them, and smooth to the second derivative in place and turn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros import geometry
from vla_ros.clock import MILLISECOND, SECOND
from vla_ros.geometry import Pose
from vla_ros.kinematics import TOOL_DOWN
from vla_ros.motion.path import Motion, Path, along, carried, departure, quintic, turned, turns
from vla_ros.values import ActionChunk

START = 1_000 * SECOND
STEP = 100 * MILLISECOND
H = MILLISECOND // 10
ORIGIN = np.array([0.45, 0.0, 0.2])
settled = settings(max_examples=40, deadline=None, derandomize=True)
small = st.floats(-1, 1)
sixes = st.lists(small, min_size=6, max_size=6).map(np.array)


def chunk_of(moves, turns=None, stamp=START, grippers=None, execute=None, step=STEP, origin=ORIGIN):
    """Targets that add up the moves (n, 3) m, and the turns (n, 3) rad, from over the table."""
    n = len(moves)
    quaternions = [TOOL_DOWN]
    for turn in np.zeros((n, 3)) if turns is None else turns:
        quaternions.append(geometry.multiply(geometry.exp(np.asarray(turn)), quaternions[-1]))
    return ActionChunk(
        stamp,
        step,
        origin + np.cumsum(np.asarray(moves, float), axis=0),
        np.array(quaternions[1:]),
        np.zeros(n) if grippers is None else np.asarray(grippers, float),
        execute or n,
        "test",
        "lift",
        1,
    )


def chunks_of(move, turn, least=1, most=12):
    """Random chunks of steps up to `move` m and `turn` rad on each axis."""
    return st.lists(sixes, min_size=least, max_size=most).map(
        lambda rows: chunk_of([move * r[:3] for r in rows], [turn * r[3:] for r in rows])
    )


def quotient(a, b, seconds):
    """Velocity (6,) between two poses."""
    turn = geometry.difference(b.quaternion, a.quaternion)
    return np.concatenate([b.position - a.position, turn]) / seconds


def derivatives_agree(motion, moment, tolerances):
    """Whether velocity, acceleration and jerk at `moment` are the central difference quotients over ±H, to the tolerances."""
    before, here, after = (motion(moment + d) for d in (-H, 0, H))
    seconds = 2 * H / SECOND
    found = (
        quotient(before.pose, after.pose, seconds) - here.velocity,
        (after.velocity - before.velocity) / seconds - here.acceleration,
        (after.acceleration - before.acceleration) / seconds - here.jerk,
    )
    return all(np.abs(f).max() < tolerance for f, tolerance in zip(found, tolerances, strict=True))


@settled
@given(chunks_of(0.02, 1.0))
def test_the_targets_are_hit_at_their_moments(chunk):
    """But for the last of several, where the path comes to rest a step later."""
    path = Path.of(chunk)
    for k in range(len(chunk)):
        pose = path.motion(path.end if k == len(chunk) - 1 else START + (k + 1) * STEP).pose
        assert np.abs(pose.position - chunk.positions[k]).max() < 1e-12
        assert np.abs(geometry.difference(pose.quaternion, chunk.quaternions[k])).max() < 1e-12


@settled
@given(chunks_of(0.02, 1.0))
def test_velocity_and_acceleration_are_continuous_at_every_target(chunk):
    """One nanosecond apart they differ by what acceleration and jerk make in it, also where a step turns by up to 100°."""
    path = Path.of(chunk)
    for k in range(len(chunk) + 1):
        at = START + (k + 1) * STEP
        a, b = path.motion(at - 1), path.motion(at)
        assert np.abs(b.velocity - a.velocity).max() < 2e-9 * (1 + np.abs(a.acceleration).max())
        assert np.abs(b.acceleration - a.acceleration).max() < 2e-9 * (1 + np.abs(a.jerk).max())


@settled
@given(chunks_of(0.02, 0.09), st.floats(0.001, 0.999), st.integers(-1, 12))
def test_each_derivative_is_the_slope_of_the_one_before(chunk, share, k):
    """Steps of 35 mm and 9° at most: over ±0.1 ms the quotients are off by h²/6 of the third derivative above them."""
    moment = START + k * STEP + int(H + share * (STEP - 2 * H))  # H away from the targets, where the jerk may jump
    assert derivatives_agree(Path.of(chunk).motion, moment, (1e-4, 5e-3, 5e-2))


@settled
@given(chunks_of(0.02, 0.09, least=2), st.integers(0, 500))
def test_before_the_first_target_it_comes_straight_along_the_first_chord(chunk, early):
    path = Path.of(chunk)
    motion = path.motion(START + STEP - early * MILLISECOND)
    chord = np.concatenate(
        [chunk.positions[1] - chunk.positions[0], geometry.difference(chunk.quaternions[1], chunk.quaternions[0])]
    )
    assert np.allclose(motion.velocity, chord / 0.1, atol=1e-9)
    assert np.abs(motion.acceleration).max() < 1e-9
    assert np.allclose(motion.pose.position, chunk.positions[0] - early / 100 * chord[:3], atol=1e-12)


@settled
@given(chunks_of(0.02, 0.5), st.integers(0, 10**12))
def test_from_the_last_target_on_it_rests(chunk, late):
    path = Path.of(chunk)
    assert path.end == START + (len(chunk) + (len(chunk) > 1)) * STEP
    motion = path.motion(path.end + late)
    assert np.allclose(motion.pose.position, chunk.positions[-1], atol=1e-12)
    assert not np.concatenate([motion.velocity, motion.acceleration, motion.jerk]).any()


@pytest.mark.parametrize("moment", [-300, 0, 99, 100, 5000])
def test_a_single_target_is_held(moment):
    chunk = chunk_of([[0.01, 0, 0]])
    motion = Path.of(chunk).motion(START + moment * MILLISECOND)
    assert np.array_equal(motion.pose.position, chunk.positions[0])
    assert not motion.velocity.any()


def test_even_targets_are_passed_at_even_speed():
    path = Path.of(chunk_of([[0.01, 0.005, 0]] * 8, [[0, 0, 0.05]] * 8))
    for moment in range(0, 700, 7):  # up to the last step but one, which begins to brake
        motion = path.motion(START + moment * MILLISECOND)
        assert np.allclose(motion.velocity, [0.1, 0.05, 0, 0, 0, 0.5], atol=1e-9)


def test_it_comes_to_rest_without_getting_faster():
    """From even speed in twice the time of a step: by half of it on the mean, and 3/4 of a step's speed per step at most."""
    path = Path.of(chunk_of([[0.01, 0, 0]] * 5))
    speeds = [path.motion(START + moment * MILLISECOND).velocity[0] for moment in range(400, 601)]
    assert max(speeds) <= 0.1 + 1e-12
    assert (np.diff(speeds) <= 1e-12).all()
    assert path.motion(START + 500 * MILLISECOND).acceleration[0] == pytest.approx(-1.5 * 0.1 / 0.2)


def test_a_chunk_without_targets_has_no_path():
    with pytest.raises(ValueError, match="without targets"):
        Path.of(chunk_of(np.zeros((0, 3))))


@settled
@given(chunks_of(0.02, 1.0), st.lists(st.integers(-200, 1500), min_size=1, max_size=9))
def test_many_poses_are_the_same_as_each(chunk, moments):
    path = Path.of(chunk)
    positions, quaternions = path.poses(np.array(moments, float) * MILLISECOND)
    for moment, position, quaternion in zip(moments, positions, quaternions, strict=True):
        for pose in (path.pose(START + moment * MILLISECOND), path.motion(START + moment * MILLISECOND).pose):
            assert np.allclose(pose.position, position, atol=1e-12)
            assert np.abs(geometry.difference(pose.quaternion, quaternion)).max() < 1e-9


@settled
@given(sixes, sixes, st.integers(0, 300))
def test_a_coast_goes_from_here_to_the_velocity_and_rate_that_it_is_to_have(twist, rate, ahead):
    here, until = Pose(ORIGIN, TOOL_DOWN), START + ahead * MILLISECOND
    coast = Path.coast(here, twist, rate, START, until)
    first, last = coast.motion(START).pose, coast.motion(until)
    assert np.abs(first.position - here.position).max() < 1e-9
    assert np.abs(geometry.difference(first.quaternion, here.quaternion)).max() < 1e-9
    assert np.abs(last.velocity - twist).max() < 1e-9
    assert np.abs(last.acceleration - rate).max() < 1e-9
    for beside in (coast.motion(until - 1), coast.motion(until + 1)):  # and so it goes on
        assert np.abs(beside.velocity - twist).max() < 1e-8
        assert np.abs(beside.acceleration - rate).max() < 1e-8


def motions(place=0.1, turn=2.0):
    """Random motions: `place` m, `turn` rad and the same per s, s² and s³."""
    scale = np.repeat([place, turn], 3)
    return st.tuples(sixes, sixes, sixes, sixes).map(
        lambda rows: Motion(
            Pose(place * rows[0][:3], geometry.exp(turn * rows[0][3:] / 2)), *(scale * row for row in rows[1:])
        )
    )


@settled
@given(motions(), motions())
def test_what_a_motion_is_ahead_by_leads_back_to_it(under_way, wanted):
    """Also by a turn of more than a quarter."""
    shift = departure(under_way, wanted)
    again = carried(wanted, np.vstack([shift, np.zeros(6)]))
    assert np.abs(again.pose.position - under_way.pose.position).max() < 1e-12
    assert np.abs(geometry.difference(again.pose.quaternion, under_way.pose.quaternion)).max() < 1e-7
    assert np.abs(again.velocity - under_way.velocity).max() < 1e-9
    assert np.abs(again.acceleration - under_way.acceleration).max() < 1e-7


@settled
@given(chunks_of(0.02, 0.09, least=2), st.lists(sixes, min_size=3, max_size=3), st.floats(0.01, 0.99))
def test_a_moving_displacement_on_a_path_has_the_derivatives_of_the_sum(chunk, rows, share):
    path, blend = Path.of(chunk), STEP - 2 * H
    curve = quintic(np.array(rows) * [[0.03], [0.01], [0.01]], np.zeros((3, 6)))
    begin = START + STEP + H

    def motion(moment):
        return carried(path.motion(moment), along(curve, (moment - begin) / blend, blend / SECOND))

    assert derivatives_agree(motion, begin + int(H + share * (blend - 2 * H)), (2e-4, 1e-2, 0.1))


@settled
@given(st.tuples(*[sixes] * 6))
def test_a_quintic_has_the_ends_that_it_was_given(rows):
    start, end = np.array(rows[:3]), np.array(rows[3:])
    curve = quintic(start, end)
    assert np.allclose(along(curve, 0.0, 1.0)[:3], start, atol=1e-12)
    assert np.allclose(along(curve, 1.0, 1.0)[:3], end, atol=1e-11)
    assert np.allclose(along(curve, 1.0, 0.5)[:3], end * [[1], [2], [4]], atol=1e-10)


@settled
@given(st.lists(st.tuples(sixes, sixes), min_size=1, max_size=6))
def test_turns_of_many_are_those_of_each(rows):
    origins = np.array([geometry.exp(3 * a[:3]) for a, _ in rows])
    vectors = np.array([1.5 * b[3:] for _, b in rows])
    targets = turned(vectors, origins)
    for origin, vector, target in zip(origins, vectors, targets, strict=True):
        assert np.allclose(target, geometry.multiply(geometry.exp(vector), origin), atol=1e-12)
    assert np.allclose(turns(targets, origins), vectors, atol=1e-8)
