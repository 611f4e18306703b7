"""What the gripper holds, seen by where its fingers come to stand: a 2F-85 that closes on an object stops short of its target.

Fully closed on nothing it settles at 0.991, on an object below that (0.833 on the one that was measured; both by users of the 2F-85).
Motor current tells nothing (it falls back to 0.05 A), and the arm does not report the gripper's force.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vla_ros.clock import MILLISECOND

SHORT = 0.05
"""Distance by which fingers that stand short of their target hold something: closed on air they are 0.009 short."""
CLOSED = 0.9
"""Fingers that stand where they were told to, beyond this, have closed."""
STEP = 0.01
"""Change of position that counts as motion."""
STANDING = 300 * MILLISECOND
"""Without such a change for so long, the fingers stand: repeated against motion that cancels it, a close goes on in steps."""


class Grasp(Enum):
    """State of the gripper. The value is the text that people read."""

    MOVING = "moving"
    OPEN = "open"
    CLOSED = "closed on nothing"
    HOLDING = "holding"


@dataclass(frozen=True)
class Fingers:
    """What is known of the fingers: their target, where and since when (ns) they stand, and what that means."""

    target: float = 0.0
    place: float = 0.0
    since: int | None = None
    grasp: Grasp = Grasp.MOVING


def seen(fingers: Fingers, now: int, target: float, measured: float) -> Fingers:
    """One look at the gripper: target and measured position 0 open … 1 closed. What is not a number leaves the memory as it is."""
    if not (0.0 <= target <= 1.0 and 0.0 <= measured <= 1.0):
        return fingers
    same = abs(target - fingers.target) < STEP
    if fingers.since is None or not same or abs(measured - fingers.place) >= STEP:
        return Fingers(target, measured, now, Grasp.MOVING)
    if now - fingers.since < STANDING:
        return fingers
    return Fingers(fingers.target, fingers.place, fingers.since, _standing(target, measured))


def _standing(target: float, measured: float) -> Grasp:
    """What fingers that stand mean: short of a target that is farther closed, there is something between them."""
    if target - measured > SHORT:
        return Grasp.HOLDING
    return Grasp.CLOSED if measured > CLOSED else Grasp.OPEN
