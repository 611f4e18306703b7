"""A gamepad as the tool's motion, wherever its axes and buttons come from: game_controller_node of ROS, or the kernel.

Hold RB: the clutch. Left stick: forward and left. Right stick: up, and the turn about the vertical. Cross: tilt. RT closes, LT opens.
Y success, A failure, X record again, B discard, START start and stop, BACK save the last 30 s, right stick pressed next task; left
stick pressed base or tool frame, GUIDE faster, LB slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_ros.teleop.reading import Reading, TeleopError

A, B, X, Y, BACK, GUIDE, START, LEFT_STICK, RIGHT_STICK, LB, RB, UP, DOWN, LEFT, RIGHT = range(15)
"""Indices of the buttons: SDL's, as game_controller_node of the ROS package joy gives them (its README)."""
AXES, BUTTONS = 6, 15
MEANINGS = {
    Y: "success", A: "failure", X: "rerecord", B: "discard", START: "toggle", BACK: "save",
    LEFT_STICK: "frame", RIGHT_STICK: "next", LB: "slower", GUIDE: "faster",
}  # fmt: skip


@dataclass(frozen=True)
class Pad:
    """A gamepad: sticks in -1 … 1, left and up positive; triggers 0 … 1; `down` holds the indices of the pressed buttons."""

    left: tuple[float, float] = (0.0, 0.0)
    right: tuple[float, float] = (0.0, 0.0)
    triggers: tuple[float, float] = (0.0, 0.0)
    down: frozenset[int] = frozenset()


def from_joy(axes: Sequence[float], buttons: Sequence[int]) -> Pad:
    """The pad of a sensor_msgs/Joy of game_controller_node: sticks left and up positive, triggers 0 … -1 (it inverts all axes).

    Raises TeleopError for fewer axes or buttons than SDL has, as of joy_node, whose order changes from maker to maker.
    """
    if len(axes) < AXES or len(buttons) < BUTTONS:
        raise TeleopError(
            f"/joy has {len(axes)} axes and {len(buttons)} buttons, wanted are {AXES} and {BUTTONS}: "
            "run game_controller_node of the package joy, not joy_node"
        )
    left_x, left_y, right_x, right_y, left, right = (float(value) for value in axes[:AXES])
    down = frozenset(index for index, value in enumerate(buttons[:BUTTONS]) if value)
    return Pad((left_x, left_y), (right_x, right_y), (abs(left), abs(right)), down)


def reading(pad: Pad, stamp: int) -> Reading:
    """What the pad asks for."""
    tilt = np.array([(RIGHT in pad.down) - (LEFT in pad.down), (UP in pad.down) - (DOWN in pad.down)], np.float64)
    axes = np.array([pad.left[1], pad.left[0], pad.right[1], *tilt, pad.right[0]])
    pressed = frozenset(meaning for index, meaning in MEANINGS.items() if index in pad.down)
    return Reading(stamp, axes, RB in pad.down, pad.triggers[1] - pad.triggers[0], pressed)
