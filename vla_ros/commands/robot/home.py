"""`home`: the joints go home, slowly, and are there."""

from __future__ import annotations

import math

import numpy as np

from vla_ros.arms.arm import ArmError
from vla_ros.commands.robot.cell import TURN, Cell
from vla_ros.commands.robot.verdict import Judge, Verdict
from vla_ros.geometry import Array
from vla_ros.kinematics import wrapped

HOME = Judge("home")
NEAR = math.radians(1.0)
PATIENCE = 180.0


def home(cell: Cell) -> Verdict:
    """Move the joints home at 5°/s each."""
    with cell.arm() as operator:
        cell.say(f"moving the joints home at {math.degrees(TURN):g}°/s: the fingers may sweep over the table")
        try:
            operator.home(PATIENCE)
        except ArmError as error:
            return HOME.failed(
                str(error), "look at what is in the way, at arm.home, and at `vla-ros robot describe` for faults"
            )
        joints = operator.feedback().joints
    return judge_home(joints, np.array(cell.config.arm.home))


def judge_home(joints: Array, wanted: Array) -> Verdict:
    """Every joint within 1° of arm.home."""
    off = np.abs(wrapped(joints - wanted))
    worst = int(np.argmax(off))
    text = f"joint {worst + 1} is off by {math.degrees(off[worst]):.2f}°, the others by less"
    if off[worst] > NEAR:
        return HOME.failed(
            text,
            "`vla-ros robot describe` for faults; look at arm.home, and whether something is in the way",
            off_rad=float(off[worst]),
        )
    return HOME.passed(text, off_rad=float(off[worst]))
