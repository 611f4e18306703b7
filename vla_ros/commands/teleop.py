"""`vla-ros teleop`: moves the arm of a running service by keyboard, gamepad or SpaceMouse."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from vla_ros.commands import live
from vla_ros.commands.clients import choose_domain
from vla_ros.teleop.devices import DEVICES


def add_commands(subparsers: Any) -> None:
    """Add `teleop` to the command line."""
    parser = subparsers.add_parser(
        "teleop", help="move the arm of a running service by keyboard, gamepad or SpaceMouse"
    )
    parser.add_argument("--device", choices=DEVICES, default="keyboard", help="default: keyboard; joy: the topic /joy")
    parser.add_argument("--path", default="", help="of the gamepad, as /dev/input/event7 (default: the first)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one setting, as teleop.speed=0.05"
    )
    parser.add_argument(
        "--domain", type=int, help="ROS domain of the service (default: ROS_DOMAIN_ID, or the only service)"
    )
    parser.set_defaults(run=run_teleop)


def run_teleop(options: argparse.Namespace) -> int:
    """Read the device until Ctrl-C. 1: it is gone; 2: there is none."""
    choose_domain(options.domain)
    live.enter_ros()
    from vla_ros.nodes import teleop

    if options.device == "keyboard":
        from vla_ros.teleop.keyboard import HELP

        sys.stdout.write(f"{HELP}\n")
        sys.stdout.flush()
    return teleop.main(arguments(options.device, options.path, options.set))


def arguments(device: str, path: str, given: Sequence[str]) -> list[str]:
    """The node's command line. Raises CommandError for a setting without a value."""
    settings = {"teleop.device": device} | ({"teleop.path": path} if path else {})
    for setting in given:
        name, found, value = setting.partition("=")
        if not found:
            raise live.CommandError(f"--set {setting}: give NAME=VALUE, as teleop.speed=0.05")
        settings[name.strip()] = value.strip()
    return ["--ros-args", *(word for name, value in settings.items() for word in ("-p", f"{name}:={value}"))]
