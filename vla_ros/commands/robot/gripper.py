"""`gripper`: opens and closes, how fast; whether streamed twists cancel it, and repeating cures that; whether an object shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_ros.arms.arm import ArmError
from vla_ros.clock import SECOND
from vla_ros.commands.robot.cell import SPEED, Cell, along, move
from vla_ros.commands.robot.verdict import Judge, Verdict

if TYPE_CHECKING:
    from vla_ros.arms.kortex_operator import Operator

GRIPPER = Judge("gripper")
OPEN, CLOSED = 0.05, 0.95
"""Positions: below the first it is open, above the second closed on nothing (a 2F-85 settles at 0.99 on air, 0.83 on an object)."""
SLOW = 4.0
"""s that the whole stroke may take."""
SLOWLY, STREAM, LEAD, APART = SPEED / 2, 8.0, 0.2, 0.1
"""m/s of the streamed twists, and for how many s; s from their begin to the gripper's command, and between its repeats.

Where every twist cancels it, a command that is repeated ten times a second moves the gripper by a quarter of the time.
"""


@dataclass(frozen=True)
class Seen:
    """Where the gripper came to stand and after how many s: opened, closed on nothing; closed while twists are streamed, sent once and

    repeated; closed on an object (None: not tried).
    """

    opened: tuple[float, float]
    closed: tuple[float, float]
    once: float
    repeated: float
    held: float | None = None


def gripper(cell: Cell) -> Verdict:
    """Open, close; close again in a stream of slow twists, once and with repeats; then on an object, where there is one."""
    with cell.arm() as operator:
        cell.say("opening and closing on nothing")
        operator.gripper(0.0)
        closed = timed(lambda: operator.gripper(1.0))
        opened = timed(lambda: operator.gripper(0.0))
        once = streamed(cell, operator, repeat=False)
        operator.gripper(0.0)
        repeated = streamed(cell, operator, repeat=True)
        operator.gripper(0.0)
    return judge_gripper(Seen(opened, closed, once, repeated, grasp(cell)))


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """What it gives, and the s it took."""
    began = time.monotonic()
    return work(), time.monotonic() - began


def streamed(cell: Cell, operator: Operator, repeat: bool) -> float:
    """Close while the tool moves slowly up and down: where the gripper stands by the end of the stream."""
    cell.say(
        f"closing {'with repeats' if repeat else 'once'} while the tool moves by {100 * SLOWLY * STREAM / 2:g} cm, and back"
    )
    ended, troubles = threading.Event(), list[ArmError]()
    fingers = threading.Thread(target=_close, args=(operator, repeat, ended, troubles), daemon=True)
    fingers.start()
    try:
        move(cell, operator, along(2, SLOWLY), STREAM / 2)
        states = move(cell, operator, along(2, -SLOWLY), STREAM / 2)
    finally:
        ended.set()
        fingers.join(5.0)
    if troubles:
        raise troubles[0]
    end = states[0].stamp + STREAM / 2 * SECOND  # afterwards the tool rests, and nothing cancels
    return [s.gripper for s in states if s.stamp <= end][-1]


def _close(operator: Operator, repeat: bool, ended: threading.Event, troubles: list[ArmError]) -> None:
    """Send the command in the midst of the stream, again and again if `repeat`."""
    ended.wait(LEAD)
    try:
        operator.gripper(1.0, timeout=0.0)
        while repeat and not ended.wait(APART):
            operator.gripper(1.0, timeout=0.0)
    except ArmError as error:
        troubles.append(error)


def grasp(cell: Cell) -> float | None:
    """Close on the object that a person holds between the fingers, and open; None where there is none."""
    if not cell.held or not cell.ask("an object of 2 to 6 cm between the fingers, hands away?"):
        return None
    with cell.arm() as operator:
        held = operator.gripper(1.0)
        operator.gripper(0.0)
    return held


def judge_gripper(seen: Seen) -> Verdict:
    """The stroke is whole and quick; where streamed twists cancel it, repeating brings it home."""
    figures = {
        "open": seen.opened[0], "closed": seen.closed[0], "opening_s": seen.opened[1], "closing_s": seen.closed[1],
        "once_in_stream": seen.once, "repeated_in_stream": seen.repeated,
    } | ({} if seen.held is None else {"held": seen.held})  # fmt: skip
    problems = list(faults(seen))
    cancelled = seen.once < CLOSED
    quirk = "streamed twists cancel it, and repeating cures that" if cancelled else "streamed twists do not cancel it"
    text = f"opens to {seen.opened[0]:.2f}, closes to {seen.closed[0]:.2f} in {seen.closed[1]:.1f} s; {quirk}"
    if seen.held is not None:
        text += f"; stands at {seen.held:.2f} on the object"
    if problems:
        return GRIPPER.failed(
            "; ".join(problems), "look at its light and cable; `vla-ros robot describe` for faults", **figures
        )
    return GRIPPER.passed(text, **figures)


def faults(seen: Seen) -> Sequence[str]:
    """What is wrong, in words."""
    found = []
    if seen.opened[0] > OPEN or seen.closed[0] < CLOSED:
        found.append(f"the stroke goes from {seen.opened[0]:.2f} to {seen.closed[0]:.2f} only")
    if max(seen.opened[1], seen.closed[1]) > SLOW:
        found.append(f"a stroke takes {max(seen.opened[1], seen.closed[1]):.1f} s")
    if seen.repeated < CLOSED:
        found.append(f"in a stream of twists it stays at {seen.repeated:.2f}, also when the command is repeated")
    if seen.held is not None and not OPEN < seen.held < CLOSED:
        found.append(f"an object between the fingers does not show: it stands at {seen.held:.2f}")
    return found
