"""Base: modes, twist, joint speeds, gripper, Stop, faults, topics, and what is measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from vla_ros.geometry import Array
from vla_ros.twin.controller import orders, units
from vla_ros.twin.controller.calls.call import Call, Handler, finite, of_joints
from vla_ros.twin.controller.errors import CallError, invalid
from vla_ros.twin.controller.measured import Measured
from vla_ros.twin.controller.motion import CLOSING_TIME
from vla_ros.twin.controller.robot import Robot
from vla_ros.twin.kortex.codes import (
    CartesianReferenceFrame,
    GripperMode,
    ServoingMode,
    SubErrorCodes,
)
from vla_ros.twin.kortex.messages import Base, Common

FINGER = 1
"""Number of the one finger that a 2F-85 has for its controller."""


def measured(robot: Robot) -> Measured:
    """What the arm does. Raises CallError before the first cycle of the physics."""
    if robot.measured is None:
        raise CallError(SubErrorCodes.ROBOT_NOT_READY, "the arm is starting: ask again")
    return robot.measured


def twist_order(command: Any) -> orders.Twist:
    """The order in a TwistCommand, m/s and degrees per second on the wire. Raises CallError."""
    if command.reference_frame not in set(CartesianReferenceFrame):
        raise invalid(f"reference frame {command.reference_frame}: none that is known")
    linear, angular = twist_of(command.twist)
    return orders.Twist(CartesianReferenceFrame(command.reference_frame), np.concatenate([linear, angular]))


def twist_of(twist: Any) -> tuple[Array, Array]:
    """Linear (3,) m/s and angular (3,) rad/s of a Twist. Raises CallError where a number is not finite."""
    linear = finite("twist", (twist.linear_x, twist.linear_y, twist.linear_z))
    angular = finite("twist", (twist.angular_x, twist.angular_y, twist.angular_z))
    return linear, np.radians(angular)


def send_twist_command(robot: Robot, call: Call) -> None:
    """Move the tool; `duration` does nothing, as on the arm ("not implemented yet", Base.proto)."""
    order = twist_order(call.request)
    robot.take_control(call.session)
    robot.order(order)


def speeds_order(command: Any) -> orders.JointSpeeds:
    """The order in a JointSpeeds message, degrees per second on the wire. Raises CallError."""
    return orders.JointSpeeds(np.radians(of_joints("joint speeds", command.joint_speeds)))


def send_joint_speeds_command(robot: Robot, call: Call) -> None:
    """Turn the joints; `duration` does nothing, as on the arm."""
    order = speeds_order(call.request)
    robot.take_control(call.session)
    robot.order(order)


def grip_order(command: Any) -> orders.Grip:
    """The order in a GripperCommand: position 0 open … 1 closed, or speed 1 opening … -1 closing. Raises CallError."""
    fingers = {finger.finger_identifier: finger.value for finger in command.gripper.finger}
    if len(fingers) != 1:
        raise invalid(f"{len(fingers)} fingers: this gripper takes one, finger_identifier {FINGER}")
    value = float(finite("gripper", fingers.values())[0])
    if command.mode == GripperMode.GRIPPER_POSITION:
        if not 0 <= value <= 1:
            raise invalid(f"gripper position {value:g}: not in 0 … 1")
        return orders.Grip(value)
    if command.mode == GripperMode.GRIPPER_SPEED:
        if not -1 <= value <= 1:
            raise invalid(f"gripper speed {value:g}: not in -1 … 1")
        return orders.Grip(None) if value == 0 else orders.Grip(0.0 if value > 0 else 1.0, abs(value))
    text = f"gripper mode {command.mode}: only GRIPPER_SPEED and GRIPPER_POSITION are implemented"
    raise CallError(SubErrorCodes.UNIMPLEMENTED, text)


def grip(robot: Robot, call: Call, command: Any) -> None:
    """Move the fingers. Raises CallError."""
    order = grip_order(command)
    if not robot.product.gripper:
        raise CallError(SubErrorCodes.DEVICE_DISCONNECTED, "there is no gripper on the arm")
    robot.take_control(call.session)
    robot.count_grip(call.now)
    robot.order(order)


def send_gripper_command(robot: Robot, call: Call) -> None:
    """Move the fingers, until they are there or held up."""
    grip(robot, call, call.request)


def get_measured_gripper_movement(robot: Robot, call: Call) -> Any:
    """Position 0 … 1, or speed as a fraction of the fastest, opening positive."""
    state, mode = measured(robot), call.request.mode
    if mode not in (GripperMode.GRIPPER_POSITION, GripperMode.GRIPPER_SPEED):
        raise CallError(SubErrorCodes.UNIMPLEMENTED, f"gripper mode {mode}: only speed and position are measured")
    speed = -state.gripper_speed * CLOSING_TIME
    value = state.state.gripper if mode == GripperMode.GRIPPER_POSITION else speed
    reply = Base.Gripper()
    reply.finger.add(finger_identifier=FINGER, value=value)
    return reply


def stop(robot: Robot, call: Call) -> None:
    """Come to rest; every session may."""
    robot.stop()


def apply_emergency_stop(robot: Robot, call: Call) -> None:
    """Come to rest and stay in fault; every session may."""
    robot.emergency_stop()


def clear_faults(robot: Robot, call: Call) -> None:
    """Leave the fault, where its cause is gone."""
    robot.clear_faults()


def get_arm_state(robot: Robot, call: Call) -> Any:
    """What the arm is doing, and who made it do so."""
    reply = Base.ArmStateInformation(active_state=robot.arm_state)
    reply.connection.connection_identifier = robot.owner
    return reply


def set_servoing_mode(robot: Robot, call: Call) -> None:
    """Who closes the loop. Only while the arm rests, or by who moves it."""
    if call.request.servoing_mode not in set(ServoingMode) - {ServoingMode.UNSPECIFIED_SERVOING_MODE}:
        raise invalid(f"servoing mode {call.request.servoing_mode}: none that is known")
    robot.not_of_another(call.session)
    mode = ServoingMode(call.request.servoing_mode)
    if mode != robot.mode:
        robot.mode = mode
        robot.stop()
        robot.notices.of_mode(mode, call.session.identifier, call.now)


def get_servoing_mode(robot: Robot, call: Call) -> Any:
    """Who closes the loop."""
    return Base.ServoingModeInformation(servoing_mode=robot.mode)


def get_measured_cartesian_pose(robot: Robot, call: Call) -> Any:
    """Pose of the configured tool point in the base frame."""
    reply = Base.Pose()
    units.set_pose(reply, robot.settings.tool_point(measured(robot).state.tool))
    return reply


def get_measured_joint_angles(robot: Robot, call: Call) -> Any:
    """Degrees, 0 … 360."""
    reply = Base.JointAngles()
    for i, angle in enumerate(units.one_turn(measured(robot).state.joints).tolist()):
        reply.joint_angles.add(joint_identifier=i, value=angle)
    return reply


def subscribe(robot: Robot, call: Call) -> Any:
    """Notify the session of a topic's events; other types and rates are not implemented by the robot, and taken for this one."""
    return Common.NotificationHandle(identifier=robot.topics.subscribe(call.uid, call.session))


