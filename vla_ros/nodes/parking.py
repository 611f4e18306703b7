"""The arm's way between episodes: up, and to where it waits. A pure function of where the tool is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.calibration.way import gap
from vla_ros.clock import SECOND
from vla_ros.geometry import Array, Pose

GAIN = 2.0
"""1/s on what is missing: stable up to a delay of 0.18 s (1/(e·delay))."""
NEAR, TURNED = 0.005, 0.05
PAUSE = SECOND // 2
"""Before it begins: a hand that has just pressed a button may not have let go of the clutch yet."""
PATIENCE = 20 * SECOND
"""After this the arm has not come there, and waits where it is."""


@dataclass(frozen=True)
class Parking:
    """Where to, how fast (m/s, rad/s), and since when (ns)."""

    goal: Pose
    speed: float
    turn_speed: float
    since: int

    def twist(self, tool: Pose) -> Array:
        """How the tool is to move now (6,), base frame: straight up first where the goal is higher, away from things."""
        missing = gap(self.goal, tool)
        low = missing[2] > NEAR
        way = np.array([0.0, 0.0, missing[2]]) if low else missing[:3]
        turn = np.zeros(3) if low else missing[3:]
        return np.concatenate([_capped(GAIN * way, self.speed), _capped(GAIN * turn, self.turn_speed)])

    def begun(self, now: int) -> bool:
        """Whether it is time to move; from then on a hand that holds the clutch has taken the arm."""
        return now - self.since > PAUSE

    def there(self, tool: Pose) -> bool:
        """Whether the tool has arrived."""
        missing = gap(self.goal, tool)
        return bool(np.linalg.norm(missing[:3]) < NEAR and np.linalg.norm(missing[3:]) < TURNED)

    def given_up(self, now: int) -> bool:
        """Whether it has taken too long."""
        return now - self.since > PATIENCE


def _capped(vector: Array, most: float) -> Array:
    length = float(np.linalg.norm(vector))
    return vector if length <= most else vector * (most / length)
