"""`vla-ros calibrate latency`: sway the arm, see how late every device shows it, and write that down as configuration."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.calibration.sway import CYCLES
from vla_ros.commands import live as live_service
from vla_ros.commands.calibrate_cell import add_options, bar, reached
from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

    from vla_ros.calibration.latency import Fit, Lag, Track
    from vla_ros.calibration.sway import Sway
    from vla_ros.config import Config
    from vla_ros.evaluation.chart import Panel
    from vla_ros.nodes.client import Client
    from vla_ros.nodes.sway import Notes, Rig

ARM, GRIPPER = "arm", "gripper"
EDGES, APART = 11, 1.01
"""Times that the gripper closes or opens, and seconds between: no whole number of periods of an arm that takes up 40 commands a

second, so that all waits for the next of them occur."""
STROKE = 0.3


def add_command(kinds: Any) -> None:
    """Add `latency` to the kinds of calibration."""
    latency = kinds.add_parser("latency", help="how late each camera, the arm and the gripper are, by a small sway")
    latency.add_argument("--devices", nargs="+", metavar="NAME", help="cameras by name, arm, gripper (default: all)")
    latency.add_argument(
        "--output", type=Path, default=Path("calibration/latency.yaml"), metavar="FILE",
        help="configuration with what was found (default calibration/latency.yaml); its picture lies beside it",
    )  # fmt: skip
    latency.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    latency.add_argument(
        "--cycles", type=float, default=CYCLES, metavar="N", help=f"of the sway at full amplitude (default {CYCLES:g})"
    )
    add_options(latency)
    latency.set_defaults(run=run_latency)


@dataclass
class Findings:
    """What was found: the lags by the name of the setting that they end up in, as they were measured; panels for the picture."""

    lags: dict[str, Lag] = field(default_factory=dict)
    fits: dict[str, Fit] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    panels: list[Panel] = field(default_factory=list)


def run_latency(options: argparse.Namespace) -> int:
    """Measure, print, write. 0: all that was asked for was found; 1: something was refused, the rest is written; 2: nothing began."""
    from rich.console import Console

    from vla_ros.evaluation.chart import draw

    console = Console()
    for path in filter(None, (options.output, options.json)):
        path.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    with reached(console, options) as (client, config):
        devices = chosen(options.devices, config)
        if client.policy.values.get("instruction"):
            client.instruct("")  # or the policy would go on with it between one motion and the next
        live_service.enable(client)
        found = measure(console, client, config, devices, options.cycles)
    values, remarks = settings(config, found.lags)
    console.print(_table(found, values))
    for remark in (*found.refusals.values(), *remarks):
        console.print(f"[yellow]{remark}[/]", highlight=False)
    if values:
        options.output.write_text(overlay(values, found.lags, remarks), encoding="utf-8")
        picture = options.output.with_suffix(".png")
        draw(found.panels, picture)
        console.print(f"written: {options.output}, {picture}", highlight=False)
        console.print(f"Use it with: --config … --config {options.output}", highlight=False)
    live_service.write_json(options.json, document(found, values))
    return 1 if found.refusals else 0


def chosen(names: Sequence[str] | None, config: Config) -> list[str]:
    """The devices to measure. Raises CommandError for one that there is not."""
    known = [*config.cameras, ARM, GRIPPER]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise CommandError(f"--devices: no device {unknown[0]!r}; known are {', '.join(known)}")
    return [name for name in known if not names or name in names]


def measure(
    console: Console, client: Client, config: Config, devices: Sequence[str], cycles: float = CYCLES, edges: int = EDGES
) -> Findings:
    """Move what has to be moved for the devices, and tell how late each of them is. Raises CommandError and ServiceError."""
    from vla_ros.nodes.sway import Rig

    cameras, found = [name for name in devices if name in config.cameras], Findings()
    rig = Rig(client, config, cameras)
    if cameras or ARM in devices:
        sway, notes = _swayed(console, rig, config, cycles)
        analyse_sway(sway, notes, config, devices, found)
    if GRIPPER in devices:
        _attempt(found, "servo.gripper_delay", lambda: _gripped(console, rig, found, edges))
    return found


def _swayed(console: Console, rig: Rig, config: Config, cycles: float) -> tuple[Sway, Notes]:
    from vla_ros.calibration.sway import AXES, SwayError, plan

    try:
        sway = plan(rig.tool(), config.workspace, config.limits, cycles)
    except SwayError as error:
        raise CommandError(str(error)) from None
    console.print(
        f"swaying by ±{1e3 * sway.amplitude:.0f} mm along {AXES[sway.axis]} at {sway.frequency:.2f} Hz for {sway.seconds:.0f} s",
        highlight=False,
    )
    with bar(console, "sway") as advance:
        return sway, rig.lead(sway.velocity, sway.seconds + 0.5, on_step=advance)


def analyse_sway(sway: Sway, notes: Notes, config: Config, devices: Sequence[str], found: Findings) -> None:
    """The lags of the arm and of the cameras among `devices`, from what was noted during the sway, into `found`."""
    from vla_ros.calibration import latency

    frequency = sway.frequency
    try:
        moved = _steady(notes.tool(sway.axis), sway)
        reference = latency.fit(moved, frequency)
    except latency.CalibrationError as error:
        raise CommandError(f"/arm/tool_pose: {error}") from None
    _draw(found, "feedback: position of the tool", moved, reference, frequency)
    if reference.amplitude < sway.amplitude / 2:
        raise CommandError(
            f"the arm swayed by ±{1e3 * reference.amplitude:.1f} mm instead of ±{1e3 * sway.amplitude:.0f}: see /arm/status for why"
        )
    if ARM in devices:
        _attempt(found, "servo.delay", lambda: _arm(sway, notes, reference, found))
    for name in devices:
        if name in config.cameras:
            _attempt(found, f"cameras.{name}.latency", partial(_camera, name, sway, notes, reference, found))


def _attempt(found: Findings, setting: str, work: Callable[[], Lag]) -> None:
    from vla_ros.calibration.latency import CalibrationError

    try:
        found.lags[setting] = work()
    except CalibrationError as error:
        found.refusals[setting] = f"{setting}: {error}"


def _steady(track: Track, sway: Sway) -> Track:
    from vla_ros.calibration.latency import CalibrationError, Track

    begin, end = sway.steady
    inside = (track.times >= begin) & (track.times <= end)
    if not inside.any():
        raise CalibrationError("nothing was recorded")
    return Track(track.times[inside], track.values[inside])


def _arm(sway: Sway, notes: Notes, reference: Fit, found: Findings) -> Lag:
    from vla_ros.calibration import latency

    track = _steady(notes.command(sway.axis), sway)
    velocity = latency.fit(track, sway.frequency)
    wish = found.fits["servo.delay"] = latency.displaced(velocity, sway.frequency)
    _draw(found, "command: velocity of the tool", track, velocity, sway.frequency)
    late = latency.lag(reference, wish, sway.frequency)
    return latency.believed(
        late, reference, "the arm's feedback", "see /arm/status for what disturbs the sway, and leave the machine alone"
    )


def _camera(name: str, sway: Sway, notes: Notes, reference: Fit, found: Findings) -> Lag:
    import numpy as np

    from vla_ros.calibration import latency

    begin, end = sway.steady
    film = [(t, picture) for t, picture in notes.films.get(name, []) if begin <= t <= end]
    times = np.array([t for t, _ in film])
    track = latency.movement(times, [picture for _, picture in film], sway.frequency)
    seen = found.fits[f"cameras.{name}.latency"] = latency.fit(track, sway.frequency)
    _draw(found, f"camera {name}: principal component of its pictures", track, seen, sway.frequency)
    late = latency.lag(seen, reference, sway.frequency, signed=False)
    remedy = "turn it so that it sees the gripper, light the scene, and let nothing else move in it"
    return latency.believed(late, seen, f"camera {name}", remedy)


def _gripped(console: Console, rig: Rig, found: Findings, edges: int) -> Lag:
    """Close a little and open again a few times."""
    import numpy as np

    from vla_ros.calibration import latency

    console.print("moving the gripper", highlight=False)
    rig.tool()
    rig.client.wait(lambda: bool(rig.notes.grippers), 2.0)
    start = rig.notes.grippers[-1][1] if rig.notes.grippers else 0.0
    other = start + STROKE if start < 0.5 else start - STROKE
    with bar(console, "gripper") as advance:
        notes = rig.lead(
            lambda t: np.zeros(3),
            (edges + 1) * APART,
            lambda t: other if int(t / APART) % 2 else start,
            advance,
        )
    delays, moments = grip_delays(notes)
    track = notes.gripper()
    from vla_ros.evaluation.chart import Curve, Panel

    found.panels.append(Panel("gripper: position, and its commands", [Curve(track.times, track.values)], moments))
    return latency.edges(delays)


def grip_delays(notes: Notes) -> tuple[list[float], list[float]]:
    """Seconds from every command of the gripper to the begin of its motion, and the moments of the commands."""
    from vla_ros.calibration import latency

    track, delays, moments = notes.gripper(), [], []
    commands = notes.gripper_commands
    for (_, before), (moment, target) in itertools.pairwise(commands):
        if abs(target - before) > STROKE / 2:
            moments.append(moment)
            delays.append(latency.ramp_begin(track, moment, target) - moment)
    return delays, moments


def _draw(found: Findings, title: str, track: Track, fitted: Fit, frequency: float) -> None:
    from vla_ros.calibration.latency import curve
    from vla_ros.evaluation.chart import LINE, Curve, Panel

    fits = curve(fitted, track.times, frequency)
    values = track.values - track.values.mean()
    found.panels.append(Panel(title, [Curve(track.times, values), Curve(track.times, fits, True, LINE)]))


def settings(config: Config, lags: dict[str, Lag]) -> tuple[dict[str, float], list[str]]:
    """The settings that the lags ask for, by dotted name, and remarks on what else had to change.

    A lag that the schema does not allow is left out, and said.
    """
    from vla_ros.calibration.latency import fitting_gain

    values: dict[str, float] = {}
    remarks = []
    for name, lag in lags.items():
        value = _wanted(config, name, lag)
        low, high, reason = _ALLOWED["camera" if name.startswith("cameras.") else name]
        if low <= value <= high:
            values[name] = round(value, 4)
        else:
            remarks.append(
                f"{name}: {1e3 * value:.0f} ms is not written, {1e3 * low:.0f} to {1e3 * high:.0f} ms are allowed: {reason}"
            )
    gain, delay = config.servo.gain, values.get("servo.delay", config.servo.delay)
    if fitting_gain(gain, delay) < gain:
        values["servo.gain"] = fitting_gain(gain, delay)
        remarks.append(
            f"servo.gain: lowered from {gain:g} to {values['servo.gain']:g} 1/s, more would oscillate with this delay"
        )
    return values, remarks


_ALLOWED = {
    "camera": (-0.5, 0.499, "its clock is not the one that the arm is stamped with"),
    "servo.delay": (
        0.001,
        0.2,
        "look at the connection to the arm, and at the clock behind the stamps of its feedback",
    ),
    "servo.gripper_delay": (0.0, 0.5, "look at the gripper's connection"),
}
"""Seconds that the schema takes, and what it means when they are others."""


def _wanted(config: Config, name: str, lag: Lag) -> float:
    """What the setting ought to be: a camera's lag comes on top of what is already taken off its stamps."""
    if name.startswith("cameras."):
        return lag.value + config.cameras[name.split(".")[1]].latency
    return lag.value if name == "servo.delay" else max(0.0, lag.value)


