"""`vla-ros episodes export` and `import`: datasets in the forms that others train on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vla_ros.commands.errors import CommandError

Add = Callable[[str, Callable[[argparse.Namespace], int], str], Any]

EXPORTS = {"calvin": (), "robovlms": ("gripper", "share", "seed")}
IMPORTS = {"calvin": (), "robovlms": ("gripper", "split")}
"""Formats, and which options each knows."""


def add_commands(add: Add) -> None:
    """Add both to the kinds of `episodes`."""
    out = add("export", run_export, "write a dataset in another form")
    into = add("import", run_import, "append what is in another form to a dataset")
    for parser, formats in ((out, EXPORTS), (into, IMPORTS)):
        parser.add_argument("source", type=Path)
        parser.add_argument("output", type=Path)
        parser.add_argument("--format", choices=tuple(formats), required=True)
        parser.add_argument(
            "--gripper",
            type=float,
            nargs=2,
            metavar=("OPEN", "CLOSED"),
            help="robovlms: its numbers in `state` (default 1 0)",
        )
    out.add_argument("--share", type=float, help="robovlms: of the episodes, for validation (default 0.1)")
    out.add_argument("--seed", type=int, help="robovlms: of the draw of those episodes (default 0)")
    into.add_argument("--split", choices=("train", "val"), help="robovlms: which annotations (default: both)")


def _given(options: argparse.Namespace, formats: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """The options that were given. Raises CommandError for one that this format does not know."""
    names = {name for known in formats.values() for name in known}
    given = {name: getattr(options, name) for name in sorted(names) if getattr(options, name) is not None}
    unknown = [name for name in given if name not in formats[options.format]]
    if unknown:
        raise CommandError(f"--{unknown[0]} is not for --format {options.format}")
    if "gripper" in given:
        given["gripper"] = tuple(given["gripper"])
    return given


def run_export(options: argparse.Namespace) -> int:
    """Write it in another form."""
    from vla_ros.episodes import calvin, robovlms

    given = _given(options, EXPORTS)
    if not 0 <= given.get("share", 0.0) <= 1:
        raise CommandError(f"--share {given['share']:g}: give a number from 0 to 1")
    if options.format == "calvin":
        text = f"{calvin.export(options.source, options.output)} steps"
    else:
        text = f"{robovlms.export(options.source, options.output, **given)} episodes"
    sys.stdout.write(f"{options.output}: {text}\n")
    return 0


def run_import(options: argparse.Namespace) -> int:
    """Append what is in another form."""
    from vla_ros.episodes import calvin, robovlms

    given = _given(options, IMPORTS)
    if "split" in given:
        given["splits"] = (given.pop("split"),)
    module = {"calvin": calvin, "robovlms": robovlms}[options.format]
    sys.stdout.write(
        f"{options.output}: {module.imported(options.source, options.output, **given)} episodes appended\n"
    )
    return 0
