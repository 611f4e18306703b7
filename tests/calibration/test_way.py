"""A straight way: at rest at both ends, below the caps, and its twist is how its pose changes."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros import geometry, kinematics
from vla_ros.calibration import rigid
from vla_ros.calibration.way import gap, way
from vla_ros.config import load
from vla_ros.geometry import Pose

LIMITS = load().limits
START = Pose(np.array([0.4, -0.1, 0.2]), kinematics.TOOL_DOWN)


def turned(position, turn):
    return Pose(np.array(position), geometry.multiply(geometry.exp(np.array(turn)), kinematics.TOOL_DOWN))


GOALS = [
    turned([0.5, 0.2, 0.35], [0, 0, 0]),
    turned([0.4, -0.1, 0.2], [0.3, -0.2, 1.9]),
    turned([0.41, -0.1, 0.25], [0.5, 0, 0]),
    START,
]


@pytest.mark.parametrize("goal", GOALS)
def test_it_leads_from_start_to_goal_at_rest_at_both_ends(goal):
    line = way(START, goal, LIMITS)
    for t, pose in ((0.0, START), (line.seconds, goal), (line.seconds + 5, goal), (-1.0, START)):
        metres, radians = rigid.apart(line.at(t), pose)
        assert metres < 1e-9
        assert radians < 1e-6
    assert np.abs(line.twist(0.0)).max() < 1e-3
    assert np.abs(line.twist(line.seconds)).max() < 1e-3


@pytest.mark.parametrize("goal", GOALS)
def test_it_keeps_below_the_caps_on_speed_and_acceleration(goal):
    line = way(START, goal, LIMITS)
    twists = np.array([line.twist(t) for t in np.arange(0, line.seconds, 0.01)])
    assert np.linalg.norm(twists[:, :3], axis=1).max() < 0.85 * LIMITS.speed
    assert np.linalg.norm(twists[:, 3:], axis=1).max() < 0.85 * LIMITS.turn_speed
    changes = np.diff(twists, axis=0) / 0.01
    assert np.linalg.norm(changes[:, :3], axis=1).max() < LIMITS.acceleration
    assert np.linalg.norm(changes[:, 3:], axis=1).max() < LIMITS.turn_acceleration


@pytest.mark.parametrize("goal", GOALS[:3])
def test_the_twist_leads_along_it(goal):
    line, pose, step = way(START, goal, LIMITS), START, 0.002
    for t in np.arange(0, line.seconds, step):
        twist = line.twist(t + step / 2)
        turn = geometry.multiply(geometry.exp(twist[3:] * step), pose.quaternion)
        pose = Pose(pose.position + twist[:3] * step, geometry.normalized(turn))
    metres, radians = rigid.apart(pose, goal)
    assert metres < 1e-4
    assert radians < 1e-3


def test_the_gap_is_zero_at_the_goal_only():
    assert not gap(START, START).any()
    np.testing.assert_allclose(gap(GOALS[0], START)[:3], [0.1, 0.3, 0.15])
