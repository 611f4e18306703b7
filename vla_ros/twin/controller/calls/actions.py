"""Actions of Base: reach joint angles or a pose, the gripper, and the rest that is one call otherwise.

An action is answered at once and ends by a notification of ActionTopic: ACTION_START, then ACTION_END or ACTION_ABORT with the
reason in abort_details. A reach of a pose goes straight in joint space, not in space: what the arm does is not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vla_ros import geometry, kinematics
from vla_ros.geometry import Array
from vla_ros.twin.controller import orders, units
from vla_ros.twin.controller.actions import Running
from vla_ros.twin.controller.calls import base
from vla_ros.twin.controller.calls.call import Call, Handler, finite, not_negative, of_joints
from vla_ros.twin.controller.errors import CallError
from vla_ros.twin.controller.limits import HARD, Limits
from vla_ros.twin.controller.robot import Robot
from vla_ros.twin.controller.zones import closed_at
from vla_ros.twin.kortex.codes import (
    ActionEvent,
    ControlMode,
    JointTrajectoryConstraintType,
    SubErrorCodes,
)


def execute(robot: Robot, call: Call) -> None:
    """Begin an action. Raises CallError for one of another kind and for parameters that cannot be."""
    kind = call.request.WhichOneof("action_parameters")
    if kind not in _KINDS:
        raise CallError(SubErrorCodes.UNSUPPORTED_ACTION, f"an action with {kind or 'no parameters'}: not played here")
    _KINDS[kind](robot, call, getattr(call.request, kind))


def _begin(robot: Robot, call: Call, grips: bool = False) -> Running:
    running = robot.actions.begin(call.request.handle, call.session.identifier, call.now, grips)
    robot.notices.of_action(running, ActionEvent.ACTION_START, call.now)
    return running


def _end(robot: Robot, call: Call, running: Running, why: SubErrorCodes = SubErrorCodes.SUB_ERROR_NONE) -> None:
    robot.actions.end(running.number)
    event = ActionEvent.ACTION_ABORT if why else ActionEvent.ACTION_END
    robot.notices.of_action(running, event, call.now, why)


def reach_joint_angles(robot: Robot, call: Call, given: Any) -> None:
    """Turn the joints to these angles, degrees, within a speed or over a time."""
    joints = kinematics.wrapped(np.radians(of_joints("joint angles", given.joint_angles.joint_angles)))
    soft = robot.settings.limits[ControlMode.ANGULAR_TRAJECTORY]
    speeds, duration = _constraint(given.constraint, soft)
    robot.take_control(call.session)
    _reach(robot, call, joints, speeds, duration)


def _constraint(constraint: Any, soft: Limits) -> tuple[Array, float]:
    """Most speeds (7,) rad/s and least duration s. Raises CallError."""
    value = not_negative("constraint", constraint.value)
    if constraint.type == JointTrajectoryConstraintType.JOINT_CONSTRAINT_DURATION:
        return soft.speeds, value
    if constraint.type == JointTrajectoryConstraintType.JOINT_CONSTRAINT_SPEED and value > 0:
        if math.radians(value) > float(HARD.speeds.max()) * (1 + 1e-6):
            raise CallError(SubErrorCodes.CONTROL_LARGE_SPEED, f"{value:g} °/s: above the hard limits of the joints")
        return np.minimum(soft.speeds, math.radians(value)), 0.0
    return soft.speeds, 0.0


def reach_pose(robot: Robot, call: Call, given: Any) -> None:
    """Bring the tool to a pose in the base frame; not with the tool's speeds but no faster on average."""
    p = given.target_pose
    finite("pose", (p.x, p.y, p.z, p.theta_x, p.theta_y, p.theta_z))
    target = geometry.compose(units.pose(p), geometry.inverse(robot.settings.beyond))
    now = base.measured(robot)
    duration = _cartesian(given.constraint, robot.settings.tool_point(now.state.tool), units.pose(p))
    robot.take_control(call.session)
    try:
        joints = kinematics.inverse_kinematics(target, now.state.joints)
    except ValueError:
        _end(robot, call, _begin(robot, call), SubErrorCodes.CONTROL_OUTSIDE_WORKSPACE)
        return
    _reach(robot, call, joints, robot.settings.limits[ControlMode.CARTESIAN_TRAJECTORY].speeds, duration)


