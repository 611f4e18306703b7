"""`vla-ros config`: every setting with its value, and what it means."""

from __future__ import annotations

import argparse
from typing import Any


def add_commands(subparsers: Any) -> None:
    """Add `config` to the command line."""
    parser = subparsers.add_parser("config", help="list the settings, their values and what they mean")
    parser.add_argument("filter", nargs="?", default="", help="only settings whose name holds this text")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="twin, robot, or a YAML file; may be repeated"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override one setting")
    parser.set_defaults(run=run_config)


def run_config(options: argparse.Namespace) -> int:
    """Print the settings that these files and overrides amount to."""
    from rich.console import Console
    from rich.table import Table

    from vla_ros.config import load
    from vla_ros.config.load import flatten
    from vla_ros.nodes.describe import describe

    config = load(*options.config, overrides=options.set)
    table = Table(box=None)
    for heading in ("setting", "value", "meaning; SI units, radians, seconds"):
        table.add_column(heading, overflow="fold")  # a name that is cut off cannot be copied
    for name, value in flatten(config).items():
        if options.filter in name:
            table.add_row(name, _short(value), describe(name))
    Console().print(table)
    return 0


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"[{', '.join(_short(v) for v in value)}]".replace("[", "\\[") if isinstance(value, list) else str(value)
