"""`vla-ros policy …`: export, show, build-engine; the other actions are added by `release_cli` and `verify_cli`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table

from vla_ros.clock import SECOND, Clock, MonotonicClock
from vla_ros.networks import release_cli, verify_cli
from vla_ros.networks.card import table

if TYPE_CHECKING:
    from vla_ros.policy.engines.tensorrt_bundle import BuiltEngine


def add_commands(subparsers: Any) -> None:
    """Add `policy` to the command line; its actions set `run`, a function from the options to an exit status."""
    policy = subparsers.add_parser("policy", help="export a checkpoint as a bundle, show a bundle, build its engines")
    actions = policy.add_subparsers(required=True, metavar="ACTION")
    exported = actions.add_parser("export", help="write a bundle and prove that it computes what the network does")
    exported.add_argument(
        "checkpoint", type=Path, help="of `vla-ros train`, or a folder with a release and its facts.yaml"
    )
    exported.add_argument("folder", type=Path, help="the bundle, such as models/demo")
    exported.add_argument("--name", default="", help="name in the manifest (default: the folder's)")
    exported.add_argument(
        "--precision", choices=("fp32", "fp16", "bf16"), default="fp32", help="of a release's encoder"
    )
    exported.set_defaults(run=run_export)
    shown = actions.add_parser("show", help="what a bundle is, after checking its files")
    shown.add_argument("bundle", help="a folder, or the name of a bundle in models/")
    shown.set_defaults(run=run_show)
    _add_build(actions.add_parser("build-engine", help="build the TensorRT engines of a bundle"))
    release_cli.add_actions(actions)
    verify_cli.add_actions(actions)


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a folder, or the name of a bundle in models/")
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "bf16"), help="what the bundle must compute in (default: what it does)"
    )
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="SM",
        help="GPU, such as sm_89; may be given several times (default: this one)",
    )
    parser.add_argument(
        "--output", type=Path, help="folder for the engines (default: the cache, where the service looks)"
    )
    parser.add_argument(
        "--library",
        choices=("tensorrt", "tensorrt_rtx"),
        help="default: tensorrt, or where that is missing tensorrt_rtx",
    )
    parser.set_defaults(run=run_build_engine)


def run_export(options: argparse.Namespace) -> int:
    """Export, verify and show."""
    from vla_ros.networks.export import export
    from vla_ros.networks.verify import VerificationError

    if options.checkpoint.is_dir():
        return release_cli.export_folder(options)
    try:
        manifest = export(options.checkpoint, options.folder, options.name)
    except VerificationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    Console().print(table(manifest))
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Check and show a bundle."""
    from vla_ros.policy.manifest import BundleError, load_manifest
    from vla_ros.policy.policy import find_bundle

    try:
        manifest = load_manifest(find_bundle(options.bundle))
    except BundleError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    Console().print(table(manifest))
    return 0


def run_build_engine(options: argparse.Namespace) -> int:
    """Build what the cache does not have, and say where it is."""
    from vla_ros.policy.engines.tensorrt_bundle import bundle_engines, check_precision
    from vla_ros.policy.engines.tensorrt_library import find_library
    from vla_ros.policy.manifest import load_manifest
    from vla_ros.policy.policy import find_bundle

    folder = find_bundle(options.bundle)
    manifest, library = load_manifest(folder), find_library(options.library)
    if options.precision:
        check_precision(manifest, options.precision)
    engines = bundle_engines(folder, manifest, library, options.target, options.output)
    Console().print(_engines(f"{library.name} {library.version}", engines, MonotonicClock()), soft_wrap=True)
    return 0


def _engines(title: str, engines: Iterable[BuiltEngine], clock: Clock) -> Table:
    drawn = Table("graph", "precision", "for", "MB", "s", Column("engine", overflow="fold"), title=title)
    started = clock.now()
    for engine in engines:
        took = f"{(clock.now() - started) / SECOND:.1f}" if engine.built else "was there"
        size = f"{engine.path.stat().st_size / 1e6:.1f}"
        drawn.add_row(engine.graph, engine.key.precision, " ".join(engine.key.targets), size, took, str(engine.path))
        started = clock.now()
    return drawn
