"""What `vla-ros policy verify` proves of a bundle: network, graphs and engine compute the same on recorded observations."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import nn

from vla_ros.config.schema import PolicyConfig
from vla_ros.networks.agreement import Agreement, agreements, play, tolerance
from vla_ros.networks.checkpoints import load_checkpoint
from vla_ros.networks.export import DecideGraph, EncodeGraph, decide_inputs, encode_inputs
from vla_ros.networks.recorded import Recorded
from vla_ros.networks.release_export import graph_modules
from vla_ros.networks.released import load_release
from vla_ros.networks.verify import Run, torch_runner
from vla_ros.policy.engines import open_engine
from vla_ros.policy.engines.onnx import OnnxEngine
from vla_ros.policy.manifest import BundleError, Manifest, Tensor, sha256

TORCH, LOWERED, ONNX = "torch", "torch_lowered", "onnxruntime"


@dataclass(frozen=True)
class Network:
    """The network that a bundle was made of, by graph: in fp32, and in the precision of its graphs."""

    modules: Mapping[str, nn.Module]
    lowered: Mapping[str, nn.Module]


@dataclass(frozen=True)
class Proof:
    """What was compared with what: by the name of each way of computing, its outputs against those of `base`."""

    base: str
    found: Mapping[str, tuple[Agreement, ...]]
    record: Mapping[str, Any]

    @property
    def agrees(self) -> bool:
        """Whether every output of every way does."""
        return all(agreement.agrees for outputs in self.found.values() for agreement in outputs)


def network_of_checkpoint(path: Path, manifest: Manifest) -> Network:
    """The network in a checkpoint of ours. Raises BundleError for a file that is none, or of another bundle."""
    try:
        checkpoint = load_checkpoint(path)
        network = checkpoint.build().eval()
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise BundleError(
            f"{path} is no checkpoint of `vla-ros train` ({type(error).__name__}: {_first_line(error)}). "
            "A released one is given with --release DIR."
        ) from None
    wanted = {"encode": encode_inputs(checkpoint), "decide": decide_inputs(checkpoint.network)}
    for name, inputs in wanted.items():
        if manifest.graphs[name].inputs != inputs:
            raise BundleError(
                f"{path}: its {name} takes {_shapes(inputs)}, that of {manifest.name} {_shapes(manifest.graphs[name].inputs)}. "
                "Name the checkpoint that the bundle was exported from."
            )
    modules: dict[str, nn.Module] = {"encode": EncodeGraph(network), "decide": DecideGraph(network)}
    return Network(modules, modules)


def network_of_release(folder: Path, manifest: Manifest) -> Network:
    """The network in a folder with checkpoint.pt, config.json and kosmos-2/.

    Raises ReleaseError; BundleError for the release of another bundle; VerificationError where the static graph is not the network.
    """
    checkpoint = folder / "checkpoint.pt"
    network, release = load_release(checkpoint, folder / "config.json", folder / "kosmos-2")
    known, digest = manifest.training.get("checkpoint_sha256"), sha256(checkpoint)
    if known != digest:
        raise BundleError(
            f"training.checkpoint_sha256: {manifest.name} was made of {known}, {checkpoint} is {digest}. "
            "Name the release that the bundle was imported from."
        )
    precision = manifest.graphs["encode"].precision
    lowered = "fp32" if precision == "int8" else precision
    return Network(*graph_modules(network, release, manifest.words.length, lowered))


def prove(
    folder: Path, manifest: Manifest, recorded: Recorded, network: Network | None, settings: PolicyConfig
) -> Proof:
    """Play the recorded frames in every way there is (torch, ONNX Runtime, the engine of `settings`) and compare with the first.

    Raises BundleError for an engine that does not start, and VerificationError for outputs of another shape.
    """
    played = {name: play(run, manifest, recorded) for name, run in _ways(folder, manifest, network, settings).items()}
    base, *others = played
    limit = tolerance(manifest)
    found = {name: tuple(agreements(played[name], played[base], limit)) for name in others}
    return Proof(base, found, _record(recorded, base, found))


def _ways(folder: Path, manifest: Manifest, network: Network | None, settings: PolicyConfig) -> dict[str, Run]:
    """Everything that can compute the policy, the most trustworthy first."""
    ways: dict[str, Run] = {}
    half = any(graph.precision == "bf16" for graph in manifest.graphs.values())
    if network is not None:
        ways[TORCH] = torch_runner(network.modules, manifest)
        if half:  # ONNX Runtime has no kernels for it on a CPU
            ways[LOWERED] = torch_runner(network.lowered, manifest)
    if not half:
        ways[ONNX] = OnnxEngine(folder, manifest, "cpu", settings.threads).run
    if (settings.engine, settings.device) != ("onnxruntime", "cpu"):
        ways[f"{settings.engine}_{settings.device}"] = open_engine(folder, manifest, settings).run
    if not ways:
        raise BundleError(
            f"{manifest.name} is in bf16, which ONNX Runtime cannot run on a CPU: give --release, or an --engine with --device cuda."
        )
    return ways


def _record(recorded: Recorded, base: str, found: Mapping[str, tuple[Agreement, ...]]) -> dict[str, Any]:
    """For the manifest."""
    compared = {way: {a.output: a.record() for a in outputs} for way, outputs in found.items()}
    versions = {"torch": str(torch.__version__), "onnxruntime": onnxruntime.__version__}
    facts = {"source": recorded.source, "frames": len(recorded), "resets": len(recorded.clips), "against": base}
    return {**facts, **compared, "versions": versions}


def _shapes(inputs: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{tensor.name} {tensor.shape}" for tensor in inputs)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no text").splitlines()[0]
