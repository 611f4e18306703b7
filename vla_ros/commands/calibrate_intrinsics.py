"""`vla-ros calibrate intrinsics CAMERA`: camera matrix and distortion, from views that the arm takes or somebody shows by hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.commands import calibrate_views as views
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
    serial,
)
from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vla_ros.calibration.intrinsics import Intrinsics, Picture
    from vla_ros.commands.calibrate_views import Seen
    from vla_ros.config import Config
    from vla_ros.nodes.client import Client

MOVED, STEADY = 0.06, 0.002
"""Shares of the picture's width by which the board must be elsewhere than in every other view, and may move between two pictures."""
PATIENCE = 120.0
"""s without a new view after which showing the board by hand is over."""


def add_command(kinds: Any) -> None:
    """Add `intrinsics` to the kinds of calibration."""
    parser = kinds.add_parser("intrinsics", help="camera matrix and distortion, from pictures of the board")
    views.add_arguments(parser)
    parser.add_argument(
        "--model", choices=("plumb_bob", "rational_polynomial", "none"), default="plumb_bob",
        help="of the distortion: 5 coefficients (default), 8, or a pinhole",
    )  # fmt: skip
    parser.add_argument(
        "--by-hand", action="store_true", help="the arm stands; show the board, hold it still, show it elsewhere"
    )
    add_folder(parser)
    add_options(parser)
    parser.set_defaults(run=run_intrinsics)


def run_intrinsics(options: argparse.Namespace) -> int:
    """Collect views, solve, write. 0, or an error in words."""
    from rich.console import Console

    from vla_ros.calibration import intrinsics
    from vla_ros.calibration.board import pattern

    console, name = Console(), options.camera
    options.folder.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    with reached(console, options, lambda config: views.prepared(name, config)) as (client, config):
        views.whole(name, config)
        with in_words():
            pattern(config.board)
        if options.by_hand:
            seen = shown(console, client, config, options)
        else:
            with driving(client, config, name) as driver:
                seen = views.collect(console, driver, config, options)
    with in_words():
        found = intrinsics.solve(pictures_of(seen, config), options.model)
    for line in words(found, len(seen)):
        console.print(line, highlight=False)
    if config.cameras[name].driver == "twin":
        console.print(_truth(found, config, name), style="bold", highlight=False)
    _write(console, options, found, seen, config)
    return 0


def pictures_of(seen: Sequence[Seen], config: Config) -> list[Picture]:
    """The views as the solver takes them."""
    from vla_ros.calibration.board import points
    from vla_ros.calibration.intrinsics import Picture

    corners = points(config.board)
    return [Picture(corners[s.found.ids], s.found.corners, s.shot.image.shape[1], s.shot.image.shape[0]) for s in seen]


def shown(console: Any, client: Client, config: Config, options: argparse.Namespace) -> list[Seen]:
    """Views that somebody shows: one counts when the board stands, somewhere else than before. Raises CommandError after PATIENCE."""
    import time

    from vla_ros.calibration.board import BoardError, Finder
    from vla_ros.nodes.drive import Driver

    driver, finder, seen = Driver(client, config, options.camera), Finder(config.board), list[views.Seen]()
    console.print(
        "Show the board: hold it still until it counts, then tilted and elsewhere, also in the corners of the picture."
    )
    before, last = None, time.monotonic()
    with bar(console, "views") as advance:
        while len(seen) < options.views:
            if time.monotonic() - last > PATIENCE:
                raise CommandError(
                    f"{len(seen)} views of {options.views} in {PATIENCE:.0f} s without a new one: the board is not shown"
                )
            shot = driver.watch()
            try:
                found = None if shot is None else finder.find(shot.image)
            except BoardError:
                found = None
            if shot is not None and found is not None and steady(found, before, shot.image.shape[1]):
                view = views.Seen(shot, found)
                if all(elsewhere(found, other.found, shot.image.shape[1]) for other in seen):
                    seen.append(view)
                    last = time.monotonic()
                    advance(len(seen) / options.views)
            before = found
    return seen


