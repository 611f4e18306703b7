"""`vla-ros bench loop`: how long the way from light to motion takes, how evenly the servo turns, how smooth the motion is, and what it

all costs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.commands import bench_dashboard, bench_kortex, bench_policy, bench_record
from vla_ros.commands import live as live_service
from vla_ros.commands.bench_report import document, figure_table, process_table

if TYPE_CHECKING:
    from rich.console import Console

    from vla_ros.commands.measure import Bound, Figures
    from vla_ros.commands.smoothness import Smoothness
    from vla_ros.config import Config

CONSTANT = "constant:0.45,0.0,0.2"
"""The policy where there is no bundle: what is behind a policy is measured all the same."""
SEAM_JUMP = 0.02
"""Share of the speed cap by which the reference may jump at a seam under `blend`."""
LOWEST_SPEED = 0.8
"""Of the plan's speed, that must be kept up while an inference is late."""


def add_commands(subparsers: Any) -> None:
    """Add `bench` to the command line."""
    bench = subparsers.add_parser("bench", help="measure the live service, a policy, or the recorder")
    kinds = bench.add_subparsers(title="what to measure", metavar="WHAT", required=True)
    loop = kinds.add_parser(
        "loop", help="latency from exposure to command, the servo's period, smoothness, and the cost of each process"
    )
    loop.add_argument("--seconds", type=float, default=30.0, help="how long to measure live; 0: not (default 30)")
    loop.add_argument(
        "--episodes",
        type=int,
        default=8,
        metavar="N",
        help="offline, for each way of merging chunks; 0: none (default 8)",
    )
    loop.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    loop.add_argument("--no-bounds", action="store_true", help="exit with 0 although a bound is not met")
    live_service.add_options(loop)
    loop.set_defaults(run=run_loop)
    bench_kortex.add_kind(kinds)
    bench_policy.add_kind(kinds)
    bench_record.add_kind(kinds)
    bench_dashboard.add_kind(kinds)


def run_loop(options: argparse.Namespace) -> int:
    """Measure live, then offline; print, write. 0: every bound is met; 1: one is not."""
    from rich.console import Console

    console = Console()
    options.policy = options.policy or _best_there_is()
    config = live_service.configuration(options)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    figures: list[Figures] = []
    bounds: list[Bound] = []
    processes: dict[str, dict[str, float]] = {}
    if options.seconds > 0:
        figures, processes = _live(console, options, config, bounds)
    if options.episodes > 0:
        figures += _offline(console, options, config, bounds)
    for bound in bounds:
        console.print(f"[{'green' if bound.met else 'red'}]{bound.line()}[/]", highlight=False)
    live_service.write_json(options.json, document(figures, bounds, processes))
    return 0 if options.no_bounds or all(bound.met for bound in bounds) else 1


def _live(
    console: Console, options: argparse.Namespace, config: Config, bounds: list[Bound]
) -> tuple[list[Figures], dict[str, dict[str, float]]]:
    from vla_ros.commands import sim
    from vla_ros.commands.measure import measure, period_bound

    with sim.starting(console, options, config) as live:
        console.print(f"measuring {options.policy} for {options.seconds:g} s")
        figures, processes = measure(live, options.seconds)
    console.print(figure_table(figures), process_table(processes))
    bounds.append(period_bound(figures))
    return figures, processes


def _offline(console: Console, options: argparse.Namespace, config: Config, bounds: list[Bound]) -> list[Figures]:
    from rich.progress import Progress

    from vla_ros.commands.smoothness import MODES, compare, late_inference
    from vla_ros.policy.policy import is_bundle

    spec = options.policy if is_bundle(options.policy) else "expert"
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("smoothness, offline", total=len(MODES) * options.episodes + 1)
        found = compare(config, spec, options.episodes, lambda: progress.advance(bar))
        speeds = late_inference(config)
    console.print(_smoothness_table(found))
    figures = smoothness_figures(found)
    bounds += smoothness_bounds(figures, speeds)
    return figures


def smoothness_figures(found: Mapping[str, Smoothness]) -> list[Figures]:
    """The quantities that are told of each way of merging."""
    from vla_ros.commands.measure import Figures

    figures = []
    for mode, smoothness in found.items():
        figures.append(
            Figures(f"seam_{mode}_share", f"{mode}: jump of velocity, share of the cap", smoothness.jumps.tolist())
        )
        figures.append(Figures(f"acceleration_{mode}", f"{mode}: acceleration, m/s²", smoothness.acceleration.tolist()))
        figures.append(Figures(f"jerk_{mode}", f"{mode}: jerk, m/s³", smoothness.jerk.tolist()))
    return figures


def smoothness_bounds(figures: Sequence[Figures], speeds: tuple[Any, Any]) -> list[Bound]:
    """What the motion must keep to."""
    from vla_ros.commands.measure import Bound

    jumps = next(figure for figure in figures if figure.name == "seam_blend_share")
    bounds = [
        Bound(
            "seam_blend",
            "largest jump of velocity at a seam, blend",
            jumps.quantiles()[-1],
            SEAM_JUMP,
            n=len(jumps.values),
        )
    ]
    for name, values in zip(("commanded", "measured"), speeds, strict=True):
        text = f"lowest {name} speed while an inference is 200 ms late, share of the plan's"
        bounds.append(Bound(f"late_inference_{name}", text, float(values.min()), LOWEST_SPEED, False, len(values)))
    return bounds


def _best_there_is() -> str:
    from vla_ros.policy.manifest import BundleError
    from vla_ros.policy.policy import find_bundle

    try:
        find_bundle("demo")
    except BundleError:
        return CONSTANT
    return "demo"


def _smoothness_table(found: Mapping[str, Smoothness]) -> Any:
    """Jumps in percent of the cap, and what was commanded."""
    import numpy as np
    from rich.table import Table

    headings = (
        "merge",
        "jump at seams, % of the cap: p50",
        "p99",
        "max",
        "n",
        "acceleration rms, m/s²",
        "jerk rms, m/s³",
    )
    table = Table(*headings, "successes")
    for mode, s in found.items():
        jumps = np.percentile(s.jumps, [50, 99, 100]) if len(s.jumps) else np.full(3, np.nan)
        rms = [float(np.sqrt(np.mean(np.square(v)))) for v in (s.acceleration, s.jerk)]
        shares = [f"{100 * jump:.3f}" for jump in jumps]
        table.add_row(mode, *shares, str(len(s.jumps)), *(f"{v:.3f}" for v in rms), str(s.successes))
    return table
