"""A device by its name."""

from __future__ import annotations

from vla_ros.teleop.reading import Device, TeleopError

DEVICES = ("keyboard", "gamepad", "spacemouse", "joy")
"""`joy` is no device of ours: the topic /joy, which game_controller_node publishes."""


def open_device(name: str, path: str = "") -> Device:
    """Open a device that this process reads itself; its SDK is imported now. Raises TeleopError."""
    if name == "keyboard":
        from vla_ros.teleop.keyboard import Keyboard

        return Keyboard()
    if name == "gamepad":
        from vla_ros.teleop.evdev_gamepad import EvdevGamepad

        return EvdevGamepad(path)
    if name == "spacemouse":
        from vla_ros.teleop.spacemouse import SpaceMouse

        return SpaceMouse()
    raise TeleopError(f"no teleop device {name!r}: choose {', '.join(DEVICES)}")
