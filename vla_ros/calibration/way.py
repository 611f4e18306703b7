"""From one pose to another in a straight line that begins and ends at rest, for an arm that is led by twists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros import geometry
from vla_ros.config.schema import Limits
from vla_ros.geometry import Array, Pose

SHARE = 0.8
"""Of the caps on speed: what is left is for the correction on the way."""
_PEAK = 1.875
"""Largest slope of the quintic step."""
_SHORTEST = 0.4
_STEP = 0.01


@dataclass(frozen=True)
class Way:
    """From `start` to `goal` (base frame) in `seconds`, along a quintic step of time (Flash and Hogan 1985)."""

    start: Pose
    goal: Pose
    seconds: float

    def at(self, t: float) -> Pose:
        """Where the tool is to be `t` s after the beginning."""
        u = min(max(t / self.seconds, 0.0), 1.0)
        return geometry.interpolate(self.start, self.goal, u**3 * (10 - 15 * u + 6 * u * u))

    def twist(self, t: float) -> Array:
        """How it is to move then, (6,) m/s and rad/s in the base frame."""
        before, after = self.at(t - _STEP / 2), self.at(t + _STEP / 2)
        turn = geometry.difference(after.quaternion, before.quaternion)
        return np.concatenate([after.position - before.position, turn]) / _STEP


def way(start: Pose, goal: Pose, limits: Limits, share: float = SHARE) -> Way:
    """The way that keeps below a share of the caps on speed."""
    distance, turn = (float(np.linalg.norm(x)) for x in np.split(gap(goal, start), 2))
    slowest = max(distance / limits.speed, turn / limits.turn_speed)
    return Way(start, goal, max(_SHORTEST, _PEAK * slowest / share))


def gap(goal: Pose, here: Pose) -> Array:
    """What is missing (6,): m, and rad as a rotation vector, in the base frame."""
    return np.concatenate([goal.position - here.position, geometry.difference(goal.quaternion, here.quaternion)])
