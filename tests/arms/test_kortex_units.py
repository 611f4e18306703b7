"""Every conversion between Kortex's conventions and ours, against its inverse or against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vla_ros import geometry, kinematics
from vla_ros.arms import kortex_units as units
from vla_ros.geometry import Pose
from vla_ros.twin.kortex.codes import CartesianReferenceFrame
from vla_ros.twin.kortex.messages import Base, BaseCyclic

BASE = CartesianReferenceFrame.CARTESIAN_REFERENCE_FRAME_BASE
angles = st.floats(-20, 20, allow_nan=False)
degrees = st.floats(-720, 720, allow_nan=False)
numbers = st.floats(-2, 2, allow_nan=False, width=32)


def same_turn(a, b, tolerance=1e-6):
    return np.linalg.norm(geometry.difference(a, b)) < tolerance


@given(st.lists(angles, min_size=1, max_size=7).map(np.array))
def test_angles_go_to_degrees_and_back(joints):
    sent = units.degrees(joints)
    assert ((sent >= 0) & (sent < 360)).all()
    assert np.allclose(kinematics.wrapped(units.radians(sent) - joints + 1e-9), 1e-9, atol=1e-8)


@given(degrees)
def test_radians_are_around_zero(angle):
    turned = float(units.radians(np.array([angle]))[0])
    assert -math.pi <= turned < math.pi
    assert math.isclose(math.cos(turned), math.cos(math.radians(angle)), abs_tol=1e-9)
    assert math.isclose(math.sin(turned), math.sin(math.radians(angle)), abs_tol=1e-9)


@pytest.mark.parametrize(("angle", "joint"), [(0, 0), (90, math.pi / 2), (270, -math.pi / 2), (359, -math.pi / 180)])
def test_feedback_is_from_0_to_360(angle, joint):
    assert float(units.radians(np.array([angle]))[0]) == pytest.approx(joint)


@given(st.tuples(degrees, degrees, degrees).map(np.array))
def test_angles_of_a_pose_are_extrinsic_xyz(theta):
    assert same_turn(units.quaternion(theta), Rotation.from_euler("xyz", theta, degrees=True).as_quat())


@given(st.tuples(degrees, degrees, degrees).map(np.array))
def test_angles_of_a_pose_go_there_and_back(theta):
    q = units.quaternion(theta)
    back = units.thetas(q)
    assert abs(back[1]) <= 90 + 1e-9
    assert same_turn(units.quaternion(back), q)


@pytest.mark.parametrize("theta", [(0, 90, 0), (30, 90, 40), (30, -90, 40), (180, 0, 90), (-180, 90, 180)])
def test_a_tool_along_the_vertical_keeps_its_turn(theta):
    q = units.quaternion(np.array(theta, float))
    assert same_turn(units.quaternion(units.thetas(q)), q, 1e-5)


@given(st.tuples(numbers, numbers, numbers), st.tuples(degrees, degrees, degrees).map(np.array))
def test_a_pose_goes_through_its_message(position, theta):
    pose, message = Pose(np.array(position), units.quaternion(theta)), Base.Pose()
    units.fill_pose(message, pose)
    back = units.pose(Base.Pose.FromString(message.SerializeToString()))
    assert np.allclose(back.position, pose.position, atol=1e-6)
    assert same_turn(back.quaternion, pose.quaternion, 1e-4)


@given(st.tuples(*[numbers] * 6).map(np.array))
def test_a_twist_goes_through_its_message_with_its_frame(twist):
    message = Base.TwistCommand()
    units.fill_twist(message, twist, BASE)
    assert np.allclose(units.twist(Base.TwistCommand.FromString(message.SerializeToString())), twist, atol=1e-5)
    assert message.reference_frame == BASE
    assert message.duration == 0


def test_the_wire_has_metres_and_degrees_per_second():
    message = Base.TwistCommand()
    units.fill_twist(message, np.array([0.1, 0.2, 0.3, math.radians(10), math.radians(20), math.radians(30)]), BASE)
    t = message.twist
    assert (t.linear_x, t.linear_y, t.linear_z) == pytest.approx((0.1, 0.2, 0.3))
    assert (t.angular_x, t.angular_y, t.angular_z) == pytest.approx((10, 20, 30))


@given(st.floats(0, 1))
def test_a_gripper_position_goes_to_percent_and_back(position):
    assert units.finger(units.percent(position)) == pytest.approx(position)


@given(st.floats(allow_nan=False))
def test_a_gripper_never_leaves_its_range(number):
    assert 0 <= units.finger(number) <= 1
    assert 0 <= units.percent(number) <= 100


def feedback(joints, gripper=True):
    """What the arm says at these joints, rad."""
    message = BaseCyclic.Feedback()
    for angle in units.degrees(np.array(joints)):
        message.actuators.add(position=angle, velocity=90.0, torque=2.0)
    message.base.tool_external_wrench_force_z = -3.0
    if gripper:
        message.interconnect.gripper_feedback.motor.add(position=25.0)
    return message


@given(st.lists(angles, min_size=7, max_size=7))
def test_a_state_is_in_our_units_and_the_tool_is_ours(joints):
    state = units.arm_state(feedback(joints), 42, "hot")
    assert np.allclose(kinematics.wrapped(state.joints - joints), 0, atol=1e-4)
    assert np.allclose(state.velocities, math.pi / 2)
    assert np.allclose(state.torques, -2.0)
    assert np.allclose(state.tool.position, kinematics.forward(state.joints).position)
    assert (state.stamp, state.gripper, state.force.tolist(), state.fault) == (42, 0.25, [0, 0, -3], "hot")


def test_an_arm_without_a_gripper_has_no_position_of_it():
    assert math.isnan(units.arm_state(feedback(kinematics.HOME, gripper=False), 0).gripper)


def test_joints_that_are_not_finite_make_a_state_that_is_not():
    message = feedback(kinematics.HOME)
    message.actuators[3].position = math.nan
    assert not units.arm_state(message, 0).is_finite()


def test_another_arm_is_refused():
    message = feedback(kinematics.HOME)
    del message.actuators[6]
    with pytest.raises(ValueError, match="6 actuators"):
        units.arm_state(message, 0)


@given(st.lists(angles, min_size=7, max_size=7).map(np.array))
def test_our_tool_is_where_the_arm_puts_it_after_it_was_told(joints):
    """The URDF's end_effector, which is the arm's flange, is 61.5 mm beyond the last link, turned half about x."""
    frame = kinematics.link_frames(joints)[7]
    last = Pose(frame[:3, 3], geometry.from_matrix(frame[:3, :3]))
    flange = geometry.compose(last, Pose(np.array([0, 0, -0.0615]), np.array([1.0, 0.0, 0.0, 0.0])))
    tool, ours = geometry.compose(flange, units.TOOL_IN_FLANGE), kinematics.forward(joints)
    assert np.allclose(tool.position, ours.position, atol=1e-9)
    assert same_turn(tool.quaternion, ours.quaternion)
