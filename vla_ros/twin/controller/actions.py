"""Actions that were begun and are not over."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from vla_ros.clock import MILLISECOND
from vla_ros.twin.controller.measured import Measured

GRIP_LEAST = 300 * MILLISECOND
"""Time after which fingers that do not move count as arrived."""
GRIP_STILL = 0.02
"""Speed of the fingers below which they are still, 1/s."""


@dataclass(frozen=True)
class Running:
    """An action under way: its own handle, the session that began it, when; `grips` where it moves the fingers alone."""

    number: int
    handle: Any
    session: int
    began: int
    grips: bool = False


class Actions:
    """Those under way, by the number that motion knows them by."""

    def __init__(self) -> None:
        self._running: dict[int, Running] = {}
        self._numbers = itertools.count(1)

    def begin(self, handle: Any, session: int, now: int, grips: bool = False) -> Running:
        """A new one."""
        running = Running(next(self._numbers), handle, session, now, grips)
        self._running[running.number] = running
        return running

    def end(self, number: int) -> Running | None:
        """The action of this number, which is over; None where there is none."""
        return self._running.pop(number, None)

    @property
    def moving(self) -> bool:
        """Whether one of them moves the arm."""
        return any(not running.grips for running in self._running.values())

    def finished(self, now: int, measured: Measured | None) -> list[Running]:
        """The gripper's actions whose fingers have come to rest; they are over."""
        still = measured is not None and abs(measured.gripper_speed) < GRIP_STILL
        done = [r for r in self._running.values() if r.grips and still and now - r.began > GRIP_LEAST]
        for running in done:
            del self._running[running.number]
        return done
