"""`vla-ros …`: every command of this project. A command's module is imported when its help or itself is asked for, and not before."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from vla_ros import __version__

ROOMS = (
    "vla_ros.commands.sim",
    "vla_ros.commands.demo",
    "vla_ros.commands.twin",
    "vla_ros.commands.clients",
    "vla_ros.commands.dashboard",
    "vla_ros.commands.teleop",
    "vla_ros.commands.record",
    "vla_ros.commands.dataset",
    "vla_ros.commands.fault",
    "vla_ros.commands.faults",
    "vla_ros.commands.soak",
    "vla_ros.commands.settings",
    "vla_ros.commands.bench",
    "vla_ros.commands.latency",
    "vla_ros.commands.calibrate",
    "vla_ros.commands.doctor.command",
    "vla_ros.commands.robot.command",
    "vla_ros.evaluation.cli",
    "vla_ros.training.cli",
    "vla_ros.networks.cli",
)
"""Modules that add commands: each has `add_commands(subparsers)`, and imports what is heavy only when a command runs."""


def make_parser() -> argparse.ArgumentParser:
    """The command line of all rooms that can be imported; one whose optional packages are missing is left out."""
    parser = argparse.ArgumentParser(
        "vla-ros",
        description="A vision-language-action service for a Kinova Gen3: cameras and a sentence in, motion out.",
    )
    parser.add_argument("--version", action="version", version=f"vla-ros {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for room in ROOMS:
        _add(room, subparsers)
    return parser


def _add(room: str, subparsers: Any) -> None:
    try:
        module = importlib.import_module(room)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("vla_ros"):
            raise
        return  # an optional package, such as torch
    module.add_commands(subparsers)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command: its exit status."""
    options = make_parser().parse_args(argv)
    from vla_ros.commands.errors import explained

    return explained(lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
