"""`vla-ros calibrate hand-eye CAMERA`: where a camera is, on the tool or beside the arm."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.commands import calibrate_views as views
from vla_ros.commands import live as live_service
from vla_ros.commands.calibrate_cell import add_folder, add_options, begun, driving, figure, in_words, reached, serial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vla_ros.calibration.hand_eye import HandEye
    from vla_ros.commands.calibrate_views import Seen
    from vla_ros.config import Config


def add_command(kinds: Any) -> None:
    """Add `hand-eye` to the kinds of calibration."""
    parser = kinds.add_parser("hand-eye", help="where a camera is, from pictures of the board that the arm takes")
    views.add_arguments(parser)
    parser.add_argument(
        "--kinematics", choices=("auto", "exact", "noisy"), default="auto",
        help="whether the arm's poses are believed; auto: the residuals decide (default)",
    )  # fmt: skip
    add_folder(parser)
    add_options(parser)
    parser.set_defaults(run=run_hand_eye)


def run_hand_eye(options: argparse.Namespace) -> int:
    """Collect views, solve, write. 0, or an error in words."""
    from rich.console import Console

    from vla_ros.calibration import hand_eye
    from vla_ros.calibration.board import pattern
    from vla_ros.calibration.lens import configured

    console, name = Console(), options.camera
    options.folder.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    with reached(console, options, lambda config: views.prepared(name, config)) as (client, config):
        views.whole(name, config)
        with in_words():
            pattern(config.board)
        with driving(client, config, name) as driver:
            seen = views.collect(console, driver, config, options)
    slack = {"auto": None, "exact": False, "noisy": True}[options.kinematics]
    lens, parent = configured(config.cameras[name]), config.cameras[name].parent
    with in_words():
        found = hand_eye.solve(views.views_of(seen, config), lens, parent, slack)
    _print(console, name, found, seen, config)
    _write(console, options, found, seen, config)
    return 0


def _print(console: Any, name: str, found: HandEye, seen: Sequence[Seen], config: Config) -> None:
    for line in words(found, len(seen)):
        console.print(line, highlight=False)
    if config.cameras[name].driver == "twin":
        way, turn = _off(found, name, config)
        console.print(f"true error in the twin: {1e3 * way:.3f} mm, {turn:.4f}°", style="bold", highlight=False)


def _off(found: HandEye, name: str, config: Config) -> tuple[float, float]:
    """m and degrees from where the twin's camera is."""
    import math

    from vla_ros.calibration.rigid import apart

    way, turn = apart(found.camera, views.mounted(name, config))
    return way, math.degrees(turn)


def words(found: HandEye, count: int) -> list[str]:
    """The result in a few lines: for the screen, and as remarks in the file."""
    import numpy as np

    turn, way = np.degrees(found.errors[:3]), 1e3 * found.errors[3:]
    spread, noise = found.spread, found.noise
    arm = "taken at their word"
    if found.slack:
        arm = f"given slack of {1e3 * noise.way:.2f} mm and {np.degrees(noise.turn):.3f}°"
    fit = f"reprojection error {found.rms:.3f} px (worst view {found.per_view.max():.3f} px)"
    errors = f"± {way[0]:.3f} {way[1]:.3f} {way[2]:.3f} mm, turn ± {turn[0]:.4f} {turn[1]:.4f} {turn[2]:.4f}°"
    moves = f"without one view it moves by up to {1e3 * spread.way:.3f} mm and {np.degrees(spread.turn):.4f}°"
    return [
        f"{len(found.views)} of {count} views, {len(found.residuals)} corners, {fit}",
        f"position {np.round(found.camera.position, 5).tolist()} m {errors} (standard errors, in the camera's axes)",
        f"the arm's poses are {arm} (F ratio of the residuals {found.ratio:.1f})",
        f"{moves}; a view is foretold by the others to {spread.pixels:.3f} px",
    ]


def _write(console: Any, options: argparse.Namespace, found: HandEye, seen: Sequence[Seen], config: Config) -> None:
    from vla_ros.calibration.files import write_pose
    from vla_ros.commands.calibrate_pictures import hand_eye_sheet

    name, camera = options.camera, config.cameras[options.camera]
    remarks = [
        begun(f"hand-eye {name}"),
        f"camera: serial {serial(camera) or 'not known'}, {camera.width}×{camera.height}",
    ]
    path = write_pose(
        options.folder, name, camera.parent, found.camera, serial(camera), [*remarks, *words(found, len(seen))]
    )
    picture: Path = path.with_suffix(".png")
    hand_eye_sheet(found, seen, f"hand-eye {name}", words(found, len(seen)), picture)
    console.print(f"written: {path}, {picture}", highlight=False)
    live_service.write_json(options.json, document(found, name, config))


def document(found: HandEye, name: str, config: Config) -> dict[str, Any]:
    """What --json writes."""
    from vla_ros.evaluation.wilson import machine

    n = len(found.views)
    summary = {axis: figure(float(p), None, n) for axis, p in zip("xyz", found.camera.position, strict=True)}
    summary |= {f"q{axis}": figure(float(q), None, n) for axis, q in zip("xyzw", found.camera.quaternion, strict=True)}
    summary |= {
        "reprojection_px": figure(found.rms, None, len(found.residuals)),
        "f_ratio": figure(found.ratio, None, n),
        "leave_one_out_m": figure(found.spread.way, None, n),
        "leave_one_out_rad": figure(found.spread.turn, None, n),
    }
    for axis, error in zip(("turn_x", "turn_y", "turn_z", "x", "y", "z"), found.errors, strict=True):
        summary[f"standard_error_{axis}"] = figure(float(error), None, n)
    if config.cameras[name].driver == "twin":
        way, turn = _off(found, name, config)
        summary |= {"true_error_m": figure(way, None, n), "true_error_degrees": figure(turn, None, n)}
    items = [{"view": v, "rms_px": float(r)} for v, r in zip(found.views, found.per_view, strict=True)]
    return {"summary": summary, "items": items, "slack": found.slack, "machine": machine()}
