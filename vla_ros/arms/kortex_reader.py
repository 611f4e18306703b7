"""The thread that asks the arm for its state over UDP, and keeps the newest answer."""

from __future__ import annotations

import math
import threading
from typing import Any

from vla_ros.arms import kortex_faults, kortex_units
from vla_ros.arms.kortex_link import Answer, Link, Outcome
from vla_ros.arms.kortex_sdk import Sdk
from vla_ros.clock import SECOND, Clock
from vla_ros.config import Config
from vla_ros.values import ArmState

SILENT = 3
"""Requests without an answer in a row that are reported."""
LOST = SECOND
"""ns without an answer after which the connection counts as lost."""


class Reader:
    """Requests on an absolute schedule; one that gets no answer within arm.call_timeout is given up, and its late answer dropped."""

    def __init__(self, sdk: Sdk, config: Config, clock: Clock) -> None:
        self._sdk, self._clock, self._timeout = sdk, clock, config.arm.call_timeout
        self._period = round(SECOND / config.arm.feedback_rate)
        self._link: Link | None = None
        self._ending = False
        self.state: ArmState | None = None
        """The newest state, with the arm's own fault; stamped in the middle between request and answer."""
        self.complaint = ""
        """What is wrong with the feedback itself; empty: nothing."""
        self.arrived = threading.Event()
        """Set with the first state."""
        self.missed = 0
        """Requests that got no answer."""
        self._running: threading.Thread | None = None

    def attach(self, link: Link) -> None:
        """Ask over this session from now on."""
        self._link, self.complaint = link, ""
        if self._running is None:
            self._running = threading.Thread(target=self._run, name="kortex feedback", daemon=True)
            self._running.start()

    def detach(self) -> None:
        """Ask nothing until there is another session."""
        self._link = None

    def gripper(self) -> float:
        """The fingers' newest position; NaN where none has come for long."""
        state = self.state
        fresh = state is not None and self._clock.now() - state.stamp < LOST
        return state.gripper if state is not None and fresh else math.nan

    def close(self) -> None:
        """End the thread, within two requests."""
        self._ending = True
        if self._running is not None:
            self._running.join(2 * self._timeout + 1.0)

    def _run(self) -> None:
        due, silent, heard = self._clock.now(), 0, self._clock.now()
        while not self._ending:
            due = max(due + self._period, self._clock.now() - self._period)
            self._clock.sleep_until(due)
            link, asked = self._link, self._clock.now()
            if link is None:
                silent, heard = 0, asked
                continue
            answer = link.call(link.cyclic.RefreshFeedback, timeout=self._timeout)
            now = self._clock.now()
            if answer.ok:
                silent, heard = 0, now
                self._take(answer.value, (asked + now) // 2)
            else:
                silent += 1
                self._miss(link, answer, silent, now - heard)

    def _take(self, feedback: Any, stamp: int) -> None:
        try:
            self.state = kortex_units.arm_state(feedback, stamp, kortex_faults.fault(feedback, self._sdk))
            self.complaint = ""
            self.arrived.set()
        except ValueError as error:
            self.complaint = str(error)

    def _miss(self, link: Link, answer: Answer, silent: int, silence: int) -> None:
        self.missed += 1
        if silent >= SILENT:
            self.complaint = f"no feedback from the arm: {answer.text}"
        if answer.outcome is Outcome.REFUSED or silence > LOST:
            link.give_up(f"no feedback: {answer.text}")
