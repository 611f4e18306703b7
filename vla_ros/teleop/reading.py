"""What a teleop device yields, and what every device can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vla_ros.geometry import Array

AXES = 6
NO_AXES: Array = np.zeros(AXES)

EVENTS = ("toggle", "success", "failure", "discard", "rerecord", "save", "next")
"""Buttons that speak to the recorder; `toggle` starts and stops."""
BUTTONS = ("frame", "faster", "slower", *EVENTS)
"""Every button by its meaning: a device maps its own to these."""


class TeleopError(Exception):
    """A teleop device cannot be opened, or is gone. The text says which, and what to do."""


@dataclass(frozen=True)
class Reading:
    """The device as it was at `stamp` (ns, CLOCK_MONOTONIC), which is the last moment at which it was known to be alive.

    axes (6,) in -1 … 1: along x, y, z and about x, y, z of the frame in use (base: x forward, y left, z up). `clutch`: the dead man's
    switch is held. `gripper` in -1 … 1: opening … closing speed. `buttons`: those of BUTTONS that are down.
    """

    stamp: int
    axes: Array
    clutch: bool
    gripper: float = 0.0
    buttons: frozenset[str] = frozenset()


class Device(Protocol):
    """A device that has been opened."""

    def read(self, now: int) -> Reading | None:
        """The newest reading, without waiting; None before the first. Raises TeleopError where the device is gone."""

    def close(self) -> None:
        """Let go of it; a terminal is then as it was. May be called again."""
