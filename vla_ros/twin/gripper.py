"""The 2F-85 as a mechanism: two driven links whose fingers stay parallel.

Everything is in the plane y-z of the gripper's base, in metres: y is the way the fingers open, z points away
from the arm.
"""

from __future__ import annotations

import math

from vla_ros.kinematics import TOOL_OFFSET

PIVOT = (0.0306011, 0.054904)
"""Where a driven link turns on the base (y, z)."""
LINK = (0.0132 + 0.055 - PIVOT[0], 0.0609 + 0.0375 - PIVOT[1])
"""From there to the pivot of the finger, open: the parallel link leads to the same point."""
PAD = (-0.0189, 0.01352)
"""From the finger's pivot to the root of the pad."""
PAD_HALF = (0.011, 0.004, 0.009375)
"""Half size of one of the two boxes of a pad (x, y, z)."""
STROKE = 0.085
"""Opening between the pads, open (data sheet)."""

_LENGTH = math.hypot(*LINK)
_OPEN_ANGLE = math.atan2(LINK[1], LINK[0])
CLOSED = math.acos((LINK[0] - STROKE / 2) / _LENGTH) - _OPEN_ANGLE
"""Turn of the driven links from open to pads touching, rad."""

_PAD_TIP = PAD[1] + 4 * PAD_HALF[2]


def opening(gripper: float) -> float:
    """Distance between the pads, m, at a gripper position 0 open … 1 closed."""
    return STROKE + 2 * _LENGTH * (math.cos(_OPEN_ANGLE + gripper * CLOSED) - math.cos(_OPEN_ANGLE))


def below_tool(gripper: float) -> float:
    """How far the finger tips reach beyond the tool point, m, at a gripper position 0 open … 1 closed."""
    return PIVOT[1] + _LENGTH * math.sin(_OPEN_ANGLE + gripper * CLOSED) + _PAD_TIP - TOOL_OFFSET


FINGER_BELOW_TOOL = PIVOT[1] + _LENGTH + _PAD_TIP - TOOL_OFFSET
"""The farthest that the finger tips reach beyond the tool point anywhere on their stroke, m: 0.0219."""
