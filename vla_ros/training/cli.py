"""`vla-ros train`, `vla-ros dagger`, `vla-ros policy export` and `vla-ros policy show`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vla_ros.networks import release_cli, verify_cli
from vla_ros.policy.manifest import Action, BundleError, Manifest, load_manifest
from vla_ros.policy.policy import find_bundle


def add_commands(subparsers: Any) -> None:
    """Add `train`, `dagger` and `policy` to the command line; each sets `run`, a function from the options to an exit status."""
    _add_train(subparsers.add_parser("train", help="train a policy on recorded episodes"))
    _add_dagger(
        subparsers.add_parser("dagger", help="let a policy play in the twin and train it on the expert's labels")
    )
    policy = subparsers.add_parser("policy", help="export a checkpoint as a bundle, or show a bundle")
    actions = policy.add_subparsers(required=True, metavar="ACTION")
    exported = actions.add_parser("export", help="write a bundle and prove that it computes what the network does")
    exported.add_argument("checkpoint", type=Path)
    exported.add_argument("folder", type=Path, help="the bundle, such as models/demo")
    exported.add_argument("--name", default="", help="name in the manifest (default: the folder's)")
    exported.set_defaults(run=run_export)
    shown = actions.add_parser("show", help="what a bundle is, after checking its files")
    shown.add_argument("bundle", help="a folder, or the name of a bundle in models/")
    shown.set_defaults(run=run_show)
    release_cli.add_actions(actions)
    verify_cli.add_actions(actions)


def _add_train(parser: argparse.ArgumentParser) -> None:
    _common(parser, steps=3500, learning_rate=8e-4)
    parser.add_argument("--on-policy", type=Path, nargs="+", default=[], help="datasets for half of every batch")
    parser.add_argument("--initial", type=Path, help="checkpoint to start from")
    parser.add_argument("--window", type=int, default=6, help="frames of history (default 6)")
    parser.add_argument("--resume", action="store_true", help="go on where the checkpoint in --output was written")
    parser.set_defaults(run=run_train)


def _add_dagger(parser: argparse.ArgumentParser) -> None:
    _common(parser, steps=500, learning_rate=4e-4)
    parser.add_argument("--initial", type=Path, required=True, help="checkpoint to start from")
    parser.add_argument("--on-policy", type=Path, nargs="+", default=[], help="datasets of earlier rounds")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--episodes", type=int, default=250, help="episodes played per round (default 250)")
    parser.add_argument("--first-seed", type=int, default=500_000, help="of the episodes played (default 500000)")
    parser.add_argument("--processes", type=int, default=2, help="that play (default 2)")
    parser.set_defaults(run=run_dagger)


def _common(parser: argparse.ArgumentParser, steps: int, learning_rate: float) -> None:
    parser.add_argument("datasets", type=Path, nargs="+", help="LeRobot datasets of demonstrations")
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoint, loss.csv and loss.png")
    parser.add_argument("--steps", type=int, default=steps, help=f"default {steps}")
    parser.add_argument("--batch", type=int, default=32, help="windows per step (default 32)")
    parser.add_argument("--learning-rate", type=float, default=learning_rate, help=f"default {learning_rate}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default 1)")
    parser.add_argument("--precision", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--config", default="twin", help="configuration that the data was recorded with (default twin)")


_FIELDS = ("output", "steps", "batch", "learning_rate", "seed", "device", "threads", "precision", "config")


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    lists = {"datasets": tuple(options.datasets), "on_policy": tuple(options.on_policy)}
    return lists | {name: getattr(options, name) for name in _FIELDS}


def run_train(options: argparse.Namespace) -> int:
    """Train."""
    from vla_ros.training.train import TrainConfig, train

    config = TrainConfig(**_settings(options), initial=options.initial, window=options.window)
    train(config, options.resume)
    return 0


def run_dagger(options: argparse.Namespace) -> int:
    """Play and train in rounds."""
    from vla_ros.evaluation.collect import Plan, collect
    from vla_ros.training.dagger import DaggerConfig, dagger
    from vla_ros.training.train import TrainConfig

    def play(bundle: Path, seeds: range, dataset: Path) -> object:
        plan = Plan(dataset, seeds, policy=str(bundle), processes=options.processes, config=(options.config,))
        return collect(plan)

    config = DaggerConfig(
        initial=options.initial,
        train=TrainConfig(**_settings(options)),
        rounds=options.rounds,
        episodes=options.episodes,
        first_seed=options.first_seed,
    )
    Console().print(f"trained: {dagger(config, play)}", soft_wrap=True)
    return 0


def run_export(options: argparse.Namespace) -> int:
    """Export, verify and show."""
    from vla_ros.networks.export import export
    from vla_ros.networks.verify import VerificationError

    try:
        manifest = export(options.checkpoint, options.folder, options.name)
    except VerificationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    Console().print(table(manifest))
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Check and show a bundle."""
    try:
        manifest = load_manifest(find_bundle(options.bundle))
    except BundleError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    Console().print(table(manifest))
    return 0


def table(manifest: Manifest) -> Table:
    """The parts of a manifest that a user asks for first."""
    drawn = Table(title=f"policy {manifest.name}", show_header=False)
    action, chunk, history = manifest.action, manifest.chunk, manifest.history
    rows = {
        "robot": f"{manifest.robot.name}, {manifest.robot.tool}, {manifest.robot.control_rate:g} Hz",
        "cameras": "\n".join(
            f"{c.name}: roi {list(c.roi)} of {c.sensor[0]}×{c.sensor[1]}, binning {c.binning}" for c in manifest.cameras
        ),
        "history": f"{history.window} frames, {history.stride_ms:g} ms apart",
        "chunk": f"{chunk.length} steps of {chunk.step_ms:g} ms, {chunk.execute} may be played",
        "step": _reach(action),
        "labels": f"{action.label}, from the {action.anchor} pose",
        "training": "\n".join(f"{name}: {value}" for name, value in manifest.training.items()),
        "verification": "\n".join(f"{name}: {value}" for name, value in manifest.verification.items()),
    }
    for name, value in rows.items():
        drawn.add_row(name, value)
    return drawn


def _reach(action: Action) -> str:
    """The largest step, where there is one."""
    high = action.stages.inverse(np.ones((1, 7)))[0]
    clips = any(stage.kind == "range" for stage in action.stages.stages)
    return (
        f"at most {_list(high[:3])} m, {_list(high[3:6])} rad, in the {action.frame}'s frame"
        if clips
        else "not clipped"
    )


def _list(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
