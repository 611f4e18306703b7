"""The expert lifts the named cube in real physics, from where it starts and from where others leave off."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from vla_ros import geometry, kinematics
from vla_ros.config import load
from vla_ros.geometry import Pose
from vla_ros.twin import expert, tasks
from vla_ros.twin.physics import Twin

from . import minimal

CUBE = np.array([0.45, 0.05, 0.02])


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(load())


def at(x: float, y: float, z: float, gripper: float = 0.0, command: float = 0.0, speed: float = 0.0) -> expert.State:
    return expert.State(Pose(np.array([x, y, z]), kinematics.TOOL_DOWN), gripper, speed, command, CUBE)


@pytest.mark.parametrize("seed", range(12))
def test_it_lifts_the_named_cube(twin: Twin, seed: int) -> None:
    twin.reset(tasks.sample(seed))
    outcome, _ = minimal.run(twin)
    assert outcome.success
    assert not outcome.wrong_object


def test_it_recovers_from_beside_another_cube_with_the_gripper_closed(twin: Twin) -> None:
    twin.reset(tasks.sample(3))
    for _ in range(60):
        twin.command(twin.now, np.array([0, 0, -0.1, 0, 0, 0]), 1.0)
        twin.advance(twin.now + minimal.CYCLE)
    outcome, _ = minimal.run(twin, seconds=12)
    assert outcome.success


def test_a_plan_keeps_to_the_speeds() -> None:
    start = Pose(
        np.array([0.40, -0.10, 0.20]),
        geometry.multiply(geometry.exp(np.array([0.07, 0, 0])), kinematics.TOOL_DOWN),
    )
    positions, quaternions, grippers = expert.plan(replace(at(0, 0, 0), tool=start), steps=60)
    assert positions.shape == (60, 3)
    assert quaternions.shape == (60, 4)
    assert grippers.shape == (60,)
    speeds = np.linalg.norm(np.diff(np.vstack([start.position, positions]), axis=0), axis=1) / 0.1
    assert speeds.max() <= expert.CRUISE + 1e-9
    low = positions[:, 2] < expert.FINGER_BELOW_TOOL + 0.012
    assert speeds[low].max() <= expert.SLOW + 1e-9
    assert positions[:, 2].min() >= expert.GRASP - 1e-9
    turns = [np.linalg.norm(geometry.difference(b, a)) for a, b in pairwise(quaternions)]
    assert max(turns) <= math.radians(2) + 1e-6
    np.testing.assert_allclose(quaternions[-1], kinematics.TOOL_DOWN, atol=1e-3)


def test_a_plan_goes_down_closes_and_lifts() -> None:
    positions, _, grippers = expert.plan(at(0.45, 0.05, 0.10), steps=70)
    closing = int(np.argmax(grippers > 0.5))
    assert 5 < closing < 40
    assert (grippers[closing:] == 1).all()
    assert positions[closing, 2] == pytest.approx(expert.GRASP, abs=0.006)
    assert positions[-1, 2] == pytest.approx(expert.LIFT, abs=0.01)


def test_low_and_off_centre_it_rises_before_it_travels() -> None:
    positions, _, grippers = expert.plan(at(0.50, -0.05, 0.03), steps=5)
    assert positions[-1, 2] > 0.05
    assert np.abs(positions[:, :2] - [0.50, -0.05]).max() < 0.005
    assert (grippers == 0).all()


def test_closed_on_nothing_it_opens_and_rises() -> None:
    positions, _, grippers = expert.plan(at(0.50, -0.05, 0.03, gripper=1.0, command=1.0), steps=5)
    assert (grippers == 0).all()
    assert positions[-1, 2] > 0.05


def test_closed_on_the_cube_it_lifts_straight_up() -> None:
    positions, _, grippers = expert.plan(at(0.45, 0.05, expert.GRASP, gripper=0.55, command=1.0), steps=10)
    assert (grippers == 1).all()
    np.testing.assert_allclose(positions[:, :2] - CUBE[:2], 0, atol=1e-9)
    assert positions[-1, 2] > 0.06


def test_while_the_fingers_still_move_it_waits() -> None:
    state = at(0.45, 0.05, expert.GRASP, gripper=0.5, command=1.0, speed=1.6)
    goal, gripper = expert.decide(state)
    assert gripper == 1
    np.testing.assert_allclose(goal, state.tool.position, atol=1e-6)


def test_small_changes_of_the_state_make_small_changes_of_the_plan() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        state = at(*(CUBE + random.uniform([-0.05, -0.05, 0.06], [0.05, 0.05, 0.12])))
        nudge = random.normal(size=3) * 1e-4
        nudged = replace(state, tool=Pose(state.tool.position + nudge, state.tool.quaternion))
        change = np.abs(expert.plan(state, 3)[0] - expert.plan(nudged, 3)[0]).max()
        assert change < 3e-3
