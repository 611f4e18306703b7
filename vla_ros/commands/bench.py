"""`vla-ros bench loop`: how long the way from light to motion takes, how evenly the servo turns, and what it all costs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_ros.commands import live as live_service

if TYPE_CHECKING:
    from vla_ros.commands.measure import Figures

CONSTANT = "constant:0.45,0.0,0.2"
"""The policy where there is no bundle: what is behind a policy is measured all the same."""


def add_commands(subparsers: Any) -> None:
    """Add `bench` to the command line."""
    bench = subparsers.add_parser("bench", help="measure the live service")
    kinds = bench.add_subparsers(title="what to measure", metavar="WHAT", required=True)
    loop = kinds.add_parser(
        "loop", help="latency from exposure to command, the servo's period, and the cost of each process"
    )
    loop.add_argument("--seconds", type=float, default=30.0, help="how long to measure (default 30)")
    loop.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    live_service.add_options(loop)
    loop.set_defaults(run=run_loop)


def run_loop(options: argparse.Namespace) -> int:
    """Bring the service up, measure, print, write."""
    from rich.console import Console

    from vla_ros.commands import sim
    from vla_ros.commands.measure import measure
    from vla_ros.evaluation.wilson import machine

    console = Console()
    options.policy = options.policy or _best_there_is()
    config = live_service.configuration(options)
    with sim.starting(console, options, config) as live:
        console.print(f"measuring {options.policy} for {options.seconds:g} s")
        figures, processes = measure(live, options.seconds)
    console.print(_figure_table(figures), _process_table(processes))
    summary = {name: value for figure in figures for name, value in figure.summary().items()}
    items = [{"process": name, **cost} for name, cost in processes.items()]
    live_service.write_json(options.json, {"summary": summary, "items": items, "machine": machine()})
    return 0


def _best_there_is() -> str:
    from vla_ros.policy.manifest import BundleError
    from vla_ros.policy.policy import find_bundle

    try:
        find_bundle("demo")
    except BundleError:
        return CONSTANT
    return "demo"


def _figure_table(figures: list[Figures]) -> Any:
    from rich.table import Table

    table = Table("", "p50", "p99", "max", "n", title="ms")
    for figure in figures:
        table.add_row(figure.text, *(f"{v:.2f}" for v in figure.quantiles()), str(len(figure.values)))
    return table


def _process_table(processes: dict[str, dict[str, float]]) -> Any:
    from rich.table import Table

    table = Table("process", "CPU, % of a core", "RSS, MB")
    for name, cost in processes.items():
        table.add_row(name, f"{cost['cpu_percent']:.1f}", f"{cost['rss_mb']:.0f}")
    return table
