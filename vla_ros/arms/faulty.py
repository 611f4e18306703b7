"""Faults around any arm: on what it reports and on what it is told, when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from vla_ros.arms.arm import Arm
from vla_ros.faults import Fault, FaultyStream
from vla_ros.geometry import Array
from vla_ros.values import JOINTS, ArmState

Twist = tuple[Array, float]
"""A tool twist (6,) and a gripper position."""
_NOWHERE: Array = np.full(JOINTS, np.nan)
_NO_TWIST: Array = np.full(6, np.nan)


class FaultyArm:
    """An arm with faults played around it, on `feedback` (what `read` gives) and on `command` (what `send` passes on).

    CORRUPT feedback has NaN joints, a CORRUPT command a NaN twist; FREEZE repeats the former state under new stamps, or the former
    command. Commands that are late go out in the `read` or `send` at which they are due. `stop` is never touched; what was on its
    way before it is forgotten, as on one session a Stop follows the commands before it.
    """

    def __init__(self, arm: Arm, feedback: Iterable[Fault] = (), command: Iterable[Fault] = (), seed: int = 0) -> None:
        self._arm = arm
        self._states: FaultyStream[ArmState] = FaultyStream(feedback, _lost, _restamped, seed)
        self._commands: FaultyStream[Twist] = FaultyStream(command, _broken, None, seed + 1)
        self._stamp: int | None = None

    @property
    def trouble(self) -> str:
        """That of the arm: a Stop is never touched."""
        return self._arm.trouble

    def open(self) -> None:
        """Connect. Raises ArmError."""
        self._arm.open()

    def read(self, now: int) -> ArmState | None:
        """The newest state that has arrived; None when there was none yet. Sends what is due: raises ArmError then."""
        self._flush(now)
        state = self._arm.read(now)
        if state is not None and state.stamp != self._stamp:
            self._stamp = state.stamp
            self._states.put(now, state.stamp, state)
        arrived = self._states.newest(now)
        return None if arrived is None else arrived[1]

    def send(self, now: int, twist: Array, gripper: float) -> None:
        """Move with a tool twist (6,) m/s and rad/s in the base frame, gripper 0 open … 1 closed. Raises ArmError."""
        self._commands.put(now, now, (twist, gripper))
        self._flush(now)

    def stop(self, now: int) -> None:
        """Come to rest at once. Raises ArmError."""
        self._commands.clear()
        self._arm.stop(now)

    def close(self) -> None:
        """Disconnect; the arm is not moved by it."""
        self._arm.close()

    def play(self, target: str, fault: Fault) -> None:
        """Add a fault on `feedback` or `command`, also written arm.feedback and arm.command. Raises ValueError for another."""
        streams = {"feedback": self._states.play, "command": self._commands.play}
        name = target.removeprefix("arm.")
        if name not in streams:
            raise ValueError(f"{target!r} is no target of faults on an arm: choose feedback or command")
        streams[name](fault)

    def _flush(self, now: int) -> None:
        for _, (twist, gripper) in self._commands.take(now):
            self._arm.send(now, twist, gripper)


def _lost(state: ArmState, random: np.random.Generator) -> ArmState:
    return replace(state, joints=_NOWHERE.copy())


def _restamped(old: ArmState, new: ArmState) -> ArmState:
    return replace(old, stamp=new.stamp)


def _broken(command: Twist, random: np.random.Generator) -> Twist:
    return _NO_TWIST.copy(), command[1]
