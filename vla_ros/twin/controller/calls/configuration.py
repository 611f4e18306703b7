"""ControlConfig: soft limits, tool, gravity, payload and reference frame. On the wire m, degrees, kg."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from vla_ros.geometry import Array
from vla_ros.twin.controller import units
from vla_ros.twin.controller.calls.call import Call, Handler, finite, not_negative
from vla_ros.twin.controller.errors import CallError, invalid
from vla_ros.twin.controller.limits import HARD, MODES, SOFT, Limits
from vla_ros.twin.controller.robot import Robot
from vla_ros.twin.controller.settings import Tool
from vla_ros.twin.kortex.codes import CartesianReferenceFrame, ControlMode, SubErrorCodes
from vla_ros.twin.kortex.messages import ControlConfig
from vla_ros.values import JOINTS


def _mode(call: Call) -> ControlMode:
    if call.request.control_mode not in MODES:
        raise invalid(f"control mode {call.request.control_mode}: has no soft limits")
    return ControlMode(call.request.control_mode)


def _at_most(what: str, values: Array, hard: Array | float) -> Array:
    """The values. Raises CallError where one is negative or above the hard limit; a float32's rounding is forgiven."""
    for value in values.tolist():
        not_negative(what, value)
    if (values > np.asarray(hard) * (1 + 1e-6)).any():
        raise CallError(
            SubErrorCodes.VALUE_IS_ABOVE_MAXIMUM, f"{what}: above the hard limits, see GetKinematicHardLimits"
        )
    return values


def _joints(what: str, values: Any, hard: Array) -> Array:
    if len(values) != JOINTS:
        text = f"{len(values)} {what} for {JOINTS} joints"
        raise CallError(SubErrorCodes.CONTROL_ACTUATOR_COUNT_MISMATCH, text)
    return _at_most(what, np.radians(finite(what, values)), hard)


def _change(robot: Robot, mode: ControlMode, **changed: Any) -> None:
    limits = dict(robot.settings.limits)
    limits[mode] = replace(limits[mode], **changed)
    robot.settings = replace(robot.settings, limits=limits)


def set_linear(robot: Robot, call: Call) -> None:
    """Tool speed, m/s, in one control mode."""
    most = _at_most("twist_linear", finite("twist_linear", [call.request.twist_linear_soft_limit]), HARD.linear)
    _change(robot, _mode(call), linear=float(most[0]))


def set_angular(robot: Robot, call: Call) -> None:
    """Turn of the tool, degrees per second, in one control mode."""
    given = np.radians(finite("twist_angular", [call.request.twist_angular_soft_limit]))
    _change(robot, _mode(call), angular=float(_at_most("twist_angular", given, HARD.angular)[0]))


def set_speeds(robot: Robot, call: Call) -> None:
    """Joint speeds, degrees per second, in one control mode."""
    speeds = _joints("joint speeds", call.request.joint_speed_soft_limits, HARD.speeds)
    _change(robot, _mode(call), speeds=speeds)


def set_accelerations(robot: Robot, call: Call) -> None:
    """Joint accelerations, degrees per second squared, in one control mode."""
    given = _joints("joint accelerations", call.request.joint_acceleration_soft_limits, HARD.accelerations)
    _change(robot, _mode(call), accelerations=given)


def _message(limits: Limits, mode: ControlMode, joints: int) -> Any:
    return ControlConfig.KinematicLimits(
        control_mode=mode,
        twist_linear=limits.linear,
        twist_angular=np.degrees(limits.angular),
        joint_speed_limits=np.degrees(limits.speeds[:joints]).tolist(),
        joint_acceleration_limits=np.degrees(limits.accelerations[:joints]).tolist(),
    )


def get_hard_limits(robot: Robot, call: Call) -> Any:
    """What no soft limit may exceed."""
    return _message(HARD, ControlMode.UNSPECIFIED_CONTROL_MODE, robot.product.actuators)


def get_soft_limits(robot: Robot, call: Call) -> Any:
    """Of one control mode."""
    mode = _mode(call)
    return _message(robot.settings.limits[mode], mode, robot.product.actuators)


def get_all_soft_limits(robot: Robot, call: Call) -> Any:
    """Of every control mode that has some."""
    each = [_message(robot.settings.limits[mode], mode, robot.product.actuators) for mode in MODES]
    return ControlConfig.KinematicLimitsList(kinematic_limits_list=each)


def _reset(name: str, reply: Callable[[ControlMode], Any]) -> Handler:
    """A handler that sets one limit of a mode to what it was at first."""

    def handle(robot: Robot, call: Call) -> Any:
        mode = _mode(call)
        _change(robot, mode, **{name: getattr(SOFT, name)})
        return reply(mode)

    return handle


def set_tool(robot: Robot, call: Call) -> None:
    """The tool point that pose and twist refer to, in the flange's frame; mass and its centre are kept and read back only."""
    given = call.request
    t, c = given.tool_transform, given.tool_mass_center
    finite("tool transform", (t.x, t.y, t.z, t.theta_x, t.theta_y, t.theta_z))
    centre = finite("tool mass centre", (c.x, c.y, c.z)).tolist()
    tool = Tool(units.pose(t), not_negative("tool mass", given.tool_mass), tuple(centre))
    if not robot.resting:
        raise CallError(SubErrorCodes.ROBOT_MOVEMENT_IN_PROGRESS, "the tool is not changed while the arm moves")
    robot.settings = replace(robot.settings, tool=tool, beyond=tool.beyond())


