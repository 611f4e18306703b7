"""`dead-man` and `watchdog`: does the arm come to rest when who moves it falls silent, and when somebody else says Stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vla_ros.clock import SECOND
from vla_ros.commands.robot.cell import SPEED, Cell, along, require_room
from vla_ros.commands.robot.verdict import Judge, Verdict
from vla_ros.values import ArmState

if TYPE_CHECKING:
    from vla_ros.arms.kortex_operator import Operator

DEAD_MAN, WATCHDOG = Judge("dead-man"), Judge("watchdog")
UP = along(2, SPEED)
MOVING = 0.5
"""s of motion before the silence."""
PATIENCE = 3.0
REST = 0.002
"""m/s below which the tool stands."""
REACTION = 0.20
"""s that the arm may take beside its time-out: 25 ms steps, braking, and its lag of 50 to 80 ms."""


def dead_man(cell: Cell) -> Verdict:
    """Move upward at 2 cm/s, then say nothing more with the session open: the arm is to end the motion by deadlines.connection."""
    with cell.arm() as operator:
        require_room(cell.config, operator.feedback(), UP, MOVING + PATIENCE)
        cell.say(f"moving up at {100 * SPEED:g} cm/s, then silence")
        rested, states = operator.dead_man(UP, MOVING, PATIENCE)
    return judge_dead_man(rested, states, cell.config.deadlines.connection)


def judge_dead_man(rested: float | None, states: Sequence[ArmState], deadline: float) -> Verdict:
    """`rested`: s from the last word until the tool stood, None if it went on. It must not be before half the deadline either:

    that would be something else than the time-out, and a service would stutter.
    """
    way = rise(states)
    if way < 0.25 * SPEED * MOVING:
        return DEAD_MAN.unsure(
            f"the tool hardly moved ({1e3 * way:.1f} mm)", "`vla-ros robot describe` for faults; then again", rise_m=way
        )
    if rested is None:
        return DEAD_MAN.failed(
            f"the arm went on for {PATIENCE:g} s after the last word, until it was stopped",
            "this firmware does not heed connection_inactivity_timeout: do not run the service unattended, and write to Kinova",
            rise_m=way,
        )
    figures = {"rest_s": rested, "deadline_s": deadline, "rise_m": way}
    text = f"at rest {rested:.2f} s after the last word (deadlines.connection {deadline:g} s), {1e3 * way:.0f} mm risen"
    if rested > deadline + REACTION:
        return DEAD_MAN.failed(
            text, "the arm heeds silence too late: look for another client that keeps the session alive", **figures
        )
    if rested < 0.5 * deadline:
        return DEAD_MAN.unsure(
            text, "it stopped sooner than its time-out: look for faults and other clients, then again", **figures
        )
    return DEAD_MAN.passed(text, **figures)


def rise(states: Sequence[ArmState]) -> float:
    """m between the lowest and the highest of the tool's places."""
    heights = [float(s.tool.position[2]) for s in states]
    return max(heights) - min(heights) if heights else 0.0


@dataclass(frozen=True)
class Stopped:
    """A motion that a second session stopped: when it said Stop (ns), all states, and s from the last word to rest."""

    said: int
    states: Sequence[ArmState]
    rested: float | None


def watchdog(cell: Cell) -> Verdict:
    """As dead-man, but a second session says Stop soon after the last word, as the watchdog process does: long before the time-out."""
    with cell.arm() as operator, cell.onlooker() as second:
        require_room(cell.config, operator.feedback(), UP, MOVING + PATIENCE)
        cell.say(f"moving up at {100 * SPEED:g} cm/s, then silence, and Stop from a second session")
        seen: dict[str, int] = {}
        thread = threading.Thread(
            target=_stop_when_silent, args=(second, cell.config.deadlines.servo_silent, seen), daemon=True
        )
        thread.start()
        rested, states = operator.dead_man(UP, MOVING, PATIENCE)
        thread.join(PATIENCE)
    return judge_watchdog(Stopped(seen.get("said", 0), states, rested), cell.config.deadlines.connection)


def _stop_when_silent(second: Operator, silent: float, seen: dict[str, int]) -> None:
    """Wait until the arm moves, then for the end of the words and the watchdog's deadline; say Stop."""
    begin = second.feedback().tool.position
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if np.linalg.norm(second.feedback().tool.position - begin) > REST:
            time.sleep(MOVING + silent)
            second.stop()
            seen["said"] = time.monotonic_ns()
            return
        time.sleep(0.01)


def judge_watchdog(facts: Stopped, deadline: float) -> Verdict:
    """The tool moved when Stop was said, and stood within REACTION of it and before the arm's own time-out would have ended it."""
    if not facts.said or not facts.states:
        return WATCHDOG.unsure(
            "Stop was never said: the tool did not move", "`vla-ros robot describe` for faults; then again"
        )
    still = stood(facts.states, facts.said)
    if still is None:
        return WATCHDOG.failed(
            "the arm went on after Stop from a second session",
            "do not run the service: its watchdog would not stop the arm",
        )
    figures = {"stop_s": still} | ({} if facts.rested is None else {"rest_s": facts.rested})
    text = f"at rest {still:.2f} s after Stop from a second session"
    if not moved_at(facts.states, facts.said):
        return WATCHDOG.unsure(
            f"{text}, but the tool was at rest when it was said", "run dead-man first, then again", **figures
        )
    if still > REACTION or (facts.rested is not None and facts.rested > 0.8 * deadline):
        return WATCHDOG.failed(
            f"{text}, no sooner than by its own time-out",
            "the arm does not heed Stop from a second session: do not run the service; look at the log of its Web App",
            **figures,
        )
    return WATCHDOG.passed(text, **figures)


def stood(states: Sequence[ArmState], since: int) -> float | None:
    """s after `since` (ns) at which the tool was where it stayed, within REST × 0.1 s; None if it moved until the end."""
    if not states:
        return None
    last = states[-1].tool.position
    away = [s.stamp for s in states if np.linalg.norm(s.tool.position - last) > 0.1 * REST]
    moment = max(away, default=since)
    if states[-1].stamp - moment < SECOND // 10:
        return None
    return max(0.0, (moment - since) / SECOND)


def moved_at(states: Sequence[ArmState], moment: int) -> bool:
    """Whether the tool moved by more than REST × 0.1 s in the 0.1 s before `moment` (ns)."""
    near = [s.tool.position for s in states if moment - SECOND // 10 <= s.stamp <= moment]
    return len(near) > 1 and float(np.linalg.norm(near[-1] - near[0])) > 0.1 * REST