def steady(found: Any, before: Any, width: int) -> bool:
    """Whether the board has not moved since the picture before."""
    return before is not None and _moved(found, before) < STEADY * width


def elsewhere(found: Any, other: Any, width: int) -> bool:
    """Whether the board is shown otherwise than in another view."""
    return _moved(found, other) > MOVED * width


def _moved(a: Any, b: Any) -> float:
    """px by which the corners that both show have moved, root mean square; infinite where they share none."""
    import numpy as np

    common, first, second = np.intersect1d(a.ids, b.ids, return_indices=True)
    if not len(common):
        return float("inf")
    return float(np.sqrt(((a.corners[first] - b.corners[second]) ** 2).sum(axis=1).mean()))


def words(found: Intrinsics, count: int) -> list[str]:
    """The result in a few lines: for the screen, and as remarks in the file."""
    lens, e = found.lens, found.errors
    dropped = f", {len(found.dropped)} left out since they do not fit" if found.dropped else ""
    fit = f"reprojection error {found.rms:.3f} px (worst view {found.per_view.max():.3f} px)"
    named = zip(("fx", "fy", "cx", "cy"), (lens.fx, lens.fy, lens.cx, lens.cy), e, strict=True)
    lines = [
        f"{len(found.views)} of {count} views{dropped}, {len(found.corners)} corners, {fit}",
        f"{', '.join(f'{key} {value:.2f} ± {error:.2f}' for key, value, error in named)} px (standard errors)",
        f"{lens.model}: {', '.join(f'{k:.5f}' for k in lens.coefficients)}; it moves what was seen by up to {found.bend:.2f} px",
        f"the corners are in {100 * found.coverage:.0f} % of the picture's cells",
    ]
    if found.coverage < 0.5:
        lines.append(
            "Outside of them the distortion is a guess: show the board there too (--by-hand), or use the middle only."
        )
    return lines


def _truth(found: Intrinsics, config: Config, name: str) -> str:
    import numpy as np

    true, lens = config.cameras[name], found.lens
    pairs = [(lens.fx, true.fx), (lens.fy, true.fy), (lens.cx, true.cx), (lens.cy, true.cy)]
    return (
        f"true error in the twin: {', '.join(f'{np.subtract(*pair):+.3f}' for pair in pairs)} px, and it is a pinhole"
    )


def _write(console: Any, options: argparse.Namespace, found: Intrinsics, seen: Sequence[Seen], config: Config) -> None:
    from vla_ros.calibration.files import write_intrinsics
    from vla_ros.commands.calibrate_pictures import intrinsics_sheet

    name, camera = options.camera, config.cameras[options.camera]
    remarks = [begun(f"intrinsics {name}"), *words(found, len(seen))]
    path = write_intrinsics(options.folder, name, found.lens, serial(camera), remarks)
    picture: Path = path.with_suffix(".png")
    intrinsics_sheet(found, seen, f"intrinsics {name}", words(found, len(seen)), picture)
    console.print(f"written: {path}, {picture}", highlight=False)
    live_service.write_json(options.json, document(found))


def document(found: Intrinsics) -> dict[str, Any]:
    """What --json writes."""
    from vla_ros.evaluation.wilson import machine

    lens, n = found.lens, len(found.views)
    values = (lens.fx, lens.fy, lens.cx, lens.cy)
    summary = {
        key: figure(value, float(error), n)
        for key, value, error in zip(("fx", "fy", "cx", "cy"), values, found.errors, strict=True)
    }
    summary |= {f"distortion_{i}": figure(k, None, n) for i, k in enumerate(lens.coefficients.tolist())}
    summary |= {
        "reprojection_px": figure(found.rms, None, len(found.residuals)),
        "coverage": figure(found.coverage, None, n),
        "bend_px": figure(found.bend, None, n),
    }
    items = [{"view": v, "rms_px": float(r)} for v, r in zip(found.views, found.per_view, strict=True)]
    return {"summary": summary, "items": items, "dropped": list(found.dropped), "machine": machine()}
