"""Int8 for CPUs: weights, and the numbers that they are multiplied with, in eight bits where that is faster and exact enough.

Each graph is made in several ways (networks/int8.py), played over recorded observations and timed. Of those that are about as fast as
the fastest, the one with the least error is kept. That may be fp32: it stands among them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_ros.networks.agreement import CHUNK, Agreement, Played, agreements, play
from vla_ros.networks.int8 import METHODS, written
from vla_ros.networks.recorded import Arrays, Recorded
from vla_ros.networks.speed.timing import Work, least
from vla_ros.networks.verify import TOLERANCES, Run, VerificationError
from vla_ros.policy.engines.onnx import OnnxEngine
from vla_ros.policy.manifest import BundleError, Graph, Manifest, load_manifest, save_manifest, sha256

FP32 = "fp32"
ABOUT = 1.15
"""A way that takes this much of the fastest one's time is about as fast."""
Timer = Callable[[Work], Mapping[str, float]]


@dataclass(frozen=True)
class Candidate:
    """One way of computing a graph: the least time of a call, ms, and the policy's chunk when this graph alone is changed."""

    method: str
    milliseconds: float
    chunk: Agreement

    def record(self) -> dict[str, Any]:
        """For the manifest."""
        return {"ms": float(f"{self.milliseconds:.3g}"), **self.chunk.record()}


