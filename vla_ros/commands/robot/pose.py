"""`pose`: the arm's tool pose is ours, and each component of a twist moves the tool as it says: sign, frame and unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vla_ros.arms.arm import ArmError
from vla_ros.commands.robot.cell import SPEED, TURN, Cell, NoRoomError, along, move
from vla_ros.commands.robot.verdict import Judge, Verdict
from vla_ros.geometry import Array, Pose, difference

if TYPE_CHECKING:
    from vla_ros.arms.kortex_operator import Operator

POSE = Judge("pose")
SECONDS, FEELER = 1.0, 0.3
"""s of each motion, and of the short one before it, at a fifth of the speed: an error of units shows before it is large."""
SLOWER = 0.2
NAMES = ("x", "y", "z", "about x", "about y", "about z")
NEAR, ALIKE = 0.010, math.radians(2)
"""m and rad by which the arm's tool pose may differ from ours."""
ASTRAY = 0.3
"""Share of a motion by which it may be shorter or longer, and go astray along another axis."""
WANDER = 0.005
"""m that the tool point may wander while the tool turns about it."""
RUNAWAY, LEAST = 3.0, 0.1
"""Times as far as commanded: more or less than these is no matter of how well the arm follows."""


@dataclass(frozen=True)
class Moved:
    """A motion: which component was commanded, for how far (m or rad), and the displacement (6,) m and rad in the base frame."""

    axis: int
    wanted: float
    got: Array


@dataclass(frozen=True)
class Gap:
    """How far the arm's own tool pose is from ours at one configuration: m and rad."""

    distance: float
    turn: float

    @property
    def wide(self) -> bool:
        """Whether they are two poses."""
        return self.distance > NEAR or self.turn > ALIKE


def pose(cell: Cell) -> Verdict:
    """Move along and about each axis, there and back, by 2 cm or 5°; compare the poses at the end of each."""
    try:
        with cell.arm() as operator:
            return judge_pose(*motions(cell, operator))
    except NoRoomError:
        raise
    except ArmError as error:
        return refused(cell, error)


def refused(cell: Cell, error: ArmError) -> Verdict:
    """The setup does not go on where the poses differ: that is what this check is for. Raises the error if it had another reason."""
    with cell.onlooker() as operator:
        told, seen = operator.describe(), gap(operator)
    if abs(told.tool.mass - cell.config.arm.tool_mass) > 1e-3 or not seen.wide:
        raise error
    return judge_pose([seen], [])


def motions(cell: Cell, operator: Operator) -> tuple[list[Gap], list[Moved]]:
    """The gaps at the start and after each motion, and the motions; none follows one that is not as commanded."""
    gaps, moves = [gap(operator)], list[Moved]()
    for axis in range(6):
        cell.say(f"moving {'along ' if axis < 3 else ''}{NAMES[axis]} by {'2 cm' if axis < 3 else '5°'} and back")
        size = SPEED if axis < 3 else TURN
        size = -size if axis == 2 and high(cell, operator) else size
        for scale, seconds in ((SLOWER, FEELER), (1.0, SECONDS)):
            moved = measured(cell, operator, axis, scale * size, seconds)
            if runaway(moved):
                return gaps, [*moves, moved]
        moves.append(moved)
        gaps.append(gap(operator))
        if fault_of(moved):
            return gaps, moves
        move(cell, operator, along(axis, -size), SECONDS)
    return gaps, moves


def high(cell: Cell, operator: Operator) -> bool:
    """Whether there is more room below the tool than above."""
    box = cell.config.workspace
    return float(operator.feedback().tool.position[2]) > (max(box.low[2], box.table) + box.high[2]) / 2


def measured(cell: Cell, operator: Operator, axis: int, size: float, seconds: float) -> Moved:
    """One motion and what it amounted to, by the joints."""
    states = move(cell, operator, along(axis, size), seconds)
    return Moved(axis, size * seconds, displacement(states[0].tool, states[-1].tool))


