"""`vla-ros calibrate table`: how high the table is and whether it is level, from where the closed fingers touch it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.commands import live as live_service
from vla_ros.commands.calibrate_cell import (
    add_folder,
    add_options,
    bar,
    begun,
    driving,
    figure,
    in_words,
    reached,
)
from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from vla_ros.calibration.table import Table
    from vla_ros.config import Config
    from vla_ros.geometry import Array
    from vla_ros.nodes.client import Client
    from vla_ros.nodes.drive import Driver

USUAL = 5
"""Touches: the corners of the workspace and its middle."""


def add_command(kinds: Any) -> None:
    """Add `table` to the kinds of calibration."""
    parser = kinds.add_parser("table", help="height and tilt of the table, by touching it with the closed fingers")
    parser.add_argument("--touches", type=int, default=USUAL, metavar="N", help=f"at least 3 (default {USUAL})")
    parser.add_argument(
        "--search", type=float, metavar="M", help="m below the configured table that the fingers may go (default 0.015)"
    )
    parser.add_argument(
        "--prepare",
        type=Path,
        metavar="FILE",
        help="only write the settings with which a service lets the fingers touch",
    )
    parser.add_argument(
        "--by-hand", action="store_true", help="you bring the finger tips down to the table and press Enter, each time"
    )
    add_folder(parser)
    add_options(parser)
    parser.set_defaults(run=run_table)


def run_table(options: argparse.Namespace) -> int:
    """Touch, fit, write. 0, or an error in words."""
    from rich.console import Console

    from vla_ros.calibration import table

    console, search = Console(), options.search or table.SEARCH
    if options.prepare is not None:
        prepare(console, options, search)
        return 0
    options.folder.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    with in_words():
        table.places(live_service.load(*(options.config or ["twin"]), overrides=options.set).workspace, options.touches)
    with reached(console, options, lambda config: overrides(config, search)) as (client, config), in_words():
        points = (
            by_hand(console, client, config, options) if options.by_hand else touch(console, client, config, options)
        )
        found = table.fit(points, config.workspace)
    for line in words(found):
        console.print(line, highlight=False)
    if config.arm.driver == "twin":
        truth = config.workspace.table + config.twin.table_offset
        console.print(
            f"true height in the twin: {1e3 * truth:+.2f} mm, error {1e3 * (found.height - truth):+.2f} mm",
            style="bold",
        )
    _write(console, options, found, points, config)
    return 0


def overrides(config: Config, search: float) -> list[str]:
    """What the twin is started with: the cubes away, and a servo that lets the fingers touch."""
    from vla_ros.calibration.table import touching

    return ["twin.cleared=true", *(f"{name}={value}" for name, value in touching(config, search).items())]


def prepare(console: Any, options: argparse.Namespace, search: float) -> None:
    """Write those settings as a configuration, for a service that is started by somebody else."""
    import yaml

    from vla_ros.calibration.table import touching
    from vla_ros.config import load
    from vla_ros.config.load import unflatten

    config = load(*(options.config or ["twin"]), overrides=options.set)
    text = (
        "# For `vla-ros calibrate table` and nothing else: the fingers may touch the table, slowly and gently.\n"
        f"# The table is expected at {1e3 * config.workspace.table:+.1f} mm, and is searched for {1e3 * search:.0f} mm below that.\n"
    )
    options.prepare.parent.mkdir(parents=True, exist_ok=True)
    options.prepare.write_text(
        text + yaml.safe_dump(unflatten(touching(config, search)), sort_keys=False), encoding="utf-8"
    )
    console.print(
        f"written: {options.prepare}\nClear the table, start the service with --config … --config {options.prepare}, calibrate, and "
        "start it without that file again.",
        highlight=False,
    )


def touch(console: Any, client: Client, config: Config, options: argparse.Namespace) -> list[Array]:
    """The points (3,) m that the closed fingers touched. Raises CommandError and TableError."""
    from vla_ros.calibration import table

    if not table.may_touch(config):
        raise CommandError(
            "this service keeps the fingers off the table: write settings that let them touch with `vla-ros calibrate table --prepare "
            "touch.yaml`, clear the table, start the service with that file behind its own, and calibrate again"
        )
    points = []
    places = table.places(config.workspace, options.touches)
    with driving(client, config) as driver, bar(console, "touches") as advance:
        _raise(driver, config)
        driver.grip(1.0)
        for number, place in enumerate(places, 1):
            points.append(_touched(driver, config, place, number))
            console.print(f"touch {number}: {1e3 * points[-1][2]:+.2f} mm", highlight=False)
            advance(number / len(places))
    return points


def _raise(driver: Driver, config: Config) -> None:
    """Straight up to where nothing is in the way, before the gripper closes."""
    import numpy as np

    from vla_ros.calibration.table import above
    from vla_ros.geometry import Pose

    tool = driver.tool
    height = max(
        float(tool.position[2]), float(above(config.workspace, tool.position[:2], _height(config)).position[2])
    )
    driver.go(Pose(np.array([*tool.position[:2], height]), tool.quaternion))


def _height(config: Config) -> float:
    """m above the provisional table at which the descent begins."""
    return config.workspace.transit_clearance + 0.015


def _touched(driver: Driver, config: Config, place: Array, number: int) -> Array:
    from vla_ros.calibration import table

    start = table.above(config.workspace, place, _height(config))
    if not driver.go(start):
        raise CommandError(f"touch {number} at {place.round(3).tolist()} is not reached: {driver.client.arm.message}")
    tool = driver.descend(table.DESCENT, _height(config) / table.DESCENT + 3.0, table.TOUCH)
    if tool is None:
        raise CommandError(
            f"no table is felt at {place.round(3).tolist()} down to {1e3 * config.workspace.table:+.0f} mm: is it lower than "
            "that? Search deeper with --search, or set workspace.table nearer to it"
        )
    driver.go(start)
    return table.touched(tool)


def by_hand(console: Any, client: Client, config: Config, options: argparse.Namespace) -> list[Array]:
    """The points that somebody brings the finger tips to, by whatever moves the arm."""
    from vla_ros.calibration import table
    from vla_ros.nodes.drive import Driver

    driver, points = Driver(client, config), []
    console.print(
        "Close the fingers. The tool points down at every touch. Spread the touches over the whole workspace."
    )
    for number in range(1, options.touches + 1):
        console.input(
            f"touch {number} of {options.touches}: bring the finger tips down until they just touch, then press Enter "
        )
        client.sleep(0.3)
        points.append(table.touched(driver.tool))
        console.print(f"touch {number}: {1e3 * points[-1][2]:+.2f} mm", highlight=False)
    return points


def words(found: Table) -> list[str]:
    """The result in a few lines: for the screen, and as remarks in the file."""
    import math

    worst = 1e3 * max(abs(r) for r in found.residuals.tolist())
    (x, y), (dx, dy) = found.middle, 1e3 * found.slope
    slope = f"(slope {dx:+.2f} mm/m along x, {dy:+.2f} mm/m along y)"
    return [
        f"{len(found.residuals)} touches, at most {worst:.2f} mm off the plane",
        f"height {1e3 * found.height:+.2f} mm at x {x:.3f}, y {y:.3f} m; tilt {math.degrees(found.tilt):.3f}° {slope}",
        f"workspace.table is the highest point in the box: {1e3 * found.highest:+.2f} mm",
    ]


def _write(console: Any, options: argparse.Namespace, found: Table, points: list[Array], config: Config) -> None:
    from vla_ros.calibration.files import write_table
    from vla_ros.commands.calibrate_pictures import table_sheet

    twin = config.arm.driver == "twin" or config.twin.kortex
    path = write_table(options.folder, found.highest, [begun("table"), *words(found)], twin)
    picture = path.with_suffix(".png")
    table_sheet(found, points, words(found), picture)
    console.print(f"written: {path}, {picture}", highlight=False)
    live_service.write_json(options.json, document(found, points))


def document(found: Table, points: list[Array]) -> dict[str, Any]:
    """What --json writes."""
    from vla_ros.evaluation.wilson import machine

    n = len(points)
    summary = {
        "height_m": figure(found.height, None, n),
        "highest_m": figure(found.highest, None, n),
        "tilt_rad": figure(found.tilt, None, n),
        "worst_residual_m": figure(float(max(abs(found.residuals))), None, n),
    }
    items = [{"point": p.tolist(), "residual_m": float(r)} for p, r in zip(points, found.residuals, strict=True)]
    return {"summary": summary, "items": items, "machine": machine()}