def unsubscribe(robot: Robot, call: Call) -> None:
    """No more notifications for this handle."""
    if not robot.topics.unsubscribe(call.request.identifier, call.session):
        text = f"notification handle {call.request.identifier}: none of this session"
        raise CallError(SubErrorCodes.ENTITY_NOT_FOUND, text)


TOPICS = ("ProtectionZoneTopic", "ActionTopic", "RobotEventTopic", "ServoingModeTopic", "ArmStateTopic")

CALLS: dict[str, Handler] = {
    "Base.SendTwistCommand": send_twist_command,
    "Base.SendJointSpeedsCommand": send_joint_speeds_command,
    "Base.SendGripperCommand": send_gripper_command,
    "Base.GetMeasuredGripperMovement": get_measured_gripper_movement,
    "Base.Stop": stop,
    "Base.ApplyEmergencyStop": apply_emergency_stop,
    "Base.ClearFaults": clear_faults,
    "Base.GetArmState": get_arm_state,
    "Base.SetServoingMode": set_servoing_mode,
    "Base.GetServoingMode": get_servoing_mode,
    "Base.GetMeasuredCartesianPose": get_measured_cartesian_pose,
    "Base.GetMeasuredJointAngles": get_measured_joint_angles,
    "Base.Unsubscribe": unsubscribe,
    **{f"Base.{topic}": subscribe for topic in TOPICS},
}
