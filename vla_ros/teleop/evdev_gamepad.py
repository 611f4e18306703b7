"""A gamepad read from the kernel, without ROS's driver: /dev/input/event*, by the package evdev."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from vla_ros.teleop import gamepad
from vla_ros.teleop.gamepad import Pad
from vla_ros.teleop.reading import Reading, TeleopError

EV_KEY, EV_ABS = 0x01, 0x03
KEYS = {
    0x130: gamepad.A, 0x131: gamepad.B, 0x133: gamepad.X, 0x134: gamepad.Y, 0x136: gamepad.LB, 0x137: gamepad.RB,
    0x13A: gamepad.BACK, 0x13B: gamepad.START, 0x13C: gamepad.GUIDE, 0x13D: gamepad.LEFT_STICK, 0x13E: gamepad.RIGHT_STICK,
    0x220: gamepad.UP, 0x221: gamepad.DOWN, 0x222: gamepad.LEFT, 0x223: gamepad.RIGHT,
}  # fmt: skip
"""BTN_SOUTH … BTN_DPAD_RIGHT of linux/input-event-codes.h; 0x133 is X on the drivers xpad and hid-generic."""
LEFT_X, LEFT_Y, LEFT_TRIGGER, RIGHT_X, RIGHT_Y, RIGHT_TRIGGER, HAT_X, HAT_Y = 0, 1, 2, 3, 4, 5, 16, 17
"""ABS_X, ABS_Y, ABS_Z, ABS_RX, ABS_RY, ABS_RZ, ABS_HAT0X, ABS_HAT0Y."""
SOUTH, RIGHT_SHOULDER = 0x130, 0x137
Range = tuple[float, float]


class Events:
    """The state of a pad, kept up by its events: pure but for what it remembers. `ranges`: axis -> (lowest, highest) of the kernel."""

    def __init__(self, ranges: Mapping[int, Range], axes: Mapping[int, float], keys: Iterable[int] = ()) -> None:
        self._ranges = dict(ranges)
        self._axes = dict(axes)
        self._keys = set(keys)

    def put(self, kind: int, code: int, value: float) -> None:
        """One event; those of other kinds change nothing."""
        if kind == EV_ABS:
            self._axes[code] = value
        elif kind == EV_KEY:
            (self._keys.add if value else self._keys.discard)(code)

    def pad(self) -> Pad:
        """The pad as it is now. The kernel's right and down are positive; ours are left and up."""
        left, right = (-self._stick(LEFT_X), -self._stick(LEFT_Y)), (-self._stick(RIGHT_X), -self._stick(RIGHT_Y))
        triggers = (self._trigger(LEFT_TRIGGER), self._trigger(RIGHT_TRIGGER))
        return Pad(left, right, triggers, frozenset(KEYS[code] for code in self._keys if code in KEYS) | self._hat())

    def _hat(self) -> frozenset[int]:
        x, y = self._axes.get(HAT_X, 0), self._axes.get(HAT_Y, 0)
        sides = {gamepad.LEFT: x < 0, gamepad.RIGHT: x > 0, gamepad.UP: y < 0, gamepad.DOWN: y > 0}
        return frozenset(index for index, down in sides.items() if down)

    def _stick(self, axis: int) -> float:
        return 2.0 * self._share(axis, 0.5) - 1.0

    def _trigger(self, axis: int) -> float:
        return self._share(axis, 0.0)

    def _share(self, axis: int, missing: float) -> float:
        low, high = self._ranges.get(axis, (0.0, 0.0))
        if high <= low or axis not in self._axes:
            return missing
        return min(1.0, max(0.0, (self._axes[axis] - low) / (high - low)))


class EvdevGamepad:
    """The first gamepad of this machine, or the one at `path`. Raises TeleopError where there is none that may be read."""

    def __init__(self, path: str = "") -> None:
        self._device = _found(path)
        info = self._device.capabilities(absinfo=True).get(EV_ABS, [])
        ranges = {code: (float(axis.min), float(axis.max)) for code, axis in info}
        self._events = Events(ranges, {code: float(axis.value) for code, axis in info}, self._device.active_keys())

    def read(self, now: int) -> Reading | None:
        """The pad now: a pad at rest says nothing, and is alive as long as the kernel has it."""
        try:
            with contextlib.suppress(BlockingIOError):
                for event in self._device.read():
                    self._events.put(event.type, event.code, event.value)
        except OSError as error:
            raise TeleopError(
                f"the gamepad {self._device.path} is gone ({error.strerror}): plug it in and start again"
            ) from None
        return gamepad.reading(self._events.pad(), now)

    def close(self) -> None:
        """Let go of it."""
        self._device.close()


def _found(path: str) -> Any:
    try:
        evdev = importlib.import_module("evdev")
    except ImportError:
        raise TeleopError("evdev is not installed: pip install 'vla_ros[teleop]', or use --device joy") from None
    try:
        devices = [evdev.InputDevice(name) for name in ([path] if path else evdev.list_devices())]
    except OSError as error:
        raise TeleopError(
            f"{error.filename or path}: {error.strerror}: is it there, and are you in the group input?"
        ) from None
    pads = [device for device in devices if {SOUTH, RIGHT_SHOULDER} <= set(device.capabilities().get(EV_KEY, ()))]
    for device in devices:
        if device not in pads[:1]:
            device.close()
    if not pads:
        raise TeleopError(
            "no gamepad can be read here: plug one in, and see that you are in the group input (ls -l /dev/input)"
        )
    return pads[0]