def displacement(start: Pose, end: Pose) -> Array:
    """(6,) m and rad from one pose to another in the frame that both are given in."""
    return np.concatenate([end.position - start.position, difference(end.quaternion, start.quaternion)])


def gap(operator: Operator) -> Gap:
    """The arm's own tool pose against ours, now."""
    told = operator.describe()
    turn = difference(told.reported_tool.quaternion, told.computed_tool.quaternion)
    return Gap(
        float(np.linalg.norm(told.reported_tool.position - told.computed_tool.position)), float(np.linalg.norm(turn))
    )


def runaway(moved: Moved) -> bool:
    """Whether the motion was far longer than it was to be, beyond what is noise."""
    part = moved.got[:3] if moved.axis < 3 else moved.got[3:]
    noise = 0.002 if moved.axis < 3 else math.radians(0.3)
    return float(np.linalg.norm(part)) > RUNAWAY * abs(moved.wanted) + noise


def judge_pose(gaps: Sequence[Gap], moves: Sequence[Moved]) -> Verdict:
    """Each motion as commanded, and the poses alike everywhere."""
    worst, turn = max(g.distance for g in gaps), max(g.turn for g in gaps)
    figures = {"gap_m": worst, "gap_rad": turn} | {f"ratio_{NAMES[m.axis].replace(' ', '_')}": ratio(m) for m in moves}
    wrong = [fault for moved in moves if (fault := fault_of(moved))]
    if wrong:
        remedy = "do not run the service: frame, sign or unit of our twists is not this arm's; write to the authors with --json"
        return POSE.failed("; ".join(wrong), remedy, **figures)
    text = f"tool pose within {1e3 * worst:.1f} mm and {math.degrees(turn):.2f}° of ours at {len(gaps)} poses"
    if any(g.wide for g in gaps):
        remedy = "the tool configuration, or the convention of its angles, is another: docs/robot-setup.md"
        return POSE.failed(text, remedy, **figures)
    doubtful = [f"{NAMES[m.axis]} {ratio(m):.2f} times as far" for m in moves if abs(ratio(m) - 1) > ASTRAY]
    if doubtful or len(moves) < 6:
        text += f"; {len(moves)} of 6 motions were made" + (f", {', '.join(doubtful)} as commanded" if doubtful else "")
        remedy = "look for what slows the arm (zones, joint limits) or this machine (`vla-ros doctor`); then again"
        return POSE.unsure(text, remedy, **figures)
    return POSE.passed(f"{text}; all six motions as commanded", **figures)


def ratio(moved: Moved) -> float:
    """Of the commanded component: what was moved over what was to be moved."""
    return float(moved.got[moved.axis]) / moved.wanted


def fault_of(moved: Moved) -> str:
    """What of a motion cannot be as commanded, in words: unit, frame, sign, tool point; empty where it can be."""
    share, name = ratio(moved), NAMES[moved.axis]
    if runaway(moved):
        return f"{name}: {share:.1f} times as far as commanded: another unit?"
    same = moved.got[:3] if moved.axis < 3 else moved.got[3:]
    way = float(np.linalg.norm(same))
    if way < LEAST * abs(moved.wanted):
        return f"{name}: {way / abs(moved.wanted):.2f} times as far as commanded: degrees for radians, or held?"
    if float(np.linalg.norm(np.delete(same, moved.axis % 3))) > ASTRAY * way:
        return f"{name}: went along another axis ({np.round(same / moved.wanted, 2).tolist()} of what was commanded): another frame?"
    if share < 0:
        return f"{name}: went the other way ({share:.2f}): another sign?"
    if moved.axis >= 3 and float(np.linalg.norm(moved.got[:3])) > WANDER:
        return f"{name}: the tool point wandered by {1e3 * np.linalg.norm(moved.got[:3]):.1f} mm: another tool point in the arm?"
    return ""