def _cartesian(constraint: Any, start: geometry.Pose, target: geometry.Pose) -> float:
    """The time, s, that the constraint gives the way at the least. Raises CallError."""
    if constraint.WhichOneof("type") != "speed":
        return not_negative("duration", constraint.duration)
    way = float(np.linalg.norm(target.position - start.position))
    turn = float(np.linalg.norm(geometry.difference(target.quaternion, start.quaternion)))
    speeds = not_negative("speed", constraint.speed.translation), not_negative("speed", constraint.speed.orientation)
    times = [way / speeds[0]] if speeds[0] else []
    times += [turn / math.radians(speeds[1])] if speeds[1] else []
    return max(times, default=0.0)


def _reach(robot: Robot, call: Call, joints: Array, speeds: Array, duration: float) -> None:
    """Begin the motion; where its end is beyond a joint's limit or in a closed zone the action is aborted at once."""
    running = _begin(robot, call)
    tool = robot.settings.tool_point(kinematics.forward(joints))
    if (np.abs(joints) > kinematics.POSITION_LIMITS).any():
        _end(robot, call, running, SubErrorCodes.CONTROL_JOINT_POSITION_LIMIT)
    elif closed_at(robot.settings.zones, tool.position) is not None:
        _end(robot, call, running, SubErrorCodes.CONTROL_OUTSIDE_WORKSPACE)
    else:
        accelerations = robot.settings.limits[ControlMode.ANGULAR_TRAJECTORY].accelerations
        robot.order(orders.Reach(running.number, joints, speeds, accelerations, duration))


def send_gripper_command(robot: Robot, call: Call, given: Any) -> None:
    """Move the fingers; the action ends when they rest."""
    base.grip(robot, call, given)
    _begin(robot, call, grips=True)


def send_twist_command(robot: Robot, call: Call, given: Any) -> None:
    """As Base.SendTwistCommand."""
    order = base.twist_order(given)
    robot.take_control(call.session)
    robot.order(order)
    _end(robot, call, _begin(robot, call))


def send_joint_speeds(robot: Robot, call: Call, given: Any) -> None:
    """As Base.SendJointSpeedsCommand."""
    order = base.speeds_order(given)
    robot.take_control(call.session)
    robot.order(order)
    _end(robot, call, _begin(robot, call))


def _at_once(do: Handler) -> Callable[[Robot, Call, Any], None]:
    """An action that is over when it has begun."""

    def run(robot: Robot, call: Call, given: Any) -> None:
        running = _begin(robot, call)
        do(robot, call)
        _end(robot, call, running)

    return run


_KINDS: dict[str, Callable[[Robot, Call, Any], None]] = {
    "reach_joint_angles": reach_joint_angles,
    "reach_pose": reach_pose,
    "send_gripper_command": send_gripper_command,
    "send_twist_command": send_twist_command,
    "send_joint_speeds": send_joint_speeds,
    "stop_action": _at_once(base.stop),
    "apply_emergency_stop": _at_once(base.apply_emergency_stop),
    "clear_faults": _at_once(base.clear_faults),
}


def stop_action(robot: Robot, call: Call) -> None:
    """Come to rest; the action that runs is aborted. Every session may."""
    robot.stop()


def _paused(paused: bool) -> Handler:
    def handle(robot: Robot, call: Call) -> None:
        if not robot.actions.moving:
            raise CallError(SubErrorCodes.CONTROL_NO_ACTION, "no action moves the arm")
        robot.order(orders.Pause(paused))

    return handle


CALLS: dict[str, Handler] = {
    "Base.ExecuteAction": execute,
    "Base.StopAction": stop_action,
    "Base.PauseAction": _paused(True),
    "Base.ResumeAction": _paused(False),
}