def quantise(
    folder: Path,
    output: Path,
    recorded: Recorded,
    timer: Timer = least,
    limit: float = TOLERANCES["int8"],
    methods: Sequence[str] = tuple(METHODS),
) -> Manifest:
    """Write the bundle in `folder` into `output` with int8 where it is worth it, and return its manifest.

    Its `verification` says what that costs on the recorded frames, and what every way would. `limit` is the largest error. Raises
    BundleError for a bundle that cannot be quantised, and VerificationError where no graph gains by it; then nothing is written.
    """
    if not len(recorded):
        raise BundleError(
            f"no recorded observations for {folder}: name a --dataset, or let the twin render some --frames"
        )
    manifest = _source(folder, output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch:
        plan = _Plan(folder, manifest, output, recorded, timer, limit, methods)
        return _quantised(plan, Path(scratch))


def choose(candidates: Iterable[Candidate], limit: float) -> Candidate:
    """The one with the least error among those about as fast as the fastest; those beyond `limit` do not count."""
    exact = [c for c in candidates if c.method == FP32 or c.chunk.largest <= limit]
    fastest = min(candidate.milliseconds for candidate in exact)
    return min((c for c in exact if c.milliseconds <= ABOUT * fastest), key=lambda c: c.chunk.largest)


@dataclass(frozen=True)
class _Plan:
    """What `quantise` was asked for."""

    folder: Path
    manifest: Manifest
    output: Path
    recorded: Recorded
    timer: Timer
    limit: float
    methods: Sequence[str]


def _quantised(plan: _Plan, scratch: Path) -> Manifest:
    manifest = plan.manifest
    engine = OnnxEngine(plan.folder, manifest)
    wanted = play(engine.run, manifest, plan.recorded)
    found, ways = _tried(plan, engine, wanted, scratch)
    chosen = {name: choose(candidates, plan.limit) for name, candidates in found.items()}
    if all(candidate.method == FP32 for candidate in chosen.values()):
        raise VerificationError(f"no graph of {plan.folder} gains by int8 on this machine: {_told(found)}")
    kept = {name: ways[name][candidate.method] for name, candidate in chosen.items()}
    graphs = _gather(plan.folder, manifest, kept, scratch / "bundle")
    small = manifest.model_copy(update={"name": plan.output.name, "graphs": graphs})
    played = play(OnnxEngine(scratch / "bundle", small).run, small, plan.recorded)
    compared = agreements(played, wanted, plan.limit)
    _check(compared, plan.limit, found)
    record = _record(manifest, plan.recorded, compared, found, chosen)
    small = small.model_copy(update={"verification": record})
    save_manifest(small, scratch / "bundle")
    (scratch / "bundle").rename(plan.output)
    return small


def _tried(
    plan: _Plan, engine: OnnxEngine, wanted: Played, scratch: Path
) -> tuple[dict[str, list[Candidate]], dict[str, dict[str, Graph]]]:
    """Every way of every graph, by the graph's name: how good it is, and where it is."""
    inputs = {"encode": [f for clip in plan.recorded.clips for f in clip.frames], "decide": list(wanted.decided)}
    found: dict[str, list[Candidate]] = {}
    ways: dict[str, dict[str, Graph]] = {}
    for name, graph in plan.manifest.graphs.items():
        ways[name] = {FP32: graph} | _made(plan.folder, graph, scratch / name, inputs[name], plan.methods)
        trial = _Trial(plan.folder, plan.manifest, engine, name)
        found[name] = _judged(trial, ways[name], plan.recorded, wanted, plan.timer)
    return found, ways


def _check(compared: Iterable[Agreement], limit: float, found: Mapping[str, Iterable[Candidate]]) -> None:
    chunk = _chunk(compared)
    if not chunk.agrees:
        raise VerificationError(
            f"int8 changes the chunk by {chunk.largest:.1e} (cosine {chunk.cosine:.4f}), more than {limit:g}: {_told(found)}"
        )


def _source(folder: Path, output: Path) -> Manifest:
    """The manifest of a bundle that can be quantised into `output`. Raises BundleError."""
    manifest = load_manifest(folder)
    if output.exists():
        raise BundleError(f"{output} is there already: give another OUTPUT, or remove it")
    for name, graph in manifest.graphs.items():
        if graph.precision == "int8":
            raise BundleError(
                f"{folder}: graphs.{name}.precision is int8 already. Quantise the bundle that it was made of."
            )
        if graph.precision != FP32:
            raise BundleError(
                f"{folder}: graphs.{name}.precision is {graph.precision}; int8 is made of fp32. Import the checkpoint "
                "again with --precision fp32."
            )
    if not manifest.verification:
        raise BundleError(
            f"{folder} was never verified, so int8 has nothing to be compared with: `vla-ros policy verify` it"
        )
    return manifest


def _made(folder: Path, graph: Graph, scratch: Path, frames: list[Arrays], methods: Sequence[str]) -> dict[str, Graph]:
    """The graph in every way, its files named by whole paths."""
    made = {}
    for method, path in written(folder / graph.file, bool(graph.data), scratch, frames, methods).items():
        data = path.with_name(f"{path.name}.data")
        update = {"file": str(path), "precision": "int8", "data": {data.name: ""} if data.exists() else {}}
        made[method] = graph.model_copy(update=update)
    return made


@dataclass(frozen=True)
class _Trial:
    """What a way of computing the graph `name` is tried in."""

    folder: Path
    manifest: Manifest
    engine: OnnxEngine
    name: str

    def open(self, graph: Graph) -> OnnxEngine:
        """An engine of that graph alone."""
        return OnnxEngine(self.folder, self.manifest.model_copy(update={"graphs": {self.name: graph}}))

    def run_with(self, other: OnnxEngine) -> Run:
        """The policy with its graph run by `other`."""
        return lambda name, inputs: (other if name == self.name else self.engine).run(name, inputs)


def _judged(
    trial: _Trial, ways: Mapping[str, Graph], recorded: Recorded, wanted: Played, timer: Timer
) -> list[Candidate]:
    """Each way with its time and what becomes of the policy's chunk."""
    engines = {method: trial.engine if method == FP32 else trial.open(graph) for method, graph in ways.items()}
    inputs = wanted.decided[-1] if trial.name == "decide" else recorded.clips[-1].frames[-1]
    work: Work = {method: _call(engine, trial.name, inputs) for method, engine in engines.items()}
    times = timer(work)
    played = {m: play(trial.run_with(engine), trial.manifest, recorded) for m, engine in engines.items()}
    return [
        Candidate(method, times[method], _chunk(agreements(answers, wanted, TOLERANCES["int8"])))
        for method, answers in played.items()
    ]


def _chunk(found: Iterable[Agreement]) -> Agreement:
    return next(agreement for agreement in found if agreement.output == CHUNK)


def _call(engine: OnnxEngine, name: str, inputs: Arrays) -> Callable[[], object]:
    return lambda: engine.run(name, inputs)


def _gather(folder: Path, manifest: Manifest, kept: Mapping[str, Graph], target: Path) -> dict[str, Graph]:
    """Copy the files of the new bundle, but for its manifest, and return its graphs."""
    target.mkdir()
    for name in (manifest.words.tokenizer, manifest.words.rows):
        shutil.copyfile(folder / name, target / name)
    return {name: _copied(folder / graph.file, graph, target) for name, graph in kept.items()}


def _copied(path: Path, graph: Graph, target: Path) -> Graph:
    for name in (path.name, *graph.data):
        shutil.copyfile(path.with_name(name), target / name)
    data = {name: sha256(target / name) for name in graph.data}
    return graph.model_copy(update={"file": path.name, "sha256": sha256(target / path.name), "data": data})


def _record(
    manifest: Manifest,
    recorded: Recorded,
    compared: Iterable[Agreement],
    found: Mapping[str, Iterable[Candidate]],
    chosen: Mapping[str, Candidate],
) -> dict[str, Any]:
    """The verification of the new bundle."""
    ways = {n: {c.method: c.record() for c in candidates} for n, candidates in found.items()}
    return {
        "recorded": {
            "source": recorded.source,
            "frames": len(recorded),
            "against": f"{manifest.name} in fp32",
            "onnxruntime_int8": {a.output: a.record() for a in compared},
        },
        "int8": {
            "made_of": {name: graph.sha256 for name, graph in manifest.graphs.items()},
            "kept": {name: candidate.method for name, candidate in chosen.items()},
            "because": f"the least error among those within {ABOUT:g} times the fastest",
            "ways": ways,
        },
    }


def _told(found: Mapping[str, Iterable[Candidate]]) -> str:
    """The candidates in a line."""
    parts = (
        f"{name} {c.method} {c.milliseconds:.2f} ms, chunk off by {c.chunk.largest:.1e}"
        for name, cs in found.items()
        for c in cs
    )
    return "; ".join(parts)
