"""What each call does to the arm and what it answers, over real sockets: feedback, motion, gripper, faults, devices."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.twin.controller.running import moving, running_controller, still, wait_for
from tests.twin.controller.wire_client import Client, refused, set_our_tool
from vla_ros import geometry, kinematics
from vla_ros.geometry import Pose
from vla_ros.twin import gripper as mechanism
from vla_ros.twin import tasks
from vla_ros.twin.controller import units
from vla_ros.twin.controller.product import Product
from vla_ros.twin.controller.robot import GRIPS_MOST
from vla_ros.twin.controller.settings import TWIN_TOOL
from vla_ros.twin.kortex import codes
from vla_ros.twin.kortex.codes import ArmState, RobotiqGripperStatusFlags, SubErrorCodes
from vla_ros.twin.kortex.messages import Base, BaseCyclic, Common


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_feedback_says_in_the_vendors_units_what_the_twin_measures(arm, transport):
    port = arm.port if transport == "tcp" else arm.feedback_port
    with Client(port, transport).login() as client:
        set_our_tool(client)
        feedback, state = client.feedback(), arm.robot.measured.state
    joints = np.radians([actuator.position for actuator in feedback.actuators])
    np.testing.assert_allclose(kinematics.wrapped(joints - state.joints), 0, atol=1e-4)
    assert all(0 <= actuator.position <= 360 for actuator in feedback.actuators)
    np.testing.assert_allclose([-actuator.torque for actuator in feedback.actuators], state.torques, atol=0.5)
    tool = pose_of(feedback.base, "tool_pose_")
    np.testing.assert_allclose(tool.position, state.tool.position, atol=1e-4)
    np.testing.assert_allclose(geometry.difference(tool.quaternion, state.tool.quaternion), 0, atol=1e-3)
    np.testing.assert_allclose(pose_of(feedback.base, "commanded_tool_pose_").position, tool.position, atol=2e-3)
    assert feedback.interconnect.gripper_feedback.motor[0].position == pytest.approx(100 * state.gripper, abs=1)


def pose_of(base, prefix: str) -> Pose:
    numbers = [getattr(base, prefix + name) for name in ("x", "y", "z", "theta_x", "theta_y", "theta_z")]
    return Pose(np.array(numbers[:3]), units.quaternion(np.array(numbers[3:])))


def test_speeds_in_feedback_are_those_of_the_motion(arm, client):
    set_our_tool(client)
    client.twist(0, -0.05, 0, 0, 0, 10)
    wait_for(lambda: abs(client.feedback().base.tool_twist_angular_z - 10) < 0.5)
    base = client.feedback().base
    assert base.tool_twist_linear_y == pytest.approx(-0.05, abs=0.005)
    assert base.active_state == ArmState.ARMSTATE_SERVOING_MANUALLY_CONTROLLED


def test_frame_id_counts(arm, client):
    first = client.feedback().frame_id
    wait_for(lambda: client.feedback().frame_id > first)


def test_without_a_tool_configuration_the_pose_is_the_flanges(arm, client):
    pose, state = client.call("Base.GetMeasuredCartesianPose"), arm.robot.measured.state
    flange = geometry.compose(state.tool, geometry.inverse(TWIN_TOOL))
    np.testing.assert_allclose([pose.x, pose.y, pose.z], flange.position, atol=1e-4)
    set_our_tool(client)
    pose = client.call("Base.GetMeasuredCartesianPose")
    np.testing.assert_allclose([pose.x, pose.y, pose.z], state.tool.position, atol=1e-4)


def test_joint_angles_are_those_of_the_twin(arm, client):
    angles = client.call("Base.GetMeasuredJointAngles").joint_angles
    assert [angle.joint_identifier for angle in angles] == list(range(7))
    measured = np.radians([angle.value for angle in angles])
    np.testing.assert_allclose(kinematics.wrapped(measured - arm.robot.measured.state.joints), 0, atol=1e-4)


@pytest.mark.parametrize(
    "turns", [(0, 0, 0), (180, 0, 90), (-177, 3, 92), (10, 90, 0), (20, -90, 30), (1, 89.9999, -5), (-170, -80, 170)]
)
def test_turns_and_quaternions_are_the_same_rotation(turns):
    q = units.quaternion(np.array(turns, float))
    again = units.quaternion(units.thetas(q))
    np.testing.assert_allclose(geometry.difference(q, again), 0, atol=1e-6)


def test_turns_are_about_fixed_axes_x_first():
    x_then_z = geometry.matrix(units.quaternion(np.array([90.0, 0.0, 90.0])))
    np.testing.assert_allclose(
        x_then_z @ [0, 1, 0], [0, 0, 1], atol=1e-12
    )  # y is lifted to z by x, and z leaves it there
    np.testing.assert_allclose(x_then_z @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_a_twist_is_in_metres_and_degrees_per_second(arm, client):
    set_our_tool(client)
    client.twist(0, 0.05, 0, 0, 0, -20)
    wait_for(lambda: abs(arm.robot.measured.twist[5] - math.radians(-20)) < 0.01)
    assert arm.robot.measured.twist[1] == pytest.approx(0.05, abs=0.005)
    client.call("Base.Stop")
    wait_for(lambda: still(arm))


def test_a_duration_does_nothing(arm, client):
    command = Base.TwistCommand(reference_frame=3, duration=1)
    command.twist.linear_y = -0.05
    client.call("Base.SendTwistCommand", command)
    wait_for(lambda: arm.robot.measured.state.tool.position[1] < -0.02)
    assert moving(arm)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_twist_that_is_not_finite_is_refused_and_changes_nothing(arm, client, value):
    client.twist(0, -0.02)
    wait_for(lambda: moving(arm))
    refused(SubErrorCodes.INVALID_PARAM, client.twist, 0, 0, value)
    assert moving(arm)


def test_a_frame_that_nobody_knows_is_refused(client):
    refused(SubErrorCodes.INVALID_PARAM, client.call, "Base.SendTwistCommand", Base.TwistCommand(reference_frame=9))


def speeds(*values: float) -> Base.JointSpeeds:
    command = Base.JointSpeeds()
    for i, value in enumerate(values):
        command.joint_speeds.add(joint_identifier=i, value=value)
    return command


def test_joint_speeds_are_in_degrees_per_second(arm, client):
    client.call("Base.SendJointSpeedsCommand", speeds(0, 0, 0, 0, 0, 0, 20))
    wait_for(lambda: abs(client.feedback().actuators[6].velocity - 20) < 0.5)
    client.call("Base.SendJointSpeedsCommand", speeds(*[0] * 7))
    wait_for(lambda: still(arm))
    refused(SubErrorCodes.CONTROL_ACTUATOR_COUNT_MISMATCH, client.call, "Base.SendJointSpeedsCommand", speeds(1, 2))
    refused(SubErrorCodes.INVALID_PARAM, client.call, "Base.SendJointSpeedsCommand", speeds(*[math.nan] * 7))


def test_motion_needs_single_level_servoing(arm, client):
    client.subscribe("Base.ServoingModeTopic")
    mode = Base.ServoingModeInformation(servoing_mode=codes.ServoingMode.LOW_LEVEL_SERVOING)
    client.call("Base.SetServoingMode", mode)
    assert client.notice("Base.ServoingModeTopic").servoing_mode == codes.ServoingMode.LOW_LEVEL_SERVOING
    assert client.call("Base.GetServoingMode") == mode
    assert client.state() == ArmState.ARMSTATE_SERVOING_LOW_LEVEL
    refused(SubErrorCodes.WRONG_SERVOING_MODE, client.twist, 0, 0.1)
    command = BaseCyclic.Command()
    command.actuators.add(position=1.0)
    refused(SubErrorCodes.UNIMPLEMENTED, client.call, "BaseCyclic.Refresh", command)
    assert len(client.call("BaseCyclic.Refresh").actuators) == 7
    mode = Base.ServoingModeInformation(servoing_mode=codes.ServoingMode.SINGLE_LEVEL_SERVOING)
    client.call("Base.SetServoingMode", mode)
    refused(SubErrorCodes.WRONG_SERVOING_MODE, client.call, "BaseCyclic.RefreshCommand", command)
    client.twist(0, -0.05)
    wait_for(lambda: moving(arm))
    refused(SubErrorCodes.INVALID_PARAM, client.call, "Base.SetServoingMode", Base.ServoingModeInformation())


def handle_message(identifier: int):
    return Common.NotificationHandle(identifier=identifier)


def test_only_ones_own_subscriptions_can_be_ended(arm, client):
    handle = client.subscribe("Base.ArmStateTopic")
    with Client(arm.port).login() as other:
        refused(SubErrorCodes.ENTITY_NOT_FOUND, other.call, "Base.Unsubscribe", handle_message(handle))
    client.call("Base.Unsubscribe", handle_message(handle))
    refused(SubErrorCodes.ENTITY_NOT_FOUND, client.call, "Base.Unsubscribe", handle_message(handle))
    client.call("Base.ApplyEmergencyStop")
    client.call("Base.ClearFaults")
    assert not client.notices


def gripper(client: Client):
    return client.feedback().interconnect.gripper_feedback


def test_the_gripper_closes_on_air_and_opens_by_speed(arm, client):
    client.grip(1.0)
    wait_for(lambda: gripper(client).motor[0].position > 98)
    wait_for(lambda: gripper(client).status_flags & RobotiqGripperStatusFlags.ROBOTIQ_STAT_POS_REACHED)
    request = Base.GripperRequest(mode=codes.GripperMode.GRIPPER_POSITION)
    assert client.call("Base.GetMeasuredGripperMovement", request).finger[0].value > 0.98
    client.grip(1.0, "SPEED")
    request = Base.GripperRequest(mode=codes.GripperMode.GRIPPER_SPEED)
    wait_for(lambda: client.call("Base.GetMeasuredGripperMovement", request).finger[0].value > 0.5)
    wait_for(lambda: gripper(client).motor[0].position < 70)
    client.grip(0.0, "SPEED")
    wait_for(lambda: abs(arm.robot.measured.gripper_speed) < 0.01)
    assert 0.02 < arm.robot.measured.state.gripper < 0.98
    client.grip(-0.3, "SPEED")
    wait_for(lambda: gripper(client).motor[0].position > 98)


def test_the_gripper_stalls_on_a_cube_and_says_so(arm, client):
    almost = next(g for g in np.linspace(0, 1, 200) if mechanism.opening(g) < tasks.CUBE + 0.003)
    client.grip(almost)
    wait_for(lambda: gripper(client).status_flags & RobotiqGripperStatusFlags.ROBOTIQ_STAT_POS_REACHED)
    wait_for(lambda: abs(arm.robot.measured.state.gripper - almost) < 0.01)
    with arm.halted():  # before the cube has fallen out
        tool = arm.twin.state().tool
        yaw = geometry.difference(tool.quaternion, kinematics.TOOL_DOWN)[2]
        arm.twin.place(tasks.NAMES[0], tool.position, float(yaw))
        client.grip(1.0)
    wait_for(lambda: gripper(client).status_flags & RobotiqGripperStatusFlags.ROBOTIQ_STAT_OBJECT_DETECTED)
    assert 20 < gripper(client).motor[0].position < 95


@pytest.mark.parametrize(("value", "mode"), [(1.5, "POSITION"), (-0.1, "POSITION"), (2, "SPEED"), (math.nan, "SPEED")])
def test_a_gripper_value_out_of_range_is_refused(client, value, mode):
    refused(SubErrorCodes.INVALID_PARAM, client.grip, value, mode)


def test_gripper_force_is_not_implemented(client):
    refused(SubErrorCodes.UNIMPLEMENTED, client.grip, 0.5, "FORCE")


def test_too_many_gripper_commands_lock_it(client):
    for _ in range(GRIPS_MOST):
        client.grip(0.5)
    refused(SubErrorCodes.DEVICE_NOT_READY, client.grip, 0.1)
    client.twist(0, 0.01)  # the arm goes on


def test_streamed_motion_cancels_the_gripper_as_that_firmware_does():
    with running_controller(overrides=("twin.gripper_cancelled=true",)) as arm, Client(arm.port).login() as client:
        client.grip(1.0)
        wait_for(lambda: arm.robot.measured.state.gripper > 0.1)
        client.twist(0, 0.01)
        wait_for(lambda: abs(arm.robot.measured.gripper_speed) < 0.01)
        assert arm.robot.measured.state.gripper < 0.9
        client.grip(1.0)
        wait_for(lambda: arm.robot.measured.state.gripper > 0.98)


def test_an_emergency_stop_stays_until_it_is_cleared(arm, client):
    client.subscribe("Base.ArmStateTopic")
    client.twist(0, -0.1)
    wait_for(lambda: moving(arm))
    client.call("Base.ApplyEmergencyStop")
    assert client.state() == ArmState.ARMSTATE_IN_FAULT
    refused(SubErrorCodes.ROBOT_IN_FAULT, client.twist, 0, 0.1)
    refused(SubErrorCodes.ROBOT_IN_FAULT, client.grip, 1.0)
    wait_for(lambda: still(arm))
    wait_for(lambda: "EMERGENCY_STOP_ACTIVATED" in arm.robot.measured.state.fault)
    assert client.feedback().base.fault_bank_a == codes.SafetyIdentifier.EMERGENCY_STOP_ACTIVATED
    client.call("Base.ClearFaults")
    assert client.state() == ArmState.ARMSTATE_SERVOING_READY
    client.twist(0, 0.1)
    wait_for(lambda: moving(arm))
    states = [client.notice("Base.ArmStateTopic").active_state for _ in range(3)]
    assert states[:3] == [
        ArmState.ARMSTATE_SERVOING_MANUALLY_CONTROLLED,
        ArmState.ARMSTATE_IN_FAULT,
        ArmState.ARMSTATE_SERVOING_READY,
    ]


def test_a_fault_of_a_joint_is_in_its_bank_and_in_the_bases(arm, client):
    client.twist(0, -0.1)
    wait_for(lambda: moving(arm))
    arm.fault(joint=2, bits=codes.SafetyIdentifierBankA.FOLLOWING_ERROR)
    wait_for(lambda: still(arm))
    feedback = client.feedback()
    assert feedback.actuators[2].fault_bank_a == codes.SafetyIdentifierBankA.FOLLOWING_ERROR
    assert feedback.base.fault_bank_a == codes.SafetyIdentifier.JOINT_FAULT
    assert arm.robot.banks.text() == "base JOINT_FAULT, joint 3 FOLLOWING_ERROR"
    client.call("Base.ClearFaults")
    assert client.feedback().actuators[2].fault_bank_a == 0


def test_what_is_held_cannot_be_cleared(arm, client):
    arm.robot.emergency_stop(held=True)
    client.call("Base.ClearFaults")
    assert client.state() == ArmState.ARMSTATE_IN_FAULT
    arm.robot.release()
    assert client.state() == ArmState.ARMSTATE_IN_FAULT
    client.call("Base.ClearFaults")
    assert client.state() == ArmState.ARMSTATE_SERVOING_READY


def test_the_robot_says_what_it_is(client):
    assert client.call("Base.GetActuatorCount").count == 7
    assert client.call("Base.GetFirmwareBundleVersions").main_bundle_version.startswith("2.6")
    devices = client.call("DeviceManager.ReadAllDevices").device_handle
    kinds = [codes.DeviceTypes(device.device_type).name for device in devices]
    assert kinds == ["BASE", *["BIG_ACTUATOR"] * 4, *["SMALL_ACTUATOR"] * 3, "INTERCONNECT", "GRIPPER"]
    serials = {client.call("DeviceConfig.GetSerialNumber", device=d.device_identifier).serial_number for d in devices}
    assert len(serials) == len(devices)
    assert client.call("DeviceConfig.GetDeviceType", device=1).device_type == codes.DeviceTypes.BIG_ACTUATOR
    assert "Gen3" in client.call("DeviceConfig.GetModelNumber").model_number
    refused(SubErrorCodes.INVALID_DEVICE, client.call, "DeviceConfig.GetSerialNumber", device=99)


def test_another_robot_can_be_played():
    product = Product(actuators=6, gripper=False, firmware="2.5.0")
    with running_controller(product=product) as arm, Client(arm.port).login() as client:
        assert client.call("Base.GetActuatorCount").count == 6
        feedback = client.feedback()
        assert len(feedback.actuators) == 6
        assert not feedback.interconnect.HasField("gripper_feedback")
        assert client.call("Base.GetFirmwareBundleVersions").main_bundle_version == "2.5.0"
        refused(SubErrorCodes.DEVICE_DISCONNECTED, client.grip, 1.0)
        client.subscribe("Base.RobotEventTopic")
        arm.robot.plug_tool(True)
        assert client.notice("Base.RobotEventTopic").event == codes.RobotEvent.TOOL_CONNECTED
        client.grip(0.5)
