"""The vendor's numbers and ours: degrees and radians, poses as three turns, joints of one turn.

A Kortex pose is a position in m and theta_x, theta_y, theta_z in degrees about fixed axes, x first: R = Rz·Ry·Rx (Kinova Gen3
user guide; not verified on the arm).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vla_ros import geometry
from vla_ros.geometry import Array, Pose

_HALF_TURN = 180.0


def thetas(quaternion: Array) -> Array:
    """Turns (3,) in degrees about the fixed axes x, y, z of a unit quaternion xyzw."""
    m = geometry.matrix(quaternion).tolist()
    flat = math.hypot(m[0][0], m[1][0])
    if flat < 1e-9:  # theta_y is ±90°: x and z turn about one axis, all of it is given to x
        return np.degrees([math.atan2(-m[1][2], m[1][1]), math.atan2(-m[2][0], flat), 0.0])
    turns = (math.atan2(m[2][1], m[2][2]), math.atan2(-m[2][0], flat), math.atan2(m[1][0], m[0][0]))
    return np.degrees(turns)


def quaternion(degrees: Array) -> Array:
    """The unit quaternion xyzw of turns (3,) in degrees about the fixed axes x, y, z."""
    x, y, z = (geometry.exp(axis) for axis in np.diag(np.radians(degrees)))
    return geometry.multiply(z, geometry.multiply(y, x))


def pose(message: Any) -> Pose:
    """The pose in a message that has x, y, z in m and theta_x, theta_y, theta_z in degrees."""
    return Pose(
        np.array([message.x, message.y, message.z]),
        quaternion(np.array([message.theta_x, message.theta_y, message.theta_z])),
    )


def set_pose(message: Any, value: Pose, prefix: str = "") -> None:
    """Write a pose into the fields x … theta_z of a message, whose names may have a prefix."""
    numbers = [*value.position.tolist(), *thetas(value.quaternion).tolist()]
    for name, number in zip(("x", "y", "z", "theta_x", "theta_y", "theta_z"), numbers, strict=True):
        setattr(message, prefix + name, number)


def one_turn(joints: Array) -> Array:
    """Joint angles as actuators report them: degrees in 0 … 360."""
    return np.asarray(np.degrees(joints) % (2 * _HALF_TURN))
