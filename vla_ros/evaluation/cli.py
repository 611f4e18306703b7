"""`vla-ros demos` and `vla-ros eval`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vla_ros.evaluation import open_loop_cli
from vla_ros.evaluation.wilson import Rate, summary_json


def add_commands(subparsers: Any) -> None:
    """Add `demos` and `eval` to the command line."""
    demos = subparsers.add_parser(
        "demos", help="record demonstrations of the scripted expert in the twin (LeRobot v3.0)"
    )
    demos.add_argument("--output", type=Path, required=True, help="folder of the dataset; must not exist")
    demos.add_argument("--seeds", type=seed_range, default=range(1000), metavar="A:B", help="default 0:1000")
    demos.add_argument(
        "--noise", type=float, default=0.12, help="largest disturbance of what the expert does (default 0.12)"
    )
    demos.add_argument("--policy", default="", help="a bundle that drives instead, the expert labelling (DAgger)")
    _common(demos)
    demos.set_defaults(run=run_demos)
    evaluate = subparsers.add_parser(
        "eval", help="success of a policy over seeded episodes, offline; or its error on a recorded dataset"
    )
    evaluate.add_argument(
        "--policy", default="demo", help="a bundle's folder or name, `expert`, or replay:DATASET#EPISODE (default demo)"
    )
    evaluate.add_argument("--seeds", type=seed_range, default=range(1000000, 1000200), metavar="A:B")
    evaluate.add_argument("--control", default="none", help="none, blank-cameras, shuffled-words or other-colour")
    evaluate.add_argument("--json", type=Path, help="write the result here as well")
    evaluate.add_argument("--record", action="store_true", help="write the rates into the bundle's manifest")
    evaluate.add_argument("--unverified", action="store_true", help="play a bundle that was never verified")
    _common(evaluate)
    open_loop_cli.add_options(evaluate)
    evaluate.set_defaults(run=run_eval)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--processes", type=int, default=2, help="default 2")
    parser.add_argument("--config", action="append", default=[], help="twin, robot, or a YAML file; may be repeated")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override one setting")


def seed_range(text: str) -> range:
    """Seeds A … B-1 of "A:B", or 0 … N-1 of "N"."""
    first, colon, last = text.partition(":")
    try:
        seeds = range(int(first), int(last)) if colon else range(int(first))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form A:B, as in 1000000:1000200") from None
    if not seeds or seeds.start < 0:
        raise argparse.ArgumentTypeError(f"{text!r} names no seeds: A must be 0 or more and less than B")
    return seeds


def run_demos(options: argparse.Namespace) -> int:
    """Record, and say what came of it."""
    from vla_ros.evaluation.collect import Plan, collect

    plan = Plan(
        options.output,
        options.seeds,
        noise=options.noise,
        policy=options.policy,
        processes=options.processes,
        config=tuple(options.config),
        overrides=tuple(options.set),
    )
    counts = collect(plan)
    Console().print(
        f"{counts['episodes']} episodes, {counts['frames']} frames, "
        f"{counts['successes']}/{counts['judged']} succeeded → {options.output}"
    )
    return 0


def run_eval(options: argparse.Namespace) -> int:
    """Evaluate, print the table, write the JSON."""
    from vla_ros.evaluation.evaluate import CONTROLS, Evaluation, evaluate

    if options.dataset is not None:
        return open_loop_cli.run(options)
    if options.control not in CONTROLS:
        sys.stderr.write(f"--control {options.control!r} is none of {', '.join(CONTROLS)}\n")
        return 2
    if options.record and (options.control != "none" or options.policy == "expert"):
        sys.stderr.write("--record is for a bundle without --control\n")
        return 2
    if options.json:  # before the work, not after it
        options.json.parent.mkdir(parents=True, exist_ok=True)
    overrides = (*options.set, *(["policy.unverified=true"] if options.unverified else []))
    evaluation = Evaluation(
        options.policy, options.seeds, options.control, options.processes, tuple(options.config), overrides
    )
    with _bar() as progress:
        bar = progress.add_task(f"eval {options.policy}", total=len(options.seeds))
        trials = evaluate(evaluation, lambda trial: progress.update(bar, advance=1))
    summary = summarise(trials)
    Console().print(table(f"{options.policy}, control {options.control}", summary))
    if options.json:
        items = [dataclasses.asdict(trial) for trial in trials]
        options.json.write_text(json.dumps(summary_json(summary, items), indent=1))
    if options.record:
        record(options.policy, evaluation.seeds, summary)
    return 0


def record(policy: str, seeds: range, summary: dict[str, Rate]) -> None:
    """Write what was measured into the bundle's manifest. Raises BundleError where `policy` is no bundle."""
    from vla_ros.policy.manifest import load_manifest, save_manifest
    from vla_ros.policy.policy import find_bundle

    folder = find_bundle(policy)
    manifest = load_manifest(folder)
    rates = {name: dataclasses.asdict(rate) for name, rate in summary.items()}
    success = {"twin": {"seeds": f"{seeds.start}:{seeds.stop}", **rates}}
    save_manifest(manifest.model_copy(update={"verification": manifest.verification | success}), folder)


def _bar() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def summarise(trials: Iterable[Any]) -> dict[str, Rate]:
    """Success and wrong-object rates of trials that have `success` and `wrong_object`."""
    trials = list(trials)
    return {
        "success": Rate.of(sum(t.success for t in trials), len(trials)),
        "wrong_object": Rate.of(sum(t.wrong_object for t in trials), len(trials)),
    }


def table(title: str, summary: dict[str, Rate]) -> Table:
    """The rates with their Wilson intervals."""
    drawn = Table(title=title)
    for heading in ("", "rate", "95 % interval", "n"):
        drawn.add_column(heading, justify="right" if heading else "left")
    for name, rate in summary.items():
        drawn.add_row(name.replace("_", " "), f"{rate.value:.3f}", f"{rate.low:.3f} – {rate.high:.3f}", str(rate.n))
    return drawn