def get_tool(robot: Robot, call: Call) -> Any:
    """As it was set; the flange with no mass before."""
    tool, reply = robot.settings.tool, ControlConfig.ToolConfiguration()
    units.set_pose(reply.tool_transform, tool.transform)
    reply.tool_mass = tool.mass
    reply.tool_mass_center.x, reply.tool_mass_center.y, reply.tool_mass_center.z = tool.centre
    return reply


def set_gravity(robot: Robot, call: Call) -> None:
    """Kept and read back: the twin's gravity stays as it is."""
    g = call.request
    robot.settings = replace(robot.settings, gravity=tuple(finite("gravity", (g.x, g.y, g.z)).tolist()))


def get_gravity(robot: Robot, call: Call) -> Any:
    """m/s² in the base frame."""
    x, y, z = robot.settings.gravity
    return ControlConfig.GravityVector(x=x, y=y, z=z)


def set_payload(robot: Robot, call: Call) -> None:
    """Kept and read back."""
    mass, c = not_negative("payload mass", call.request.payload_mass), call.request.payload_mass_center
    robot.settings = replace(robot.settings, payload=(mass, *finite("payload", (c.x, c.y, c.z)).tolist()))


def get_payload(robot: Robot, call: Call) -> Any:
    """Mass kg and its centre m in the tool's frame."""
    mass, x, y, z = robot.settings.payload
    return ControlConfig.PayloadInformation(
        payload_mass=mass, payload_mass_center=ControlConfig.Position(x=x, y=y, z=z)
    )


def set_frame(robot: Robot, call: Call) -> None:
    """The frame of a twist that names none."""
    frame = call.request.reference_frame
    if frame not in set(CartesianReferenceFrame) - {CartesianReferenceFrame.CARTESIAN_REFERENCE_FRAME_UNSPECIFIED}:
        raise invalid(f"reference frame {frame}: none that is known")
    robot.settings = replace(robot.settings, frame=CartesianReferenceFrame(frame))


def get_frame(robot: Robot, call: Call) -> Any:
    """The frame of a twist that names none; MIXED at first (not verified on the arm)."""
    return ControlConfig.CartesianReferenceFrameInfo(reference_frame=robot.settings.frame)


def get_control_mode(robot: Robot, call: Call) -> Any:
    """Refused, as ControlConfig.proto says of the arm: not implemented yet."""
    raise CallError(SubErrorCodes.UNIMPLEMENTED, "GetControlMode is not implemented by the robot")


CALLS: dict[str, Handler] = {
    "ControlConfig.SetTwistLinearSoftLimit": set_linear,
    "ControlConfig.SetTwistAngularSoftLimit": set_angular,
    "ControlConfig.SetJointSpeedSoftLimits": set_speeds,
    "ControlConfig.SetJointAccelerationSoftLimits": set_accelerations,
    "ControlConfig.GetKinematicHardLimits": get_hard_limits,
    "ControlConfig.GetKinematicSoftLimits": get_soft_limits,
    "ControlConfig.GetAllKinematicSoftLimits": get_all_soft_limits,
    "ControlConfig.ResetTwistLinearSoftLimit": _reset(
        "linear",
        lambda mode: ControlConfig.TwistLinearSoftLimit(control_mode=mode, twist_linear_soft_limit=SOFT.linear),
    ),
    "ControlConfig.ResetTwistAngularSoftLimit": _reset(
        "angular",
        lambda mode: ControlConfig.TwistAngularSoftLimit(
            control_mode=mode, twist_angular_soft_limit=np.degrees(SOFT.angular)
        ),
    ),
    "ControlConfig.ResetJointSpeedSoftLimits": _reset(
        "speeds",
        lambda mode: ControlConfig.JointSpeedSoftLimits(
            control_mode=mode, joint_speed_soft_limits=np.degrees(SOFT.speeds).tolist()
        ),
    ),
    "ControlConfig.ResetJointAccelerationSoftLimits": _reset(
        "accelerations",
        lambda mode: ControlConfig.JointAccelerationSoftLimits(
            control_mode=mode, joint_acceleration_soft_limits=np.degrees(SOFT.accelerations).tolist()
        ),
    ),
    "ControlConfig.SetToolConfiguration": set_tool,
    "ControlConfig.GetToolConfiguration": get_tool,
    "ControlConfig.SetGravityVector": set_gravity,
    "ControlConfig.GetGravityVector": get_gravity,
    "ControlConfig.SetPayloadInformation": set_payload,
    "ControlConfig.GetPayloadInformation": get_payload,
    "ControlConfig.SetCartesianReferenceFrame": set_frame,
    "ControlConfig.GetCartesianReferenceFrame": get_frame,
    "ControlConfig.GetControlMode": get_control_mode,
}
