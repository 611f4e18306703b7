"""The Gen3's kinematics: against finite differences, the table it works on, and the mechanism of its gripper."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros import geometry, kinematics
from vla_ros.config.schema import FINGERS, WORKSPACE_X, WORKSPACE_Y
from vla_ros.geometry import Pose
from vla_ros.kinematics import HOME, POSITION_LIMITS, TOOL_DOWN
from vla_ros.twin import gripper

angle = st.floats(-math.pi, math.pi)
joint_vectors = st.lists(angle, min_size=7, max_size=7).map(np.array)
settled = settings(max_examples=50, deadline=None)


@settled
@given(joint_vectors)
def test_the_jacobian_is_the_derivative_of_the_forward_kinematics(joints):
    jacobian, step = kinematics.kinematics(joints).jacobian, 1e-6
    for i in range(7):
        nudge = np.eye(7)[i] * step
        ahead, behind = kinematics.forward(joints + nudge), kinematics.forward(joints - nudge)
        linear = (ahead.position - behind.position) / (2 * step)
        turn = geometry.difference(ahead.quaternion, behind.quaternion) / (2 * step)
        assert np.allclose(jacobian[:, i], [*linear, *turn], atol=1e-6)


@settled
@given(joint_vectors)
def test_the_link_frames_lead_from_the_base_to_the_tool_and_turn_about_their_z(joints):
    k = kinematics.kinematics(joints)
    assert k.frames.shape == (8, 4, 4)
    assert np.array_equal(k.frames[0], np.eye(4))
    rotations = k.frames[:, :3, :3]
    assert np.allclose(rotations @ np.swapaxes(rotations, 1, 2), np.eye(3), atol=1e-9)
    assert np.allclose(k.jacobian[3:].T, rotations[1:, :, 2])
    last = Pose(k.frames[7, :3, 3], geometry.from_matrix(rotations[7]))
    base_of_gripper = geometry.compose(last, kinematics.GRIPPER_MOUNT)
    tool = geometry.compose(
        base_of_gripper, Pose(np.array([0, 0, kinematics.TOOL_OFFSET]), geometry.IDENTITY_QUATERNION)
    )
    assert np.allclose(tool.position, k.tool.position, atol=1e-9)
    assert np.linalg.norm(geometry.difference(tool.quaternion, k.tool.quaternion)) < 1e-7


@settled
@given(joint_vectors, st.integers(1, 7), st.floats(-3, 3))
def test_a_joint_moves_only_the_links_behind_it(joints, joint, angle):
    before = kinematics.link_frames(joints)
    after = kinematics.link_frames(joints + angle * np.eye(7)[joint - 1])
    assert np.array_equal(before[:joint], after[:joint])
    assert np.allclose(before[joint, :3, 3], after[joint, :3, 3], atol=1e-12)
    assert np.allclose(before[joint, :3, 2], after[joint, :3, 2], atol=1e-12)


def test_frames_of_many_poses_are_those_of_each():
    joints = np.random.default_rng(0).uniform(-2, 2, (3, 4, 7))
    together = kinematics.link_frames(joints)
    assert together.shape == (3, 4, 8, 4, 4)
    for i in range(3):
        for j in range(4):
            assert np.allclose(together[i, j], kinematics.kinematics(joints[i, j]).frames, atol=1e-12)


def test_home_is_over_the_middle_of_the_table():
    tool = kinematics.forward(HOME)
    assert np.allclose(tool.position, [0.42, 0, 0.25], atol=1e-3)
    assert np.linalg.norm(geometry.difference(tool.quaternion, TOOL_DOWN)) < 1e-3


def test_the_arm_stretched_out_upwards_is_as_long_as_the_data_sheet_says():
    # 0.15643 + 0.12838 + 0.21038 + 0.21038 + 0.20843 + 0.10593 + 0.10593 + 0.0615 m, and the gripper
    tool = kinematics.forward(np.zeros(7))
    assert tool.position[2] == pytest.approx(1.18736 + kinematics.TOOL_OFFSET, abs=2e-4)


WRIST = 0.10593 + 0.0615 + kinematics.TOOL_OFFSET
"""From the tool up to the wrist's centre, tool straight down, m."""
SHOULDER = 0.15643 + 0.12838
REACH = 0.21038 * 2 + 0.20843 + 0.10593 - 0.005
"""From shoulder to wrist, all but stretched, m."""


