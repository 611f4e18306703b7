"""The tracker turns the wanted pose into a tool twist: feed-forward, and a gain on the pose error."""

from __future__ import annotations

import numpy as np

from vla_ros import geometry
from vla_ros.geometry import Array, Pose
from vla_ros.values import Setpoint


def track(wanted: Setpoint, measured: Pose, gain: float) -> Array:
    """Tool twist (6,) m/s and rad/s, base frame, that leads `measured` to the setpoint.

    `gain` in 1/s. An arm that answers after `delay` seconds is an integrator behind a dead time: the closed loop does not overshoot
    up to gain = 1/(e·delay) (Åström & Hägglund, PID Controllers, 1995; the schema refuses more).
    """
    error = np.concatenate(
        [
            wanted.tool.position - measured.position,
            geometry.difference(wanted.tool.quaternion, measured.quaternion),
        ]
    )
    return np.asarray(wanted.twist + gain * error)
