"""`limits`: the arm keeps the soft limits that are set in it, as read back and as it moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vla_ros.arms.arm import ArmError
from vla_ros.commands.robot.cell import SPEED, Cell, along, gentle, move, speeds
from vla_ros.commands.robot.verdict import Judge, Verdict
from vla_ros.config import Config

if TYPE_CHECKING:
    from vla_ros.arms.kortex_setup import KinematicLimit

LIMITS = Judge("limits")
SECONDS = 2.0
SLACK = 0.01
"""Share by which a limit that is read back may differ from the one that was set: the arm keeps them as 32-bit floats of degrees."""
TWISTS, JOINTS = "CARTESIAN_JOYSTICK", "ANGULAR_TRAJECTORY"
"""The vendor's names of the control modes in which twists and homing run."""
CLAMPED, FREE = 1.25, 0.8
"""Shares of the lowered limit: slower than the first is clamped; above the second the tool moved at all."""


@dataclass(frozen=True)
class Seen:
    """Limits as the arm tells them, those that were to be set (m/s, rad/s, joints rad/s); the tool's steady speed, and its limit."""

    told: Sequence[KinematicLimit]
    wanted: tuple[float, float, float]
    speed: float
    lowered: float


def limits(cell: Cell) -> Verdict:
    """Read the limits back; lower that of the tool's speed to half of 2 cm/s, ask for 2 cm/s, and measure."""
    config = gentle(cell.config)
    lowered = config.model_copy(update={"arm": config.arm.model_copy(update={"soft_speed": SPEED / 2})})
    told = as_set(cell)
    if unlike(told, of(config)):
        return judge_limits(Seen(told, of(config), 0.0, SPEED / 2))
    cell.say(f"moving up and down at {100 * SPEED:g} cm/s with the arm's own limit at half of that")
    with cell.arm(lowered) as operator:
        states = move(cell, operator, along(2, SPEED), SECONDS)
        move(cell, operator, along(2, -SPEED), SECONDS)
    measured = speeds(states)
    steady = float(np.quantile(measured, 0.9)) if len(measured) else 0.0
    return judge_limits(Seen(told, of(config), steady, SPEED / 2))


def as_set(cell: Cell) -> Sequence[KinematicLimit]:
    """The limits as the arm tells them after they were set; also where the setup did not go on because of them."""
    try:
        with cell.arm() as operator:
            return operator.describe().limits
    except ArmError as error:
        cell.say(str(error))
    with cell.onlooker() as operator:
        return operator.describe().limits


def of(config: Config) -> tuple[float, float, float]:
    """The limits that are set in the arm by this configuration."""
    return config.arm.soft_speed, config.arm.soft_turn_speed, config.arm.soft_joint_speed


def judge_limits(seen: Seen) -> Verdict:
    """The modes in which we move the arm tell what was set, and the tool kept to half of what it was asked for."""
    figures = {"speed_m_s": seen.speed, "lowered_m_s": seen.lowered}
    wrong = sorted(unlike(seen.told, seen.wanted))
    if wrong:
        text = f"read back otherwise than set: {', '.join(wrong)}"
        return LIMITS.failed(
            text, "`vla-ros robot describe`; the firmware's version may not match the SDK's", **figures
        )
    text = f"read back as set; asked for {2e3 * seen.lowered:.0f} mm/s, limited to {1e3 * seen.lowered:.0f}, "
    text += f"moved at {1e3 * seen.speed:.1f} mm/s"
    if seen.speed > CLAMPED * seen.lowered:
        remedy = "the arm's soft limits do not hold back a twist: ours are the only ones; keep limits.speed low"
        return LIMITS.failed(text, remedy, **figures)
    if seen.speed < FREE * seen.lowered:
        remedy = "something else slowed it: `vla-ros robot home`, look for protection zones, then again"
        return LIMITS.unsure(text, remedy, **figures)
    return LIMITS.passed(text, **figures)


def unlike(told: Sequence[KinematicLimit], wanted: tuple[float, float, float]) -> list[str]:
    """What is missing or not as it was set (m/s, rad/s, rad/s of every joint) in the modes of twists and of homing."""
    speed, turn_speed, joint_speed = wanted
    by_mode = {limit.mode: limit for limit in told}
    twist, joint = by_mode.get(TWISTS), by_mode.get(JOINTS)
    found = [name for name, limit in ((TWISTS, twist), (JOINTS, joint)) if limit is None]
    if twist and not (same(twist.speed, speed) and same(twist.turn_speed, turn_speed)):
        found.append(f"{TWISTS} {twist.speed:.3f} m/s, {math.degrees(twist.turn_speed):.1f} °/s")
    if joint and not all(same(told_, joint_speed) for told_ in joint.joint_speeds):
        found.append(f"{JOINTS} {max(map(math.degrees, joint.joint_speeds)):.1f} °/s")
    return found


def same(told: float, wanted: float) -> bool:
    """Whether a limit is what was set, within the arm's precision."""
    return math.isclose(told, wanted, rel_tol=SLACK)
