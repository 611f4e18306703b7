"""`force`: a person presses on the gripper from above; the arm is to feel a force that points down."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vla_ros.commands.robot.cell import Cell
from vla_ros.commands.robot.verdict import Judge, Verdict
from vla_ros.geometry import Array

if TYPE_CHECKING:
    from vla_ros.arms.kortex_operator import Operator

FORCE = Judge("force")
BEFORE, PRESSED, APART = 1.0, 6.0, 0.02
FELT = 5.0
"""N that a hand presses at least."""
ALONG = 0.8
"""Share of the force that points along one axis when the direction is clear."""


def force(cell: Cell) -> Verdict:
    """Feel without a hand, then while one presses. The arm does not move by itself."""
    with cell.onlooker() as operator:
        before = feel(operator, BEFORE)
        cell.say(f"press down on the gripper from above now, by about 1 to 2 kg, for {PRESSED:g} s")
        pressed = feel(operator, PRESSED)
    return judge_force(before, pressed)


def feel(operator: Operator, seconds: float) -> list[Array]:
    """Forces (3,) N for that long."""
    end, felt = time.monotonic() + seconds, []
    while time.monotonic() < end:
        felt.append(operator.feedback().force)
        time.sleep(APART)
    return felt


def judge_force(before: Sequence[Array], pressed: Sequence[Array]) -> Verdict:
    """The largest force against what was felt before: down in the base frame."""
    if not before or not pressed:
        return FORCE.unsure("no feedback came", "`vla-ros doctor` for the way to the arm; then again")
    changes = np.array(pressed) - np.mean(before, axis=0)
    largest = changes[int(np.argmax(np.linalg.norm(changes, axis=1)))]
    size = float(np.linalg.norm(largest))
    figures = dict(zip(("x_n", "y_n", "z_n"), map(float, largest), strict=True))
    text = (
        f"felt {size:.1f} N along {direction(largest)} ({', '.join(f'{v:+.1f}' for v in largest)} N in the base frame)"
    )
    if size < FELT:
        return FORCE.unsure(f"{text}: too little to tell", "press harder; then again", **figures)
    if largest[2] < -ALONG * size:
        return FORCE.passed(text, **figures)
    if largest[2] > ALONG * size:
        remedy = (
            "the sign of the force is not this arm's: force_retreat would push on; write to the authors with --json"
        )
        return FORCE.failed(f"{text}, against the hand", remedy, **figures)
    return FORCE.unsure(
        f"{text}: not clearly down", "press straight down; if it stays, the force's frame is another: FAIL", **figures
    )


def direction(vector: Array) -> str:
    """The axis that it is most along, with its sign."""
    axis = int(np.argmax(np.abs(vector)))
    return f"{'-' if vector[axis] < 0 else '+'}{'xyz'[axis]}"
