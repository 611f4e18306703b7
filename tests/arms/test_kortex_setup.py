"""Checks of what the arm says of itself; names of its faults; its zones. Pure, with our own messages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros import geometry, kinematics
from vla_ros.arms import kortex_checks, kortex_faults, kortex_sdk, kortex_units, kortex_zones
from vla_ros.arms.arm import ArmError
from vla_ros.arms.kortex_checks import Identity, KinematicLimit, Tool
from vla_ros.config import load
from vla_ros.config.schema import Workspace
from vla_ros.geometry import Pose
from vla_ros.twin.kortex.codes import ArmState, SafetyIdentifier, SafetyIdentifierBankA
from vla_ros.twin.kortex.messages import BaseCyclic

pytestmark = pytest.mark.usefixtures("kortex_sdk")

GEN3 = Identity(7, True, "SN", "L53", "2.6.0-r.8", "2.6.0.post3")


def test_the_arm_that_is_meant_is_taken_without_a_note():
    assert kortex_checks.check_identity(GEN3) == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(GEN3, actuators=6), "6 actuators"),
        (replace(GEN3, gripper=False), "no gripper"),
        (replace(GEN3, firmware="3.0"), "major"),
    ],
)
def test_another_is_refused(other, said):
    with pytest.raises(ArmError, match=said):
        kortex_checks.check_identity(other)


@pytest.mark.parametrize(
    ("firmware", "sdk", "notes"), [("2.5.2", "2.6.0", 1), ("", "2.6.0", 1), ("2.6", "2.6.0.post3", 0)]
)
def test_minor_and_unknown_versions_are_noted(firmware, sdk, notes):
    assert len(kortex_checks.check_versions(firmware, sdk)) == notes


def feedback(joints=kinematics.HOME) -> BaseCyclic.Feedback:
    """A healthy arm at these joints."""
    message = BaseCyclic.Feedback()
    message.base.active_state = ArmState.ARMSTATE_SERVOING_READY
    for angle in kortex_units.degrees(joints):
        message.actuators.add(position=angle)
    message.interconnect.gripper_feedback.motor.add(position=0)
    return message


def with_tool(message, pose: Pose):
    base, thetas = message.base, kortex_units.thetas(pose.quaternion)
    base.tool_pose_x, base.tool_pose_y, base.tool_pose_z = pose.position
    base.tool_pose_theta_x, base.tool_pose_theta_y, base.tool_pose_theta_z = thetas
    return message


def test_a_tool_pose_that_agrees_is_taken():
    kortex_checks.check_pose(with_tool(feedback(), kinematics.forward(kinematics.HOME)))


@pytest.mark.parametrize(("shift", "turn"), [((0, 0, 0.012), (0, 0, 0)), ((0, 0, 0), (0, 0, 0.05))])
def test_a_tool_pose_that_does_not_is_refused(shift, turn):
    ours = kinematics.forward(kinematics.HOME)
    theirs = Pose(ours.position + shift, geometry.multiply(geometry.exp(np.array(turn, float)), ours.quaternion))
    with pytest.raises(ArmError, match="tool configuration"):
        kortex_checks.check_pose(with_tool(feedback(), theirs))


def test_a_tool_pose_in_another_convention_is_refused():
    message = with_tool(feedback(), kinematics.forward(kinematics.HOME + 0.3))
    base = message.base
    base.tool_pose_theta_x, base.tool_pose_theta_z = base.tool_pose_theta_z, base.tool_pose_theta_x
    with pytest.raises(ArmError, match="convention"):
        kortex_checks.check_pose(message)


def test_a_tool_pose_that_is_not_finite_is_refused():
    message = with_tool(feedback(), kinematics.forward(kinematics.HOME))
    message.base.tool_pose_x = float("nan")
    with pytest.raises(ArmError, match="apart"):
        kortex_checks.check_pose(message)


def test_a_limit_that_was_not_taken_is_refused():
    limit = KinematicLimit("CARTESIAN_JOYSTICK", 0.25, 1.0, (0.7,) * 7)
    kortex_checks.check_limit("twist", limit, 0.25, 1.0, 0.7)
    kortex_checks.check_limit("joint", limit, 0.25, 1.0, 0.8)
    for kind, wanted in (("twist", (0.2, 1.0, 0.7)), ("twist", (0.25, 0.9, 0.7)), ("joint", (0.25, 1.0, 0.6))):
        with pytest.raises(ArmError, match="did not take it"):
            kortex_checks.check_limit(kind, limit, *wanted)


def test_tools_are_compared_within_single_precision():
    tool = Tool(kortex_units.TOOL_IN_FLANGE, 0.997, (0.0, 0.0, 0.06))
    assert tool.near(replace(tool, mass=0.99700001))
    assert not tool.near(replace(tool, mass=0.9))
    assert not tool.near(replace(tool, pose=Pose(tool.pose.position, np.array([0, 0, 0, 1.0]))))


def test_a_healthy_arm_has_no_fault():
    assert kortex_faults.fault(feedback(), kortex_sdk.load()) == ""


@pytest.mark.parametrize("state", ArmState)
def test_every_state_of_the_arm_is_judged(state):
    message, ready = feedback(), {"ARMSTATE_SERVOING_READY", "ARMSTATE_SERVOING_MANUALLY_CONTROLLED", "ARMSTATE_IDLE"}
    message.base.active_state = state
    assert bool(kortex_faults.fault(message, kortex_sdk.load())) == (state.name not in ready)


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 6))
def test_every_bit_of_a_fault_bank_is_said(base, actuator, joint):
    message = feedback()
    message.base.fault_bank_a, message.actuators[joint].fault_bank_a = base, actuator
    said = kortex_faults.fault(message, kortex_sdk.load())
    assert bool(said) == bool(base or actuator)
    for bit in SafetyIdentifier:
        assert not base & bit or bit.name in said
    for bit in SafetyIdentifierBankA:
        assert not actuator & bit or bit.name in said
    assert not base & 0x80000000 or "0x80000000" in said


def test_faults_of_other_parts_are_said():
    message = feedback()
    message.interconnect.fault_bank_a, message.interconnect.gripper_feedback.fault_bank_b = 4, 1
    message.actuators[2].fault_bank_b = 2
    said = kortex_faults.fault(message, kortex_sdk.load())
    assert said == "joint 3: fault bank B 0x2; interface module: fault bank A 0x4; gripper: fault bank B 0x1"


def test_warnings_do_not_stop_the_arm_but_are_told():
    message = feedback()
    message.base.warning_bank_a = SafetyIdentifier.MAXIMUM_CORE_TEMPERATURE
    assert kortex_faults.fault(message, kortex_sdk.load()) == ""
    assert kortex_faults.warnings(message, kortex_sdk.load()) == ["base: MAXIMUM_CORE_TEMPERATURE"]


corners = st.tuples(*[st.floats(-1, 0.9)] * 3), st.tuples(*[st.floats(0.01, 1)] * 3)


@given(*corners, st.booleans())
def test_a_zone_goes_through_its_message(low, size, enabled):
    high = tuple(a + b for a, b in zip(low, size, strict=True))
    zone, sdk = kortex_zones.Zone("vla_ros x", low, high, enabled), kortex_sdk.load()
    assert kortex_zones.zone(kortex_zones.message(zone, sdk), sdk).near(zone)


@given(
    st.floats(0.3, 0.4),
    st.floats(0.05, 0.3),
    st.floats(-0.3, -0.05),
    st.floats(0.05, 0.3),
    st.floats(0.2, 0.5),
    st.floats(-0.05, 0.05),
)
def test_no_zone_is_where_the_tool_may_be(x, depth, right, left, top, table):
    workspace = Workspace(low=(x, right, 0.0), high=(x + depth, left, top), table=table)
    lowest = table + workspace.grasp_clearance + kinematics.FINGER_BELOW_TOOL
    for zone in kortex_zones.wanted(workspace):
        overlap = [
            min(a, b) - max(c, d) for a, b, c, d in zip(zone.high, workspace.high, zone.low, workspace.low, strict=True)
        ]
        assert min(overlap[:2]) < 0 or zone.high[2] < lowest


def test_no_zone_is_where_the_arm_stands():
    for zone in kortex_zones.wanted(load("robot").workspace):
        assert zone.low[0] > 0.15  # in front of the base, whose radius is under 0.1 m
