"""`vla-ros eval --dataset`: a policy on recorded observations, in numbers and curves."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from vla_ros.evaluation.chart import Panel
    from vla_ros.evaluation.open_loop import Scores

ROWS = ("x_mm", "y_mm", "z_mm", "way_mm", "rx_mrad", "ry_mrad", "rz_mrad", "turn_mrad", "gripper_wrong")


def add_options(parser: Any) -> None:
    """Add what `eval` takes for a dataset."""
    group = parser.add_argument_group("open loop, on recorded episodes")
    group.add_argument(
        "--dataset", type=Path, metavar="DIR", help="compare chunks with what was recorded here, instead of playing"
    )
    group.add_argument("--episodes", type=episode_range, metavar="A:B", help="of the dataset; default: all")
    group.add_argument("--instruction", default="", metavar="TEXT", help="in place of each episode's own")
    group.add_argument("--plot", type=Path, metavar="PNG", help="draw the errors over the steps of a chunk")


def episode_range(text: str) -> range:
    """Episodes A … B-1 of "A:B", or the one of "A"."""
    first, colon, last = text.partition(":")
    try:
        episodes = range(int(first), int(last)) if colon else range(int(first), int(first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form A:B, as in 0:20") from None
    if not episodes or episodes.start < 0:
        raise argparse.ArgumentTypeError(f"{text!r} names no episodes: A must be 0 or more and less than B")
    return episodes


def run(options: argparse.Namespace) -> int:
    """Compare, print the table, write JSON and picture."""
    from rich.console import Console
    from rich.progress import Progress

    from vla_ros.evaluation.open_loop import OpenLoop, document, open_loop

    if options.policy == "expert" or options.record or options.control != "none":
        sys.stderr.write("--dataset is for a bundle or another policy that looks, without --record and --control\n")
        return 2
    for path in filter(None, (options.json, options.plot)):
        path.parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    plan = OpenLoop(
        options.policy,
        options.dataset,
        options.episodes,
        options.instruction,
        tuple(options.config),
        tuple(options.set),
    )
    console = Console()
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task(f"{options.policy} on {options.dataset}", total=None)
        scored, label = open_loop(plan, lambda scores: progress.update(bar, advance=1))
    for scores in scored:
        if scores.refused:
            console.print(f"episode {scores.index} left out: {scores.refused}", markup=False, highlight=False)
    console.print(table(scored, f"{options.policy} on {options.dataset}, against what was {label}"))
    if options.json:
        options.json.write_text(json.dumps(document(scored, label), indent=1) + "\n")
    if options.plot:
        from vla_ros.evaluation.chart import draw

        draw(panels(scored), options.plot)
        console.print(f"picture: {options.plot}", highlight=False)
    return 0


def table(scored: Sequence[Scores], title: str) -> Any:
    """Mean errors by dimension: of the policy at the first step, over the executed ones and at the last; of the baselines."""
    from rich.table import Table

    from vla_ros.evaluation.open_loop import figures, shape

    execute, steps, step = shape(scored)
    columns = (
        (f"policy, {step / 1e9:g} s", "policy", 0, 1),
        (f"first {execute} steps", "policy", 0, execute),
        (f"{steps * step / 1e9:g} s", "policy", steps - 1, steps),
        (f"standing still, first {execute}", "still", 0, execute),
        ("going on as before", "previous", 0, execute),
    )
    drawn = Table(title=title)
    drawn.add_column("mean error")
    for heading, *_ in columns:
        drawn.add_column(heading, justify="right")
    found = [figures(scored, name, first, last) for _, name, first, last in columns]
    for row in ROWS:
        drawn.add_row(_named(row), *(_cell(row, column[row].value) for column in found))
    drawn.add_row("targets", *(str(column["way_mm"].n) for column in found))
    return drawn


def _named(row: str) -> str:
    name, _, unit = row.rpartition("_")
    return "gripper wrong, %" if row == "gripper_wrong" else f"{name}, {unit}"


def _cell(row: str, value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f}" if row == "gripper_wrong" else f"{value:.2f}"


def panels(scored: Sequence[Scores]) -> list[Panel]:
    """Way, turn and gripper over the steps of a chunk, of the policy and the baselines."""
    from vla_ros.evaluation.chart import DIM, GREEN, Curve, Panel
    from vla_ros.evaluation.open_loop import PREDICTORS, figures, shape

    _, steps, step = shape(scored)
    looks = {"policy": ("policy", GREEN), "still": ("standing still", DIM), "previous": ("as before", (230, 160, 60))}
    times = np.arange(1, steps + 1) * step / 1e9
    by_step = {name: [figures(scored, name, k, k + 1) for k in range(steps)] for name in PREDICTORS}
    made = []
    for row, title in (("way_mm", "way, mm"), ("turn_mrad", "turn, mrad"), ("gripper_wrong", "gripper wrong, share")):
        curves = []
        for name, (label, colour) in looks.items():
            values = np.array([found[row].value for found in by_step[name]])
            known = np.isfinite(values)
            curves.append(Curve(times[known], values[known], True, colour, label))
        made.append(Panel(f"{title}, over {times[0]:g} to {times[-1]:g} s ahead", curves, scale=True))
    return made
