"""Which of the servo's commands go out: an arm in high-level servoing takes up 40 a second, the loop inside turns faster."""

from __future__ import annotations

from typing import Protocol

from vla_ros.clock import SECOND
from vla_ros.config.schema import Config
from vla_ros.geometry import Array
from vla_ros.values import Command, Mode, Verdict

DEAF = frozenset({Verdict.STOP_ASTRAY, Verdict.STOP_TRESPASS})
"""Stops of an arm that does not heed commands: no ramp leads it to rest."""


class Hand(Protocol):
    """What of an arm (`vla_ros.arms.arm.Arm`) is needed to move it."""

    def send(self, now: int, twist: Array, gripper: float) -> None:
        """Move with a tool twist (6,) and gripper position."""

    def stop(self, now: int) -> None:
        """Come to rest at once."""


class Outlet:
    """A grid of `rate` moments a second in the servo's cycles of `period` ns; what is urgent goes out between them."""

    def __init__(self, rate: float, period: int) -> None:
        self._interval, self._slack = round(SECOND / rate), period // 2
        self._next = 0

    def due(self, now: int, urgent: bool = False) -> bool:
        """Whether the command of the cycle at `now` (ns) goes out; `urgent` makes it so, and does not move the grid."""
        if now + self._slack < self._next:
            return urgent
        steps = max(1, (now + self._slack - self._next) // self._interval + 1) if self._next else 0
        self._next = self._next + steps * self._interval if self._next else now + self._interval
        return True


class Wire:
    """From the servo to its arm: at the rate that the arm takes up, a change of mode or rest at once.

    A Stop is led by the governor's ramp, and the arm's own Stop seals it at rest; nothing follows it. An arm that does not heed
    commands gets its own Stop at once. Disarmed and at rest nothing is sent after the zero that ends the motion: the connection's
    silence is then the arm's own guard.
    """

    def __init__(self, config: Config, arm: Hand) -> None:
        self._arm, self._outlet = arm, Outlet(config.arm.command_rate, round(SECOND / config.servo.rate))
        self._sending = self._halted = False
        self._told = (Mode.DISARMED, False)

    def act(self, now: int, command: Command) -> None:
        """Send what is to be sent of this cycle's command. Raises what the arm raises."""
        moving, armed = bool(command.twist.any()), command.mode is not Mode.DISARMED
        changed, self._told = (command.mode, moving) != self._told, (command.mode, moving)
        if command.mode is Mode.STOPPED and (not moving or command.verdict in DEAF):
            if not self._halted:
                self._arm.stop(now)
            self._halted, self._sending = True, False
            return
        if (moving or armed or self._sending) and self._outlet.due(now, urgent=changed):
            self._arm.send(now, command.twist, command.gripper)
        self._halted, self._sending = False, moving or armed
