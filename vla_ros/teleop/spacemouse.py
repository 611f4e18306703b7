"""A SpaceMouse, by the package pyspacemouse. Its cap is the clutch: held while out of its middle. Left button closes, right opens."""

from __future__ import annotations

import contextlib
import importlib
import io
from typing import Any

import numpy as np

from vla_ros.teleop.reading import Reading, TeleopError

TOUCHED = 0.1
"""Deflection beyond which the cap is held: springs do not come back to zero."""
REPORTS = 32
"""Reports taken at a time: the device sends up to 125 a second, way and turn in one each."""
RIGHTS = (
    "give this user the right to read it by a udev rule for hidraw (docs/recording.md), and install libhidapi-hidraw0"
)


class SpaceMouse:
    """The first SpaceMouse of this machine. Raises TeleopError where there is none."""

    def __init__(self) -> None:
        try:
            library = importlib.import_module("pyspacemouse")
        except ImportError as error:
            raise TeleopError(f"pyspacemouse cannot be imported ({error}): pip install 'vla_ros[teleop]'") from None
        except Exception as error:  # its own kind, where the system's hidapi is missing
            raise TeleopError(f"pyspacemouse cannot be used ({error}): apt install libhidapi-hidraw0") from None
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what it found
                self._device: Any = library.open(axis_convention=library.AxisConvention.ROS)
        except Exception as error:  # RuntimeError of its own, and those of hidapi
            raise TeleopError(f"no SpaceMouse: {error}; plug one in, and {RIGHTS}") from None

    def read(self, now: int) -> Reading | None:
        """All that has come, as one reading."""
        try:
            state = self._drained()
        except Exception as error:  # hidapi's own, when it is unplugged
            raise TeleopError(f"the SpaceMouse is gone ({error}): plug it in and start again") from None
        axes = [state.x, state.y, state.z, state.roll, state.pitch, state.yaw]
        return reading(axes, list(state.buttons), now)

    def close(self) -> None:
        """Let go of it."""
        self._device.close()

    def _drained(self) -> Any:
        state = self._device.read()
        for _ in range(REPORTS):
            before = state.t
            state = self._device.read()
            if state.t == before:
                break
        return state


def reading(deflections: list[float], buttons: list[int], stamp: int) -> Reading:
    """What six deflections in -1 … 1 (x forward, y left, z up, and the turns about them: REP 103) and the buttons ask for."""
    axes = np.clip(np.array(deflections, np.float64), -1.0, 1.0)
    close, open_ = (bool(buttons[i]) if i < len(buttons) else False for i in (0, 1))
    clutch = bool((np.abs(axes) > TOUCHED).any()) or close or open_
    return Reading(stamp, axes, clutch, float(close) - float(open_))