def overlay(values: dict[str, float], lags: dict[str, Lag], remarks: Sequence[str]) -> str:
    """The configuration file: only what was measured, behind a comment that says when and how."""
    from datetime import datetime, timezone

    import yaml

    from vla_ros import __version__
    from vla_ros.config.load import unflatten

    moment = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    lines = [f"Measured by `vla-ros calibrate latency` {__version__}, {moment}, with a sway of the arm.", ""]
    lines += ["Seconds, relative to the stamps of the arm's feedback; ± is the standard error of the fit."]
    lines += [f"{name}: {_text(lag)}" for name, lag in lags.items()]
    lines += [*remarks, "", "Measure again after any change of camera, driver, exposure, cable or arm."]
    comment = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    return comment + yaml.safe_dump(unflatten(values), sort_keys=False)


def _text(lag: Lag) -> str:
    return f"{1e3 * lag.value:+.1f} ± {1e3 * lag.error:.1f} ms, n = {lag.n}"


def document(found: Findings, values: dict[str, float]) -> dict[str, Any]:
    """What --json writes: the lags as they were measured, and per device the fit and what was written."""
    from dataclasses import asdict

    from vla_ros.evaluation.wilson import machine

    summary = {
        name: {"value": lag.value, "low": lag.interval[0], "high": lag.interval[1], "n": lag.n}
        for name, lag in found.lags.items()
    }
    items = [
        {"setting": name, "written": values.get(name), "refused": found.refusals.get(name, "")}
        | (asdict(found.fits[name]) if name in found.fits else {})
        for name in {**found.lags, **found.refusals, **values}
    ]
    return {"summary": summary, "items": items, "machine": machine()}


def _table(found: Findings, values: dict[str, float]) -> Any:
    from rich.table import Table

    table = Table("setting", "late by, ms", "standard error, ms", "written, s", title="latency")
    for name, lag in found.lags.items():
        table.add_row(name, f"{1e3 * lag.value:.1f}", f"{1e3 * lag.error:.2f}", str(values.get(name, "–")))
    return table
