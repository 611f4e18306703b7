"""Speeds that the controller keeps to: hard limits that nobody can change, and soft limits for each control mode.

Everything here is in SI units; the messages of ControlConfig are in m/s, degrees per second and degrees per second squared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros import kinematics
from vla_ros.geometry import Array
from vla_ros.twin.kortex.codes import ControlMode

MODES = tuple(mode for mode in ControlMode if mode not in (ControlMode.UNSPECIFIED_CONTROL_MODE, ControlMode.IDLE))
"""Control modes that have soft limits."""


@dataclass(frozen=True)
class Limits:
    """Of one control mode: twist m/s and rad/s, joints (n,) rad/s and rad/s²."""

    linear: float
    angular: float
    speeds: Array
    accelerations: Array


HARD = Limits(0.5, np.radians(100.0), kinematics.VELOCITY_LIMITS, np.array([4.94] * 4 + [9.5] * 3))
"""0.5 m/s and 100 °/s (Kinova's answer to issue 14 of Kinova-kortex2_Gen3_G3L); 80 and 70 °/s (URDF); accelerations of
kortex_description."""
SOFT = Limits(0.5, np.radians(100.0), np.full(7, np.radians(50.0)), np.array([1.0] * 4 + [9.5] * 3))
"""What soft limits are at first: joints 50 °/s (Gen3 user guide) and the accelerations of ros_kortex's driver; that the twist's
are the hard ones is not verified on the arm."""


def cut(limits: Limits, joints: int) -> Limits:
    """Those of an arm of `joints` joints."""
    return Limits(limits.linear, limits.angular, limits.speeds[:joints], limits.accelerations[:joints])


def scaled(vector: Array, most: float) -> Array:
    """The vector, shorter where it is longer than `most`, in the same direction."""
    length = float(np.sqrt(vector @ vector))
    return vector if length <= most else vector * (most / length)
