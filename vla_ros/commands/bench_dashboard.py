"""`vla-ros bench dashboard`: what the page costs the service when people look, how old what they see is, and how fast Stop stops.

Runs with nobody and with four viewers follow each other in pairs, the order turned in every second one, so that what drifts is in
both. The viewers and the browser run on this machine too, and compete with the service for its processors.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vla_ros.clock import MILLISECOND
from vla_ros.commands import live as live_service
from vla_ros.commands.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

    from vla_ros.commands.live import Live
    from vla_ros.commands.measure import Bound, Figures
    from vla_ros.evaluation.proof import Commands
    from vla_ros.evaluation.watch import Watcher

CORES = 0.2
"""Of the dashboard's process, with all viewers."""
CANVAS, STOP = 80.0, 50.0
"""ms: from exposure to canvas, median; from the click on Stop to the servo's first braking cycle."""
VIEWERS = 4
SETTLE = 1.0
"""s behind a change of viewers that are not counted."""
ATTEMPTS = 2
"""Motions that are begun for each click on Stop: some are over when it comes."""
SPEED = 0.02
"""m/s from which on there is a motion to stop."""
STEP = ("preprocess_ms", "encode_ms", "decide_ms")
NOTED = {"period": "servo's period error, p99, ms", "step": "policy's step, median, ms"}


@dataclass(frozen=True)
class Run:
    """One run: cores of the dashboard's process; the servo's period errors and the policy's steps, ms.

    `frames` are what all viewers together got a second.
    """

    cores: float
    errors: Sequence[float]
    steps: Sequence[float]
    frames: float = 0.0

    def item(self) -> dict[str, float]:
        """What --json has of it."""
        viewers = VIEWERS if self.frames else 0
        return {"viewers": viewers, "cores": self.cores, "frames_per_second": self.frames, **self.noted()}

    def noted(self) -> dict[str, float]:
        """What is compared between runs."""
        return {"period": _quantile(self.errors, 0.99), "step": _quantile(self.steps, 0.5)}


@dataclass(frozen=True)
class Change:
    """Median of the pairs' differences, their smallest and largest; `noise`: how far the runs without viewers lie from each other."""

    value: float
    low: float
    high: float
    noise: float

    @property
    def share(self) -> float:
        """The change as a share of the noise; a change for the better is none."""
        worse = max(0.0, self.value)
        return worse / self.noise if self.noise > 0 else (math.inf if worse else 0.0)


def change(quiet: Sequence[float], watched: Sequence[float]) -> Change:
    """What looking changes, of pairs in the order in which they were run. Raises ValueError for fewer than two pairs."""
    if len(quiet) < 2 or len(quiet) != len(watched):
        raise ValueError("a change needs two pairs at least, to know the noise")
    differences = np.subtract(watched, quiet)
    return Change(
        float(np.median(differences)), float(differences.min()), float(differences.max()), float(np.ptp(quiet))
    )


