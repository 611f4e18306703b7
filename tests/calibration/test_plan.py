"""The poses of a calibration: allowed, with the board in view, unlike each other, and the same every time."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from vla_ros import geometry, kinematics
from vla_ros.calibration import hand_eye, plan, rigid
from vla_ros.calibration.board import outline, points
from vla_ros.calibration.plan import PlanError
from vla_ros.geometry import Pose

from .studio import configuration, mounted, scene_of

NAMES = ("wrist", "static")
SCENES = {name: scene_of(configuration(name), name) for name in NAMES}
PLANS = {name: plan.plan(scene, kinematics.HOME, 20) for name, scene in SCENES.items()}


def in_view(name, tool):
    """Share of the corners in the picture of the real camera."""
    config, scene = configuration(name), SCENES[name]
    camera, board, arm = rigid.of_pose(mounted(config, name)), rigid.of_pose(scene.board), rigid.of_pose(tool)
    seen = rigid.inverse(arm @ camera) @ board if scene.parent == "tool" else rigid.inverse(camera) @ arm @ board
    return scene.lens.holds(scene.lens.project(rigid.applied(seen, points(scene.print)))).mean()


@pytest.mark.parametrize("name", NAMES)
def test_every_station_is_inside_the_box_and_the_joints_limits(name):
    scene = SCENES[name]
    for station in PLANS[name]:
        assert (station.tool.position > np.array(scene.workspace.low)).all()
        assert (station.tool.position < np.array(scene.workspace.high)).all()
        assert (kinematics.POSITION_LIMITS - np.abs(station.joints)).min() > scene.limits.joint_margin
        assert kinematics.kinematics(station.joints).manipulability > scene.limits.manipulability
        way, turn = rigid.apart(kinematics.forward(station.joints), station.tool)
        assert way < 1e-4
        assert turn < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_fingers_and_board_keep_off_the_table(name):
    scene = SCENES[name]
    for station in PLANS[name]:
        assert kinematics.finger_bottom(station.tool) > scene.workspace.table + 0.04
        if scene.parent == "base":
            board = rigid.of_pose(station.tool) @ rigid.of_pose(scene.board)
            assert rigid.applied(board, outline(scene.print))[:, 2].min() > scene.workspace.table + 0.02


@pytest.mark.parametrize("name", NAMES)
def test_the_real_camera_sees_the_board_although_the_guess_is_off(name):
    shares = [in_view(name, station.tool) for station in PLANS[name]]
    assert min(shares) > 0.4
    assert np.mean(shares) > 0.75


@pytest.mark.parametrize("name", NAMES)
def test_the_poses_differ_about_two_axes_and_from_each_other(name):
    tools = [station.tool for station in PLANS[name]]
    assert hand_eye.turns(tools)[1] > np.radians(15)
    nearest = min(rigid.apart(a, b)[0] / 0.03 + rigid.apart(a, b)[1] / 0.1 for a, b in itertools.combinations(tools, 2))
    assert nearest > 1.0


def test_a_seed_makes_a_plan():
    scene = SCENES["wrist"]
    again, other = plan.plan(scene, kinematics.HOME, 20), plan.plan(scene, kinematics.HOME, 20, seed=1)
    for a, b in zip(PLANS["wrist"], again, strict=True):
        assert (a.tool.position == b.tool.position).all()
        assert (a.joints == b.joints).all()
    assert any((a.tool.position != b.tool.position).any() for a, b in zip(PLANS["wrist"], other, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_way_between_stations_is_free(name):
    scene, here = SCENES[name], kinematics.HOME
    for before, after in itertools.pairwise(PLANS[name]):
        for share in (0.25, 0.5, 0.75):
            tool = geometry.interpolate(before.tool, after.tool, share)
            assert kinematics.finger_bottom(tool) > scene.workspace.table
        here = after.joints
    assert here.shape == (7,)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_look_has_the_board_in_the_middle(name):
    scene = SCENES[name]
    start = plan.raised(scene, kinematics.forward(kinematics.HOME))
    station = plan.first_look(scene, kinematics.inverse_kinematics(start))
    assert in_view(name, station.tool) > 0.95


def test_what_is_not_allowed_is_not_planned():
    limit = 0.2
    scene = replace(SCENES["wrist"], allowed=lambda joints: kinematics.forward(joints).position[1] > limit - 0.3)
    for station in plan.plan(scene, kinematics.HOME, 10):
        assert station.tool.position[1] > limit - 0.3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"board": Pose(np.array([-0.6, 0.0, 0.0]), geometry.IDENTITY_QUATERNION)},
            "board.*Put the board in the middle",
        ),
        ({"board": Pose(np.array([0.47, 0.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0]))}, "turned the board's face away"),
        ({"allowed": lambda joints: False}, "the arm was found to reach"),
    ],
)
def test_where_there_are_not_enough_poses_the_reason_is_said(change, words):
    with pytest.raises(PlanError, match=words):
        plan.plan(replace(SCENES["wrist"], **change), kinematics.HOME, 20)


def test_a_board_far_from_the_camera_is_too_small_to_read():
    static = SCENES["static"]
    away = Pose(static.camera.position + np.array([2.5, 0.0, 1.5]), static.camera.quaternion)
    with pytest.raises(PlanError, match="both must see each other"):
        plan.first_look(replace(static, camera=away), kinematics.HOME)
