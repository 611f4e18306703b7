"""What the servo asks of an arm. Times are CLOCK_MONOTONIC ns of the caller's loop; nothing here blocks."""

from __future__ import annotations

from typing import Protocol

from vla_ros.geometry import Array
from vla_ros.values import ArmState


class ArmError(Exception):
    """The arm cannot be reached or refuses. The text says what is wrong and what to do."""


class Arm(Protocol):
    """An arm with a gripper. One object is one session with it, used from one thread."""

    @property
    def trouble(self) -> str:
        """Why `stop` would not reach the arm now; empty: it would."""

    def open(self) -> None:
        """Connect. Raises ArmError."""

    def read(self, now: int) -> ArmState | None:
        """The newest state; None when there was none yet. Its stamp may be old: the caller judges."""

    def send(self, now: int, twist: Array, gripper: float) -> None:
        """Move with a tool twist (6,) m/s and rad/s in the base frame, gripper 0 open … 1 closed.

        Raises ArmError.
        """

    def stop(self, now: int) -> None:
        """Come to rest at once. Raises ArmError."""

    def close(self) -> None:
        """Disconnect; the arm is not moved by it."""