def add_kind(kinds: Any) -> None:
    """Add `dashboard` to `bench`."""
    parser = kinds.add_parser("dashboard", help="what the page costs, how old its pictures are, how fast Stop stops")
    parser.add_argument("--pairs", type=int, default=8, metavar="N", help="of runs with nobody and with four viewers")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="of each run: short, for a machine drifts (default 4)"
    )
    parser.add_argument("--stops", type=int, default=20, metavar="N", help="clicks on Stop (default 20; 0: none)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    parser.add_argument("--no-bounds", action="store_true", help="exit with 0 although a bound is not met")
    live_service.add_options(parser)
    parser.set_defaults(run=run_dashboard)


def run_dashboard(options: argparse.Namespace) -> int:
    """Measure, print, write. 0: every bound is met; 1: one is not."""
    from rich.console import Console

    from vla_ros.commands.bench_report import document, figure_table

    if options.pairs < 2:
        raise CommandError("--pairs: two at least, to know the noise")
    console = Console()
    if not any(setting.startswith("dashboard.port=") for setting in options.set):
        options.set = [f"dashboard.port={live_service.port_near(0)}", *options.set]
    config = live_service.configuration(options)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    figures, bounds, runs = _measured(console, options, config)
    console.print(figure_table(figures))
    for bound in bounds:
        console.print(f"[{'green' if bound.met else 'red'}]{bound.line()}[/]", highlight=False)
    result = document(figures, bounds, {})
    result["items"] += [run.item() for run in runs]
    live_service.write_json(options.json, result)
    return 0 if options.no_bounds or all(bound.met for bound in bounds) else 1


def _measured(
    console: Console, options: argparse.Namespace, config: Any
) -> tuple[list[Figures], list[Bound], list[Run]]:
    from vla_ros.commands.browser import NoBrowserError, opened
    from vla_ros.commands.measure import begin
    from vla_ros.commands.sim import starting

    with starting(console, options, config) as live:
        if live.service.fallen():
            raise CommandError(live.service.fallen()[0])
        begin(live)
        figures, bounds, runs = pairs(console, live, options.pairs, options.seconds)
        try:
            with opened() as browser:
                seen = canvas(live, browser, options.seconds)
                stopped = stops(console, live, browser, options.stops)
        except NoBrowserError as error:
            console.print(f"neither exposure to canvas nor Stop is measured: {error}", style="yellow", highlight=False)
            return figures, bounds, runs
    return [*figures, seen, *stopped], [*bounds, *_browser_bounds(seen, stopped)], runs


def pairs(console: Console, live: Live, count: int, seconds: float) -> tuple[list[Figures], list[Bound], list[Run]]:
    """Runs with nobody and with viewers by turns."""
    from vla_ros.commands.measure import Figures

    runs: dict[bool, list[Run]] = {False: [], True: []}
    ages: list[float] = []
    for number in range(count):
        for looked_at in (False, True) if number % 2 == 0 else (True, False):
            found, seen = _one(live, seconds, VIEWERS if looked_at else 0)
            runs[looked_at].append(found)
            ages += seen
            noted = ", ".join(f"{NOTED[name]} {value:.3f}" for name, value in found.noted().items())
            who = f"{VIEWERS} viewers" if looked_at else "nobody"
            console.print(f"{who}: {found.cores:.3f} cores, {found.frames:.0f} frames/s, {noted}", highlight=False)
    figures = [Figures("viewer", "exposure → a viewer's socket", ages)]
    for looked_at, name in ((False, "nobody"), (True, "viewers")):
        joined = [list(itertools.chain(*(getattr(r, part) for r in runs[looked_at]))) for part in ("errors", "steps")]
        figures.append(Figures(f"period_{name}", f"servo's period error, {name}", joined[0]))
        figures.append(Figures(f"step_{name}", f"policy's step, {name}", joined[1]))
    both = [run for pair in zip(runs[False], runs[True], strict=True) for run in pair]
    return figures, cost_bounds(runs[False], runs[True]), both


def cost_bounds(quiet: Sequence[Run], watched: Sequence[Run]) -> list[Bound]:
    """What looking may cost."""
    from vla_ros.commands.measure import Bound

    cores = float(np.median([run.cores for run in watched]))
    bounds = [Bound("cores", f"cores of the dashboard, {VIEWERS} viewers, median run", cores, CORES, n=len(watched))]
    for name, text in NOTED.items():
        found = change([run.noted()[name] for run in quiet], [run.noted()[name] for run in watched])
        words = f"{text}: changes by {found.value:+.3f} ({found.low:+.3f} … {found.high:+.3f}), noise {found.noise:.3f}; share of it"
        bounds.append(Bound(f"{name}_change_over_noise", words, found.share, 1.0, n=len(quiet)))
    return bounds


def _one(live: Live, seconds: float, viewers: int) -> tuple[Run, list[float]]:
    from vla_ros.commands.viewers import Viewers

    if not viewers:
        live.client.sleep(SETTLE)
        return _observed(live, seconds), []
    config = live.service.config
    address = f"{config.dashboard.host}:{config.dashboard.port}"
    with Viewers(address, list(config.cameras), viewers) as crowd:
        live.client.sleep(SETTLE)
        before, began, early = crowd.frames, time.monotonic(), len(crowd.ages())
        found = _observed(live, seconds)
        frames = (crowd.frames - before) / (time.monotonic() - began)
        ages = crowd.ages()[early:]
    return Run(found.cores, found.errors, found.steps, frames), ages


def _observed(live: Live, seconds: float) -> Run:
    from vla_ros.clock import SECOND
    from vla_ros.commands.measure import ServoWatch, cpu_seconds, listen

    pids = {"dashboard": live.service.pids()["dashboard"]}
    watch = ServoWatch(live.service.runtime, round(SECOND / live.service.config.servo.rate))
    before, began = cpu_seconds(pids), time.monotonic()
    heard = listen(live, seconds)
    cores = (cpu_seconds(pids)["dashboard"] - before["dashboard"]) / (time.monotonic() - began)
    watch.close()
    parts = [heard.figures.get(name, []) for name in STEP]
    return Run(cores, watch.errors, [sum(step) for step in zip(*parts, strict=False)])


def _page(live: Live, browser: Any) -> Any:
    """The page, live."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(live.service.config.dashboard.address)
    deadline = time.monotonic() + live_service.READY
    while page.inner_text("#link") != "live":
        if time.monotonic() > deadline:
            raise CommandError("the page did not come alive: see what the dashboard says")
        live.client.sleep(0.1)
    return page


def canvas(live: Live, browser: Any, seconds: float) -> Figures:
    """From exposure until the picture is drawn, in a page that is shown."""
    from vla_ros.commands.measure import Figures, begin

    begin(live)
    page, ages = _page(live, browser), list[float]()
    live.client.sleep(SETTLE)
    take = "vlaRos.views.flatMap(view => view.latencies.splice(0))"
    page.evaluate(take)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        live.client.sleep(1.0)
        ages += page.evaluate(take)
    page.close()
    return Figures("canvas", "exposure → canvas, Chromium", ages)


def stops(console: Console, live: Live, browser: Any, count: int) -> list[Figures]:
    """Clicks on Stop at random moments of motions."""
    from vla_ros.commands.episodes import TwinLink
    from vla_ros.commands.measure import Figures
    from vla_ros.evaluation.watch import Watcher

    if not count:
        return []
    page, took, own = _page(live, browser), list[float](), list[float]()
    with (
        contextlib.closing(TwinLink(live)) as twin,
        contextlib.closing(Watcher(live.service.runtime, live.service.config.servo.priority)) as watcher,
    ):
        for number in range(ATTEMPTS * count):
            found = _stop(live, twin, page, watcher, number) if len(took) < count else None
            if found is not None:
                took.append(found)
                own.append(page.evaluate("vlaRos.handled - vlaRos.pressed"))
    page.close()
    if len(took) < count:
        console.print(f"only {len(took)} clicks met a moving arm", style="yellow", highlight=False)
    rest = [whole - part for whole, part in zip(took, own, strict=True)]
    return [
        Figures("stop", "click on Stop → the servo's first braking cycle", took),
        Figures("stop_browser", "  click → the page hears of it", own),
        Figures("stop_service", "  the page asks → the servo's first braking cycle", rest),
    ]


def _stop(live: Live, twin: Any, page: Any, watcher: Watcher, seed: int) -> float | None:
    """ms from the click to the first cycle in which the servo stops; None where the arm did not move."""
    from vla_ros.commands.episodes import set_up

    arm = live.client.arm
    if arm.values.get("mode") == "STOPPED":
        live.client.trigger("/arm/reset")
    set_up(live, twin, seed)
    live_service.enable(live.client)
    live.client.instruct(bytes(twin.task()["instruction"]).decode())
    watcher.take()
    live.client.wait(lambda: bool((watcher.take().commands.speeds > SPEED).any()), 5.0)
    live.client.sleep(random.Random(seed).uniform(0.0, 0.5))
    before = watcher.take().commands
    if not len(before) or before.speeds[-1] < SPEED:
        return None
    page.click("#stop")
    live.client.wait(lambda: arm.values.get("mode") == "STOPPED", 2.0)
    moment = first_stopped(watcher.take().commands)
    pressed = round(page.evaluate("vlaRos.pressed") * MILLISECOND) - (time.time_ns() - time.monotonic_ns())
    return None if moment is None else (moment - pressed) / MILLISECOND


def first_stopped(commands: Commands) -> int | None:
    """The moment (ns, monotonic) of the first cycle in which the servo stops; None where there is none."""
    from vla_ros.values import Mode

    found = (int(s) for s, mode in zip(commands.stamps, commands.modes, strict=True) if mode is Mode.STOPPED)
    return next(found, None)


def _browser_bounds(seen: Figures, stopped: Sequence[Figures]) -> list[Bound]:
    from vla_ros.commands.measure import Bound

    bounds = [Bound("canvas_p50", f"{seen.text}, ms, p50", seen.quantiles()[0], CANVAS, n=len(seen.values))]
    for figure in stopped[:1]:
        for name, value in (("p50", figure.quantiles()[0]), ("max", figure.quantiles()[-1])):
            text = f"{figure.text}, ms, {name}"
            bounds.append(Bound(f"stop_{name}", text, value, STOP, n=len(figure.values)))
    return bounds


def _quantile(values: Sequence[float], share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else float("nan")
