"""`vla-ros episodes export` and `import`: datasets in the forms that others train on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vla_ros.commands.errors import CommandError

IMAGES = "observation.images."

Add = Callable[[str, Callable[[argparse.Namespace], int], str], Any]

EXPORTS = {"calvin": (), "robovlms": ("gripper", "share", "seed")}
IMPORTS = {"calvin": (), "robovlms": ("gripper", "split"), "lerobot": ("camera", "column", "robot", "trust_names")}
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
    into.add_argument(
        "--camera", metavar="THEIRS=OURS", action="append", help="lerobot: a video, as observation.images.top=static"
    )
    into.add_argument("--column", metavar="THEIRS=OURS", action="append", help="lerobot: another column's name here")
    into.add_argument("--robot", help="lerobot: what we call their robot (default: as they do)")
    into.add_argument(
        "--trust-names",
        action="store_true",
        default=None,
        help="lerobot: state and action mean what ours do, though their numbers have other names",
    )


def _given(options: argparse.Namespace, formats: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """The options that were given. Raises CommandError for one that this format does not know."""
    names = {name for known in formats.values() for name in known}
    given = {name: getattr(options, name) for name in sorted(names) if getattr(options, name) is not None}
    unknown = [name for name in given if name not in formats[options.format]]
    if unknown:
        raise CommandError(f"--{unknown[0].replace('_', '-')} is not for --format {options.format}")
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
    from vla_ros.episodes import calvin, lerobot_import, robovlms

    given, left_out = _given(options, IMPORTS), ""
    if options.format == "calvin":
        count = calvin.imported(options.source, options.output)
    elif options.format == "robovlms":
        if "split" in given:
            given["splits"] = (given.pop("split"),)
        count = robovlms.imported(options.source, options.output, **given)
    else:
        pairs = _pairs("--camera", given.pop("camera", []), IMAGES) | _pairs("--column", given.pop("column", []), "")
        done = lerobot_import.imported(options.source, options.output, lerobot_import.Wishes(pairs, **given))
        count, left_out = done.episodes, f", without {', '.join(done.left_out)}" if done.left_out else ""
    sys.stdout.write(f"{options.output}: {count} episodes appended{left_out}\n")
    return 0


def _pairs(option: str, words: list[str], prefix: str) -> dict[str, str]:
    """Their names and ours. Raises CommandError for what is no pair."""
    found = {}
    for word in words:
        theirs, sign, ours = word.partition("=")
        if not (theirs and sign and ours):
            raise CommandError(f"{option} {word}: give their name and ours, as THEIRS=OURS")
        found[theirs] = f"{prefix}{ours.removeprefix(prefix)}"
    return found
