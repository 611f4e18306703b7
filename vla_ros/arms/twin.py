"""The twin's arm: in this process (offline rollouts), or in the twin's process through shared blocks."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from vla_ros.arms.arm import ArmError
from vla_ros.clock import SECOND
from vla_ros.geometry import Array
from vla_ros.shared import Block, BlockError
from vla_ros.twin import blocks
from vla_ros.values import ArmState


class Simulation(Protocol):
    """What is needed of vla_ros.twin.physics.Twin, so that this file does without MuJoCo."""

    def state(self) -> ArmState:
        """The arm now."""

    def command(self, now: int, twist: Array, gripper: float) -> None:
        """Move."""

    def stop(self, now: int) -> None:
        """Come to rest."""


class LocalTwinArm:
    """An arm whose physics the caller advances. Its feedback comes `delay` s late and is stamped when it comes."""

    def __init__(self, twin: Simulation, delay: float = 0.0) -> None:
        self._twin, self._delay = twin, round(delay * SECOND)
        self._late: deque[ArmState] = deque()
        self._arrived: ArmState | None = None

    @property
    def trouble(self) -> str:
        """Nothing is between this and the arm."""
        return ""

    def open(self) -> None:
        """Nothing to open."""

    def read(self, now: int) -> ArmState | None:
        """The state now; with a delay, the one that has arrived last of those that were read before, None before the first."""
        state = self._twin.state()
        if not self._delay:
            return state
        self._late.append(replace(state, stamp=state.stamp + self._delay))
        while self._late and self._late[0].stamp <= now:
            self._arrived = self._late.popleft()
        return self._arrived

    def send(self, now: int, twist: Array, gripper: float) -> None:
        """Move with a tool twist (6,) and gripper position."""
        self._twin.command(now, twist, gripper)

    def stop(self, now: int) -> None:
        """Come to rest."""
        self._twin.stop(now)

    def close(self) -> None:
        """Nothing to close."""


class TwinArm:
    """The arm of the twin's process. `session` names the caller: each stops through a block of its own."""

    def __init__(self, runtime: Path, session: str = "servo") -> None:
        self._runtime, self._session = runtime, session
        self._feedback: Block | None = None
        self._command: Block | None = None
        self._stop: Block | None = None
        self._stops = 0

    @property
    def trouble(self) -> str:
        """Why `stop` would not reach the arm now; empty: it would."""
        return "" if self._stop is not None else "not open"

    def open(self) -> None:
        """Attach to the twin's feedback. Raises ArmError when the twin does not run."""
        self._stop = Block.create(self._runtime / f"arm_stop_{self._session}", blocks.STOP)
        if not self._attach():
            raise ArmError(f"the twin does not run in {self._runtime}: start it with `vla-ros sim` or `twin_node`")

    def read(self, now: int) -> ArmState | None:
        """The newest feedback; None before the first and after the twin has left."""
        if self._feedback is None and not self._attach():
            return None
        value = self._feedback.read() if self._feedback else None
        if self._feedback and (value is None or now - int(value[1]["stamp"]) > _SILENCE) and self._feedback.replaced():
            self._feedback.close()
            self._feedback = None
        return blocks.unpack_feedback(value[1]) if value else None

    def send(self, now: int, twist: Array, gripper: float) -> None:
        """Move with a tool twist (6,) and gripper position; from then on this session moves it."""
        if self._command is None:
            self._command = Block.create(self._runtime / "arm_command", blocks.COMMAND)
        self._command.write(blocks.record(blocks.COMMAND, stamp=now, twist=twist, gripper=gripper))

    def stop(self, now: int) -> None:
        """Come to rest. Raises ArmError before `open`."""
        if self._stop is None:
            raise ArmError("the twin's arm is not open: call open() first")
        self._stops += 1
        self._stop.write(blocks.record(blocks.STOP, stamp=now, counter=self._stops))

    def close(self) -> None:
        """Let go of the blocks; those written here disappear."""
        for block, mine in ((self._feedback, False), (self._command, True), (self._stop, True)):
            if block is not None:
                block.close(unlink=mine)
        self._feedback = self._command = self._stop = None

    def _attach(self) -> bool:
        try:
            self._feedback = Block.attach(self._runtime / "arm_feedback", blocks.FEEDBACK)
        except BlockError:
            return False
        return True


_SILENCE = 50_000_000
"""ns without new feedback after which to look whether the twin was started anew."""
