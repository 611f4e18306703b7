"""How far two ways of computing a policy are apart, over recorded frames, memory and all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.networks.recorded import Arrays, Recorded, joined
from vla_ros.networks.verify import TOLERANCES, Run, VerificationError, relative
from vla_ros.policy.manifest import Manifest

CHUNK = "chunk"


@dataclass(frozen=True)
class Agreement:
    """One output: the least cosine over the frames, the largest difference (`verify.relative`), and how large it may be."""

    output: str
    cosine: float
    largest: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the tolerance, and one less the cosine too. What is not finite does not agree."""
        return self.largest <= self.tolerance and self.cosine >= 1 - self.tolerance

    def record(self) -> dict[str, float]:
        """For the manifest."""
        return {"cosine": float(f"{self.cosine:.6f}"), "largest": float(f"{self.largest:.1e}")}


@dataclass(frozen=True)
class Played:
    """What a policy answered: every output by name, (frames, …), and the inputs that `decide` had on the way."""

    outputs: Mapping[str, NDArray[Any]]
    decided: tuple[Arrays, ...]


def play(run: Run, manifest: Manifest, recorded: Recorded) -> Played:
    """Run all clips, each from a fresh memory."""
    answers, decided = [], []
    memory = fresh(manifest)
    for begins, frame in joined(recorded):
        inputs = (fresh(manifest) if begins else memory) | _features(manifest, run("encode", frame))
        outputs = run("decide", inputs)
        memory = {name: outputs[f"{name}_next"] for name in memory}
        answers.append(_features(manifest, inputs) | outputs)
        decided.append(inputs)
    return Played({name: np.stack([answer[name] for answer in answers]) for name in answers[0]}, tuple(decided))


def agreements(played: Played, wanted: Played, tolerance: float) -> list[Agreement]:
    """Every output of `played` against that of `wanted`. Raises VerificationError where one has another shape.

    Of what is only near, as int8 is, the chunk counts: it is what the arm does, and on the way what it was decided from is in it.
    """
    exact = tolerance < TOLERANCES["int8"]
    found = []
    for name, values in wanted.outputs.items():
        other = played.outputs[name]
        if other.shape != values.shape:
            raise VerificationError(f"{name} has the shape {other.shape[1:]}, the reference's is {values.shape[1:]}")
        a, b = other.astype(np.float64), values.astype(np.float64)
        limit = tolerance if exact or name == CHUNK else np.inf
        found.append(Agreement(name, cosine(a, b), relative(a, b), limit))
    return found


def cosine(values: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    """The least cosine between the frames of two outputs (frames, …); between two zero vectors it is one."""
    pairs: Iterator[tuple[Any, Any]] = ((x.ravel(), y.ravel()) for x, y in zip(values, wanted, strict=True))
    return float(np.min([_cosine(x, y) for x, y in pairs]))


def _cosine(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    if lengths == 0.0:
        return float(np.array_equal(x, y))
    return float(x @ y) / lengths


def tolerance(manifest: Manifest) -> float:
    """What the least exact of the graphs may differ by."""
    return max(TOLERANCES[graph.precision] for graph in manifest.graphs.values())


def fresh(manifest: Manifest) -> Arrays:
    """The memory before the first frame."""
    memory = [t for t in manifest.graphs["decide"].inputs if t.role == "memory"]
    return {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in memory}


def worst(found: Sequence[Agreement]) -> Agreement:
    """That which is farthest beyond its tolerance, or nearest to it; one that is not finite before all others."""
    return max(found, key=lambda a: np.inf if np.isnan(a.largest + a.cosine) else max(a.largest, 1 - a.cosine))


def _features(manifest: Manifest, given: Arrays) -> Arrays:
    return {t.name: given[t.name] for t in manifest.graphs["decide"].inputs if t.role == "feature"}
