"""`vla-ros policy import-robovlms` and `vla-ros policy check-parity`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vla_ros.networks.parity import Comparison


def add_actions(actions: Any) -> None:
    """Add them to the actions of `vla-ros policy`."""
    brought = actions.add_parser("import-robovlms", help="make a bundle of a checkpoint that RoboVLMs released")
    brought.add_argument("checkpoint", type=Path, metavar="CHECKPOINT.pt")
    brought.add_argument("config", type=Path, metavar="CONFIG.json", help="the training configuration beside it")
    brought.add_argument(
        "--backbone", type=Path, required=True, metavar="DIR", help="config.json and tokenizer.json of KosMos-2"
    )
    brought.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="the bundle, such as models/kosmos"
    )
    brought.add_argument(
        "--facts", type=Path, metavar="FILE", help="what the checkpoint does not say; without it: a template"
    )
    brought.add_argument(
        "--precision", choices=("fp32", "fp16", "bf16"), default="fp32", help="of the encoder (default fp32)"
    )
    brought.set_defaults(run=run_import)
    parity = actions.add_parser("check-parity", help="compare a checkpoint with what its authors' code answered")
    parity.add_argument("folder", type=Path, help="checkpoint.pt, config.json, kosmos-2/config.json and expected.npz")
    parity.add_argument("--attention", choices=("sdpa", "eager"), default="sdpa")
    parity.set_defaults(run=run_parity)


def run_import(options: argparse.Namespace) -> int:
    """Import, verify and show. 1: the graphs do not compute the same; 2: the checkpoint cannot be used."""
    from rich.console import Console

    from vla_ros.networks.card import table
    from vla_ros.networks.release_export import import_release
    from vla_ros.networks.release_file import ReleaseError
    from vla_ros.networks.verify import VerificationError

    console = Console()
    try:
        with console.status("loading, exporting, verifying …"):
            manifest = import_release(
                options.checkpoint, options.config, options.backbone, options.facts, options.output, options.precision
            )
    except (ReleaseError, VerificationError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, ReleaseError) else 1
    console.print(table(manifest))
    return 0


def export_folder(options: argparse.Namespace) -> int:
    """`policy export` of a folder with checkpoint.pt, config.json, kosmos-2 and facts.yaml."""
    folder: Path = options.checkpoint
    given = {"checkpoint": "checkpoint.pt", "config": "config.json", "backbone": "kosmos-2", "facts": "facts.yaml"}
    paths = {name: folder / file for name, file in given.items()}
    return run_import(argparse.Namespace(**paths, output=options.folder, precision=options.precision))


def run_parity(options: argparse.Namespace) -> int:
    """Compare and print. 1: a tensor does not agree; 2: the folder cannot be used."""
    from rich.console import Console

    from vla_ros.networks.parity import check_parity
    from vla_ros.networks.release_file import ReleaseError

    try:
        found = check_parity(options.folder, options.attention)
    except ReleaseError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    Console().print(_drawn(found))
    return 0 if all(comparison.agrees for comparison in found) else 1


def _drawn(found: Sequence[Comparison]) -> Any:
    from rich.table import Table

    from vla_ros.networks.parity import TOLERANCE

    drawn = Table(
        "tensor",
        "error",
        "",
        title=f"against the reference, as a share of the largest magnitude; at most {TOLERANCE:.0e}",
    )
    for comparison in found:
        changes = comparison.name in ("cameras swapped", "word changed")
        kind = f"changes by {comparison.value:.1e}" if changes else f"{comparison.value:.1e}"
        drawn.add_row(comparison.name, kind, "[green]agrees[/]" if comparison.agrees else "[red]does not agree[/]")
    return drawn
