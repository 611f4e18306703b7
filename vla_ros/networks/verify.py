"""Proof that a bundle's graphs compute what the network does, and that the network uses what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vla_ros.policy.engines.onnx import OnnxEngine
from vla_ros.policy.language import open_language
from vla_ros.policy.manifest import Manifest, Tensor
from vla_ros.policy.tail import Tail, TailTable

STEPS = 40
RESET = 20
TOLERANCES = {"fp32": 1e-4, "fp16": 5e-3, "bf16": 5e-2, "int8": 1e-1}
"""Largest difference between torch and ONNX Runtime, of normalised chunks, by precision."""
NAMES = {"torch_bf16": "torch in bf16", "torch_onnxruntime": "ONNX Runtime"}
PIECES = 5
"""Words or pieces of the random text; behind them nothing may matter."""
IDENTICAL = 1e-6
DEPENDENCE = 1e-4
"""Least change of the normalised chunk when an input is replaced: less is a network that does not look."""

Arrays = dict[str, NDArray[Any]]
Run = Callable[[str, Arrays], Arrays]


class VerificationError(Exception):
    """A bundle that does not compute what its network does, or a network that ignores an input."""


def verify(
    modules: Mapping[str, nn.Module],
    folder: Path,
    manifest: Manifest,
    lowered: Mapping[str, nn.Module] | None = None,
) -> dict[str, Any]:
    """The verification record of the manifest: `modules` are the network in fp32, by graph, and `lowered` is what the graphs were

    exported from where that computes in another precision. Raises VerificationError.

    Torch in fp32 and ONNX Runtime run the same 40 frames, memory and all, with a reset after 20; then each image and the words are
    replaced in turn, and what stands behind the words.
    """
    source = _Source(folder, manifest)
    inputs = [source.frame() for _ in range(STEPS)]
    wanted = _rolled(torch_runner(modules, manifest), manifest, inputs)
    if "bf16" in {graph.precision for graph in manifest.graphs.values()}:  # ONNX Runtime has no kernels for it on a CPU
        run, other = torch_runner(lowered or modules, manifest), "torch_bf16"
    else:
        run, other = OnnxEngine(folder, manifest).run, "torch_onnxruntime"
    difference = relative(_rolled(run, manifest, inputs), wanted)
    tolerance = max(TOLERANCES[graph.precision] for graph in manifest.graphs.values())
    if not difference <= tolerance:
        raise VerificationError(f"{NAMES[other]} differs from torch by {difference:.1e}, more than {tolerance:.0e}")
    record = {f"{other}_difference": float(f"{difference:.1e}")}
    return {**record, "steps": STEPS, "depends_on": _dependence(run, manifest, inputs, source)}


def relative(values: NDArray[Any], wanted: NDArray[Any]) -> float:
    """The largest difference, as a share of the largest magnitude where that is over one: chunks are normalised."""
    return float(np.abs(values - wanted).max() / max(1.0, float(np.abs(wanted).max())))


class _Source:
    """Random inputs of `encode`, always the same ones: blocks of colour, and the rows of random words in a random number."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._random = np.random.default_rng(0)
        self._inputs, self._words = manifest.graphs["encode"].inputs, manifest.words
        tail = manifest.words.kind == "tail"
        self._language = open_language(folder, manifest.words) if tail else None

    def frame(self) -> Arrays:
        """One frame's inputs."""
        text = self._text()
        return {
            tensor.name: text[tensor.role] if tensor.role in text else self._drawn(tensor) for tensor in self._inputs
        }

    def other(self, tensor: Tensor, frame: Arrays) -> NDArray[Any]:
        """Something else for one input; another text ends where the one before did."""
        if tensor.role == "text" and self._language is not None:
            end = next(frame[t.name] for t in self._inputs if t.role == "text_end")
            return self._tail(int(end[0])).rows
        return self._drawn(tensor)

    def _text(self) -> Arrays:
        """The text's inputs by role."""
        if self._language is not None:
            return self._tail(int(self._random.integers(3, self._words.length - 1))).inputs
        length = next(tensor.shape[1] for tensor in self._inputs if tensor.role == "text_mask")
        return {"text_mask": (np.arange(length) < PIECES).astype(np.float32)[None]}

    def _tail(self, count: int) -> Tail:
        assert isinstance(self._language, TailTable)
        return self._language.tail(self._random.integers(0, self._language.pieces_known, count).tolist())

    def _drawn(self, tensor: Tensor) -> NDArray[Any]:
        if tensor.role == "image":  # independent pixels would average to the same grey everywhere
            height, width = tensor.shape[1:3]
            blocks = self._random.integers(0, 256, (1, -(-height // 10), -(-width // 10), 3), np.uint8)
            return blocks.repeat(10, 1).repeat(10, 2)[:, :height, :width]
        values: NDArray[Any] = self._random.normal(size=tensor.shape).astype(tensor.dtype)
        return values


def _rolled(run: Run, manifest: Manifest, frames: list[Arrays]) -> NDArray[Any]:
    """The chunks (frames, n, 7) of frames one after the other, with a reset on the way."""
    chunks = []
    memory = _fresh(manifest)
    for number, frame in enumerate(frames):
        if number == RESET:
            memory = _fresh(manifest)
        outputs = run("decide", memory | run("encode", frame))
        memory = {name: outputs[f"{name}_next"] for name in memory}
        chunks.append(outputs["chunk"][0])
    return np.stack(chunks)


def _fresh(manifest: Manifest) -> Arrays:
    memory = [t for t in manifest.graphs["decide"].inputs if t.role == "memory"]
    return {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in memory}


def torch_runner(modules: Mapping[str, nn.Module], manifest: Manifest) -> Run:
    """Torch as an engine: each module with its inputs in the manifest's order."""

    @torch.no_grad()
    def run(name: str, inputs: Arrays) -> Arrays:
        graph = manifest.graphs[name]
        outputs = modules[name](*(torch.from_numpy(inputs[tensor.name]) for tensor in graph.inputs))
        many = outputs if isinstance(outputs, tuple) else (outputs,)
        return {n: y.numpy() for n, y in zip(graph.outputs, many, strict=True)}

    return run


def _dependence(run: Run, manifest: Manifest, frames: list[Arrays], source: _Source) -> dict[str, float]:
    """Change of the chunk when an input is another one, for each image and for the words."""
    reference = _rolled(run, manifest, frames[:2])
    changes = {}
    for tensor in manifest.graphs["encode"].inputs:
        if tensor.role not in ("image", "text"):
            continue
        other = [frame | {tensor.name: source.other(tensor, frame)} for frame in frames[:2]]
        change = float(np.abs(_rolled(run, manifest, other) - reference).max())
        if not change >= DEPENDENCE:
            raise VerificationError(f"the network ignores its input {tensor.name}: another one changes {change:.1e}")
        changes[tensor.name] = float(f"{change:.1e}")
        if tensor.role == "text" and _ends(manifest):
            _check_end(run, manifest, frames[:2], tensor.name, reference)
    return changes


def _ends(manifest: Manifest) -> bool:
    return any(tensor.role == "text_end" for tensor in manifest.graphs["encode"].inputs)


def _check_end(run: Run, manifest: Manifest, frames: list[Arrays], name: str, reference: NDArray[Any]) -> None:
    """What stands behind the action token must not matter. Raises VerificationError."""
    place = next(tensor.name for tensor in manifest.graphs["encode"].inputs if tensor.role == "text_end")
    other = []
    for frame in frames:
        text = frame[name].copy()
        text[:, int(frame[place][0]) + 1 :] = 1.0
        other.append(frame | {name: text})
    change = float(np.abs(_rolled(run, manifest, other) - reference).max())
    if change > IDENTICAL:
        raise VerificationError(f"what stands behind the end of {name} changes the chunk by {change:.1e}")