def test_ik_reaches_the_whole_workspace_up_to_35_cm():
    for x in np.linspace(*WORKSPACE_X, 4):
        for y in np.linspace(*WORKSPACE_Y, 6):
            for z in (0.0, 0.02, 0.10, 0.20, 0.30, 0.35):
                if math.dist((x, y, z + WRIST), (0, 0, SHOULDER)) > REACH:
                    continue  # the two far upper corners, with the tool straight down
                target = Pose(np.array([x, y, z]), TOOL_DOWN)
                joints = kinematics.inverse_kinematics(target)
                reached = kinematics.forward(joints)
                assert np.linalg.norm(reached.position - target.position) < 1e-5
                assert np.linalg.norm(geometry.difference(reached.quaternion, TOOL_DOWN)) < 1e-4
                assert (np.abs(joints) <= POSITION_LIMITS).all()
                assert (np.abs(joints) <= math.pi).all()


@pytest.mark.parametrize("position", [(2.0, 0.0, 0.3), (0.0, 0.0, 3.0), (0.45, 0.0, -1.5)])
def test_ik_out_of_reach_is_an_error_that_names_the_position(position):
    with pytest.raises(ValueError, match="no joints inside the limits reach"):
        kinematics.inverse_kinematics(Pose(np.array(position), TOOL_DOWN))


@settled
@given(st.integers(0, 6), st.integers(-2, 2))
def test_whole_turns_of_a_joint_change_nothing(joint, turns):
    joints = HOME.copy()
    joints[joint] += turns * 2 * math.pi
    assert np.allclose(kinematics.forward(joints).position, kinematics.forward(HOME).position)
    assert np.allclose(kinematics.wrapped(joints - HOME), 0, atol=1e-9)


@given(st.floats(-50, 50))
def test_wrapped_is_the_same_angle_within_half_a_turn(angle):
    wrapped = float(kinematics.wrapped(np.array([angle]))[0])
    assert -math.pi <= wrapped <= math.pi
    assert math.cos(wrapped) == pytest.approx(math.cos(angle), abs=1e-9)
    assert math.sin(wrapped) == pytest.approx(math.sin(angle), abs=1e-9)


@settled
@given(st.lists(st.floats(-0.2, 0.2), min_size=6, max_size=6).map(np.array))
def test_joint_rates_give_the_twist_at_home(twist):
    k = kinematics.kinematics(HOME)
    assert np.allclose(k.jacobian @ kinematics.joint_rates(k, HOME, twist, damping=1e-9), twist, atol=1e-6)
    pulled = kinematics.joint_rates(k, HOME + 0.01, twist, damping=1e-9, posture_gain=0.5)
    assert np.allclose(k.jacobian @ pulled, twist, atol=1e-6)  # the posture's pull is inside the null space


def test_manipulability_vanishes_where_the_arm_is_stretched():
    assert kinematics.kinematics(np.zeros(7)).manipulability < 1e-6
    assert kinematics.kinematics(HOME).manipulability == pytest.approx(0.0678, abs=1e-3)


def test_the_fingers_reach_as_the_mechanism_says():
    assert pytest.approx(gripper.FINGER_BELOW_TOOL, abs=1e-4) == kinematics.FINGER_BELOW_TOOL
    assert kinematics.FINGER_BELOW_TOOL < FINGERS < kinematics.FINGER_BELOW_TOOL + 0.001


@settled
@given(st.floats(-0.8, 0.8), st.floats(-0.8, 0.8), st.floats(0, 1))
def test_the_finger_bottom_is_below_every_edge_of_the_tips_over_the_stroke(roll, pitch, position):
    tool = Pose(np.array([0.4, 0, 0.2]), geometry.multiply(geometry.exp(np.array([roll, pitch, 0])), TOOL_DOWN))
    outside = gripper.opening(position) / 2 + 2 * gripper.PAD_HALF[1]
    for side in (-1, 1):
        for x in (-gripper.PAD_HALF[0], gripper.PAD_HALF[0]):
            edge = geometry.rotate(tool.quaternion, np.array([x, side * outside, gripper.below_tool(position)]))
            assert kinematics.finger_bottom(tool) <= tool.position[2] + edge[2] + 3e-4
