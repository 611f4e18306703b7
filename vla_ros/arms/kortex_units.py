"""Between Kortex's conventions and ours, and nowhere else: degrees, percent, Euler angles and the vendor's messages end
here.

Kortex counts angles in degrees, 0 … 360 in feedback, and turning in °/s; lengths are m, speeds m/s. Its poses are
metres and extrinsic XYZ angles: turned about the base's x, then its y, then its z. Fingers are 0 open … 1 closed in
commands and percent in feedback. An actuator's torque has the sign against its joint's direction (seen by users of
the arm; to be verified on it). Source of the units: the comments of Base.proto and BaseCyclic.proto
(kortex_driver/protos of Kinovarobotics/ros_kortex at 6cd75d4).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vla_ros import geometry, kinematics
from vla_ros.geometry import Array, Pose
from vla_ros.values import JOINTS, ArmState

DEGREE = math.pi / 180

_END_EFFECTOR: Array = np.array([1.0, 0.0, 0.0, 0.0])
"""Orientation of the arm's flange in the last link's frame: the URDF's `end_effector`, half a turn about x."""
TOOL_IN_FLANGE = Pose(
    np.array([0.0, 0.0, kinematics.TOOL_OFFSET]),
    geometry.normalized(
        geometry.multiply(geometry.conjugate(_END_EFFECTOR), kinematics.GRIPPER_MOUNT.quaternion),
    ),
)
"""Our tool frame in the flange's: what SetToolConfiguration is to be told."""


def radians(degrees: Array) -> Array:
    """Degrees as radians in [-pi, pi): feedback counts joints from 0 to 360, we around zero."""
    return kinematics.wrapped(np.asarray(degrees, np.float64) * DEGREE)


def degrees(angles: Array) -> Array:
    """Radians as degrees in [0, 360), as the arm counts its joints."""
    turned = np.asarray(angles, np.float64) / DEGREE % 360.0
    return np.where(turned >= 360.0, 0.0, turned)  # what is a hair below zero rounds to 360


def quaternion(theta: Array) -> Array:
    """Unit quaternion xyzw of Kortex's angles theta_x, theta_y, theta_z (3,), degrees: extrinsic XYZ, R = Rz·Ry·Rx."""
    x, y, z = (geometry.exp(axis * angle * DEGREE) for axis, angle in zip(np.eye(3), theta.tolist(), strict=True))
    return geometry.normalized(geometry.multiply(z, geometry.multiply(y, x)))


def thetas(q: Array) -> Array:
    """Kortex's angles (3,), degrees, of a unit quaternion; theta_y in [-90, 90]. Pointing straight along z, theta_z is 0."""
    m = geometry.matrix(q)
    level = math.hypot(m[0, 0], m[1, 0])
    y = math.atan2(-m[2, 0], level)
    if level < 1e-9:
        return np.array([math.atan2(-m[1, 2], m[1, 1]), y, 0.0]) / DEGREE
    return np.array([math.atan2(m[2, 1], m[2, 2]), y, math.atan2(m[1, 0], m[0, 0])]) / DEGREE


def pose(message: Any) -> Pose:
    """The pose in a message with x, y, z (m) and theta_x, theta_y, theta_z (degrees): Base.Pose, ControlConfig.CartesianTransform."""
    return Pose(
        np.array([message.x, message.y, message.z], np.float64),
        quaternion(np.array([message.theta_x, message.theta_y, message.theta_z])),
    )


def fill_pose(message: Any, value: Pose) -> None:
    """Write a pose into such a message."""
    for name, number in zip("xyz", value.position.tolist(), strict=True):
        setattr(message, name, number)
    for name, number in zip("xyz", thetas(value.quaternion).tolist(), strict=True):
        setattr(message, f"theta_{name}", number)


def reported_tool(feedback: Any) -> Pose:
    """The tool pose in the base frame that a BaseCyclic.Feedback gives."""
    base = feedback.base
    angles = np.array([base.tool_pose_theta_x, base.tool_pose_theta_y, base.tool_pose_theta_z])
    return Pose(np.array([base.tool_pose_x, base.tool_pose_y, base.tool_pose_z], np.float64), quaternion(angles))


def fill_twist(message: Any, twist: Array, frame: int) -> None:
    """Write a tool twist (6,) m/s and rad/s into a Base.TwistCommand; `frame` is the vendor's number of the frame it is given in."""
    message.reference_frame = frame
    for axis, linear, angular in zip("xyz", twist[:3].tolist(), twist[3:].tolist(), strict=True):
        setattr(message.twist, f"linear_{axis}", linear)
        setattr(message.twist, f"angular_{axis}", angular / DEGREE)


def twist(message: Any) -> Array:
    """The tool twist (6,) m/s and rad/s in a Base.TwistCommand."""
    given = message.twist
    linear = [given.linear_x, given.linear_y, given.linear_z]
    return np.array([*linear, *(a * DEGREE for a in (given.angular_x, given.angular_y, given.angular_z))])


def finger(percent: float) -> float:
    """A gripper position in percent as 0 open … 1 closed."""
    return min(max(percent / 100.0, 0.0), 1.0)


def percent(position: float) -> float:
    """A gripper position 0 open … 1 closed in percent."""
    return 100.0 * min(max(position, 0.0), 1.0)


def gripper(feedback: Any) -> float:
    """The gripper's position in a BaseCyclic.Feedback, 0 open … 1 closed; NaN where there is no gripper."""
    motors = feedback.interconnect.gripper_feedback.motor
    return finger(motors[0].position) if motors else math.nan


def arm_state(feedback: Any, stamp: int, fault: str = "") -> ArmState:
    """What a BaseCyclic.Feedback of JOINTS actuators says; `stamp` (ns) and `fault` are the caller's.

    The tool is ours, of the measured joints, so that the state agrees with what the governor computes from it.
    `force` is the arm's own estimate of the external wrench, taken to be in the base frame (to be verified on the
    arm). Raises ValueError for another count.
    """
    actuators, base = feedback.actuators, feedback.base
    if len(actuators) != JOINTS:
        raise ValueError(f"feedback of {len(actuators)} actuators: this driver is for the Gen3 with {JOINTS}")
    joints = radians(np.array([a.position for a in actuators]))
    force = [base.tool_external_wrench_force_x, base.tool_external_wrench_force_y, base.tool_external_wrench_force_z]
    return ArmState(
        stamp=stamp,
        joints=joints,
        velocities=np.array([a.velocity for a in actuators]) * DEGREE,
        torques=-np.array([a.torque for a in actuators], np.float64),
        tool=kinematics.forward(joints) if np.isfinite(joints).all() else Pose(np.full(3, np.nan), np.full(4, np.nan)),
        gripper=gripper(feedback),
        force=np.array(force, np.float64),
        fault=fault,
    )
