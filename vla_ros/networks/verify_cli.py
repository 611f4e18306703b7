"""`vla-ros policy verify` and `vla-ros policy quantise`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vla_ros.config import Config
    from vla_ros.networks.agreement import Agreement
    from vla_ros.networks.bundle_proof import Network, Proof
    from vla_ros.networks.recorded import Recorded
    from vla_ros.policy.manifest import Manifest

FRAMES = 40


def add_actions(actions: Any) -> None:
    """Add them to the actions of `vla-ros policy`."""
    verify = actions.add_parser(
        "verify", help="prove that network, graphs and engine compute the same on recorded observations"
    )
    verify.add_argument("bundle", help="a folder, or the name of a bundle in models/")
    made_of = verify.add_mutually_exclusive_group()
    made_of.add_argument("--checkpoint", type=Path, metavar="FILE", help="what the bundle was exported from")
    made_of.add_argument(
        "--release",
        type=Path,
        metavar="DIR",
        help="what it was imported from: checkpoint.pt, config.json and kosmos-2/",
    )
    verify.add_argument("--engine", choices=("onnxruntime", "tensorrt", "torch"), help="default: policy.engine")
    verify.add_argument("--device", choices=("cpu", "cuda"), help="default: policy.device")
    _common(verify)
    verify.set_defaults(run=run_verify)
    quantise = actions.add_parser("quantise", help="make a bundle in int8, for CPUs, and measure what that costs")
    quantise.add_argument("bundle", help="a verified bundle in fp32: a folder, or a name in models/")
    quantise.add_argument("output", type=Path, help="the new bundle, such as models/demo_int8")
    _common(quantise)
    quantise.set_defaults(run=run_quantise)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", type=Path, metavar="DIR", help="recorded observations; without it the twin renders an expert's"
    )
    parser.add_argument("--frames", type=int, default=FRAMES, metavar="N", help=f"of them (default {FRAMES})")
    parser.add_argument("--episodes", type=int, default=0, metavar="N", help="to play in the twin as well (default 0)")
    parser.add_argument("--processes", type=int, default=2, help="that play (default 2)")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="twin, robot, or a YAML file; may be repeated"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override one setting")


def run_verify(options: argparse.Namespace) -> int:
    """Verify, show, and write the record into the manifest. 1: something does not agree, and nothing is written; 2: bad input."""
    return _reported(lambda: _verify(options))


def run_quantise(options: argparse.Namespace) -> int:
    """Quantise, show, and play. 1: it is not worth it, or too far off; 2: bad input."""
    return _reported(lambda: _quantise(options))


def _reported(command: Callable[[], None]) -> int:
    from vla_ros.networks.release_file import ReleaseError
    from vla_ros.networks.verify import VerificationError

    try:
        command()
    except (ReleaseError, VerificationError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, ReleaseError) else 1
    return 0


def _verify(options: argparse.Namespace) -> None:
    """Raises VerificationError before anything is written."""
    from rich.console import Console

    from vla_ros.networks.bundle_proof import prove
    from vla_ros.policy.manifest import load_manifest, save_manifest
    from vla_ros.policy.policy import find_bundle

    console, config, folder = Console(), _config(options), find_bundle(options.bundle)
    manifest = load_manifest(folder)
    chosen = {name: getattr(options, name) for name in ("engine", "device") if getattr(options, name)}
    with console.status("verifying …"):
        recorded = _recorded(options, folder, manifest, config)
        network = _network(options, manifest)
        proof = prove(folder, manifest, recorded, network, config.policy.model_copy(update=chosen))
    for way, found in proof.found.items():
        console.print(_table(f"{way} against {proof.base}: {recorded.source}, {len(recorded)} frames", found))
    _check(proof, folder, manifest)
    record: dict[str, Any] = {"recorded": dict(proof.record)} if proof.found else {}
    if options.episodes:
        record |= _played(options, folder, manifest, console)
    if record:
        save_manifest(manifest.model_copy(update={"verification": manifest.verification | record}), folder)
    end = "the record is in its manifest" if record else "its manifest stays as it is"
    console.print(f"{folder}: files as the manifest says, {_count(proof)}; {end}", soft_wrap=True)


def _quantise(options: argparse.Namespace) -> None:
    from rich.console import Console

    from vla_ros.networks.quantise import quantise
    from vla_ros.policy.manifest import load_manifest, save_manifest
    from vla_ros.policy.policy import find_bundle

    console, config, folder = Console(), _config(options), find_bundle(options.bundle)
    with console.status("calibrating, quantising, comparing …"):
        recorded = _recorded(options, folder, load_manifest(folder), config)
        small = quantise(folder, options.output, recorded)
    console.print(_ways_table(small.verification["int8"]))
    console.print(_both_line(small.verification["recorded"]), soft_wrap=True)
    if options.episodes:
        success = {"twin_fp32": _success(options, folder, console), "twin": _success(options, options.output, console)}
        small = small.model_copy(update={"verification": small.verification | success})
        save_manifest(small, options.output)
    console.print(f"{options.output}: the record is in its manifest", soft_wrap=True)


def _config(options: argparse.Namespace) -> Config:
    from vla_ros.config import load

    return load(*options.config, overrides=options.set)


def _recorded(options: argparse.Namespace, folder: Path, manifest: Manifest, config: Config) -> Recorded:
    """From the dataset, or from the twin. Raises DatasetError and BundleError."""
    from vla_ros.networks.recorded import Observer, from_dataset, from_twin, twin_config

    if options.frames < 2:
        raise _bad(f"--frames {options.frames}: at least 2, for a reset between them")
    if options.dataset is not None:
        return from_dataset(options.dataset, Observer(folder, manifest, config), options.frames)
    config = twin_config(config, manifest)
    return from_twin(Observer(folder, manifest, config), config, options.frames)


def _bad(text: str) -> Exception:
    from vla_ros.policy.manifest import BundleError

    return BundleError(text)


def _network(options: argparse.Namespace, manifest: Manifest) -> Network | None:
    """What the bundle was made of, where that was given."""
    from vla_ros.networks.bundle_proof import network_of_checkpoint, network_of_release

    if options.checkpoint is not None:
        return network_of_checkpoint(options.checkpoint, manifest)
    return network_of_release(options.release, manifest) if options.release is not None else None


def _check(proof: Proof, folder: Path, manifest: Manifest) -> None:
    """Raises VerificationError where something does not agree, or nothing was ever compared."""
    from vla_ros.networks.agreement import worst
    from vla_ros.networks.verify import VerificationError

    if not proof.found and not manifest.verification:
        raise VerificationError(
            f"{folder}: nothing to compare {proof.base} with, and the manifest has no earlier record. Give --checkpoint or --release."
        )
    for way, found in proof.found.items():
        bad = [agreement for agreement in found if not agreement.agrees]
        if bad:
            output = worst(bad)
            raise VerificationError(
                f"{folder}: {output.output} by {way} is off by {output.largest:.1e} (cosine {output.cosine:.6f}) from that by "
                f"{proof.base}, more than {output.tolerance:g}. The manifest was left as it is."
            )


def _success(options: argparse.Namespace, folder: Path, console: Any) -> dict[str, Any]:
    from vla_ros.networks.success import line, play_episodes

    with console.status(f"{options.episodes} episodes of {folder} in the twin …"):
        success = play_episodes(folder, options.episodes, options.processes, options.config, options.set)
    console.print(line(success), soft_wrap=True)
    return success


def _played(options: argparse.Namespace, folder: Path, manifest: Manifest, console: Any) -> dict[str, Any]:
    """The record of the episodes, unless the manifest has one of more of them.

    Raises VerificationError where success is surely less than what the manifest says.
    """
    from vla_ros.networks.success import fell, line
    from vla_ros.networks.verify import VerificationError

    success, before = _success(options, folder, console), manifest.verification.get("twin")
    if before is not None and fell(success, before):
        raise VerificationError(f"{folder}: its manifest says {line(before)}. The manifest was left as it is.")
    longer = before is not None and before["success"]["n"] > success["success"]["n"]
    return {} if longer else {"twin": success}


def _table(title: str, found: Sequence[Agreement]) -> Any:
    from rich.table import Table

    drawn = Table("output", "cosine", "largest error", "at most", "", title=title)
    for a in found:
        verdict = "[green]agrees[/]" if a.agrees else "[red]does not agree[/]"
        drawn.add_row(
            a.output,
            f"{a.cosine:.6f}",
            f"{a.largest:.1e}",
            "" if math.isinf(a.tolerance) else f"{a.tolerance:.0e}",
            verdict,
        )
    return drawn


def _ways_table(int8: dict[str, Any]) -> Any:
    from rich.table import Table

    drawn = Table("graph", "way", "ms", "chunk: cosine", "largest error", "", title="one graph at a time")
    for name, ways in int8["ways"].items():
        for method, way in ways.items():
            kept = "kept" if int8["kept"][name] == method else ""
            drawn.add_row(name, method, f"{way['ms']:g}", f"{way['cosine']:.6f}", f"{way['largest']:.1e}", kept)
    return drawn


def _both_line(recorded: dict[str, Any]) -> str:
    chunk = recorded["onnxruntime_int8"]["chunk"]
    return (
        f"together, on {recorded['frames']} frames ({recorded['source']}): chunk cosine {chunk['cosine']:.6f}, "
        f"largest error {chunk['largest']:.1e}"
    )


def _count(proof: Proof) -> str:
    ways = ", ".join(proof.found)
    return f"{ways} as {proof.base}" if ways else f"{proof.base} alone, nothing to compare it with"
