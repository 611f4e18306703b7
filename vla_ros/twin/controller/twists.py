"""Twists of points on one rigid body."""

from __future__ import annotations

import numpy as np

from vla_ros.geometry import Array


def shifted(twist: Array, lever: Array) -> Array:
    """The twist (6,) of the point that is `lever` (3,) away on the same body, in the same frame: v + ω × lever."""
    vx, vy, vz, wx, wy, wz = twist.tolist()
    x, y, z = lever.tolist()
    return np.array([vx + wy * z - wz * y, vy + wz * x - wx * z, vz + wx * y - wy * x, wx, wy, wz])
